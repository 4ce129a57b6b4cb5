// The gradient of a convolution with respect to its weights.
//
//     gW[o, c, i] = sum over images n and output pixels q of  gy[n, q, o] x[n, stride q - padding + dilation i, c]
//
// For each tap i this is a product: (channels, pixels) times (pixels, output channels). The axis of the pixels is long.
// A task is such a product for one tap and 16 channels, which are the 16 rows of a fragment A. A block has 9 tasks, 3
// for each of its 3 warps, and BN output channels. With 3 x 3 taps these are all the tasks of 16 channels, and the same
// small piece of x in shared memory is used for all 9.
//
//         pixels of a row:  0 1 2 3 4 5 6 7                              output channels
//     channel 0             x . . . . . . .           pixel 0      gy . . .      . . .
//        ...                . . . . . . . .            ...          . . . .      . . .
//     channel 15            . . . . . . . .           pixel 7       . . . .      . . .
//                             fragment A                        fragments B, BN / 8 of them
//
// The block goes over tiles of 8 x 8 pixels: it loads a tile's halo of x (gather.cuh) and the tile of gy. Each row of
// the tile is one step of the product, 8 pixels long. In shared memory the pixels are 16 k + 8 floats apart for a whole
// number k, 8 or 24 (mod 32): 4 pixels t with 8 channels g each lie in 32 different banks.
//
// There are few weights and many pixels, so the tiles are split: each of `splits` blocks adds up the products of its
// own share of the tiles, and a second kernel adds these sums in a fixed order.
#include "gather.cuh"

constexpr int WARPS = 3, TASKS = 3;  // warps of a block, tasks of a warp
constexpr int TILE_ROWS = 8;
constexpr int CHANNELS = 16;       // of x in a task
constexpr int PIXELS_AT_ONCE = 5;  // that a thread loads at once: its share of 10 x 10 pixels with 16 channels

struct Layer {
    Axis rows, columns;
    int channels_in, channels_out;  // of a group
    int groups;
};

// The tasks of a warp. They are numbered: first all taps of the first 16 channels, then all taps of the next 16, ...
struct Tasks {
    int first_set, sets;  // the sets of 16 channels that the block needs: the first one, and how many
    bool exists[TASKS];
    int offset[TASKS];  // where in the halo the task begins to read for the first pixel of the tile
};

__device__ inline Tasks tasks_of_warp(const Layer& layer, int halo_columns) {
    int taps = layer.rows.taps * layer.columns.taps, all = ceil_div(layer.channels_in, CHANNELS) * taps;
    int first = blockIdx.x * WARPS * TASKS, last = min(first + WARPS * TASKS, all) - 1;
    Tasks tasks;
    tasks.first_set = first / taps;
    tasks.sets = last / taps - tasks.first_set + 1;
    for (int s = 0; s < TASKS; s++) {
        int task = first + s * WARPS + threadIdx.x / WARP;
        int i = task % taps / layer.columns.taps, j = task % taps % layer.columns.taps;
        int pixel = i * layer.rows.spacing * halo_columns + j * layer.columns.spacing;
        tasks.exists[s] = task <= last;
        tasks.offset[s] = pixel * (CHANNELS * tasks.sets + 8) + (task / taps - tasks.first_set) * CHANNELS;
    }
    return tasks;
}

// sums += x gy^T over the rows of a tile.
template <bool PRECISE, int BN>
__device__ void multiply_tile(float (&sums)[TASKS][BN / 8][4], const float* halo, const float* gy, const Tasks& tasks,
                              int next_row, int next_column, int rows) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    halo += t * next_column + g;
    gy += t * (BN + 8) + g;
    for (int row = 0; row < rows; row++, halo += next_row, gy += TILE_COLUMNS * (BN + 8)) {
        Fragment<2> b[BN / 8];
#pragma unroll
        for (int n = 0; n < BN / 8; n++) b[n] = fragment<PRECISE>({gy[8 * n], gy[4 * (BN + 8) + 8 * n]});
#pragma unroll
        for (int s = 0; s < TASKS; s++) {
            if (!tasks.exists[s]) continue;
            const float *left = halo + tasks.offset[s], *right = left + 4 * next_column;
            Fragment<4> a = fragment<PRECISE>({left[0], left[8], right[0], right[8]});
#pragma unroll
            for (int n = 0; n < BN / 8; n++) multiply_add<PRECISE>(sums[s][n], a, b[n]);
        }
    }
}

// Write the sums to partials, (splits, groups * blocks of BN output channels, tasks, 16, BN): for each task its matrix
// D of 16 x BN. The matrix also has rows and columns for channels that do not exist; add_splits leaves them out.
template <int BN>
__device__ void write_partials(const float (&sums)[TASKS][BN / 8][4], float* partials, const Layer& layer,
                               const Tasks& tasks) {
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    int all = ceil_div(layer.channels_in, CHANNELS) * layer.rows.taps * layer.columns.taps;
    int first = blockIdx.x * WARPS * TASKS + threadIdx.x / WARP;
    for (int s = 0; s < TASKS; s++) {
        if (!tasks.exists[s]) continue;
        size_t task = (size_t(blockIdx.z) * gridDim.y + blockIdx.y) * all + first + s * WARPS;
        float* upper = partials + (task * CHANNELS + g) * BN + 2 * t;
#pragma unroll
        for (int n = 0; n < BN / 8; n++) {
            *reinterpret_cast<float2*>(upper + 8 * n) = make_float2(sums[s][n][0], sums[s][n][1]);
            *reinterpret_cast<float2*>(upper + 8 * BN + 8 * n) = make_float2(sums[s][n][2], sums[s][n][3]);
        }
    }
}

// blockIdx: (9 tasks, group and BN output channels, split).
template <class T, bool PRECISE, int BN>
__device__ void weight_gradient(const T* gy, const T* x, float* partials, int N, const Layer& layer,
                                Prologue prologue) {
    int blocks_of_group = ceil_div(layer.channels_out, BN);
    int group = blockIdx.y / blocks_of_group, first_out = blockIdx.y % blocks_of_group * BN;
    int halo_columns = reach_of(layer.columns, 0, 0, TILE_COLUMNS).size;
    Tasks tasks = tasks_of_warp(layer, halo_columns);
    int channels = CHANNELS * tasks.sets, pitch = channels + 8;
    int first_in = CHANNELS * tasks.first_set;
    ChannelRange range_in = {group * layer.channels_in + first_in, layer.channels_in - first_in,
                             layer.groups * layer.channels_in};
    ChannelRange range_out = {group * layer.channels_out + first_out, layer.channels_out - first_out,
                              layer.groups * layer.channels_out};
    float *gradient = shared_floats(), *halo = gradient + TILE_ROWS * TILE_COLUMNS * (BN + 8);

    int down = ceil_div(layer.rows.target, TILE_ROWS), across = ceil_div(layer.columns.target, TILE_COLUMNS);
    int share = ceil_div(N * down * across, gridDim.z), begin = blockIdx.z * share;
    int end = min(begin + share, N * down * across);
    size_t source = size_t(layer.rows.source) * layer.columns.source * layer.groups * layer.channels_in;
    size_t target = size_t(layer.rows.target) * layer.columns.target * layer.groups * layer.channels_out;

    float sums[TASKS][BN / 8][4] = {};
    for (int tile = begin; tile < end; tile++) {
        int image = tile / (down * across);
        int row = tile / across % down * TILE_ROWS, column = tile % across * TILE_COLUMNS;
        Reach rows = reach_of(layer.rows, 0, row, TILE_ROWS);
        Reach columns = reach_of(layer.columns, 0, column, TILE_COLUMNS);
        Reach tile_rows = {row, TILE_ROWS, 1, layer.rows.target, 0, 1};  // of gy: every pixel, once
        Reach tile_columns = {column, TILE_COLUMNS, 1, layer.columns.target, 0, 1};
        __syncthreads();  // all warps have multiplied the tile before
        load_halo<PRECISE, PIXELS_AT_ONCE>(gradient, BN + 8, BN / 4, gy + image * target, range_out, tile_rows,
                                           tile_columns, {});
        load_halo<PRECISE, PIXELS_AT_ONCE>(halo, pitch, channels / 4, x + image * source, range_in, rows, columns,
                                           prologue);
        __syncthreads();
        multiply_tile<PRECISE, BN>(sums, halo, gradient, tasks, layer.rows.step * halo_columns * pitch,
                                   layer.columns.step * pitch, min(TILE_ROWS, layer.rows.target - row));
    }
    write_partials<BN>(sums, partials, layer, tasks);
}

// gW = the sum of the splits, (O, C/G, taps), from the partials of write_partials. A block adds up 32 neighbouring
// sums.
extern "C" __global__ void add_splits(const float* partials, float* gW, int splits, int channels_in, int channels_out,
                                      int groups, int taps, int BN) {
    int o_blocks = ceil_div(channels_out, BN), tasks = ceil_div(channels_in, CHANNELS) * taps;
    int task_size = CHANNELS * BN, count = groups * o_blocks * tasks * task_size;  // numbers of a task, of a split
    int e = blockIdx.x * WARP + threadIdx.x % WARP;
    int within = e % task_size, task = e / task_size % tasks, o_block = e / task_size / tasks;
    int o = o_block % o_blocks * BN + within % BN, c = task / taps * CHANNELS + within / BN;
    bool exists = e < count && o < channels_out && c < channels_in;
    float sum = sum_of_parts(partials + e, splits, count, exists, shared_floats());
    if (threadIdx.x >= WARP || !exists) return;
    size_t row = size_t(o_block / o_blocks) * channels_out + o;
    gW[(row * channels_in + c) * taps + task % taps] = sum;
}

// BLOCKS: how many blocks should fit on a multiprocessor at the same time. It limits the registers of a thread.
#define WEIGHT_GRADIENT(T, NAME, PRECISE, BN, BLOCKS)                                                                \
    extern "C" __global__ void __launch_bounds__(96, BLOCKS) weight_gradient_##T##_##NAME##_##BN(                    \
        const T* gy, const T* x, float* partials, int N, AXIS_PARAMETERS(rows), AXIS_PARAMETERS(columns),            \
        int channels_in, int channels_out, int groups, const float* scale, const float* shift) {                     \
        Layer layer = {AXIS(rows), AXIS(columns), channels_in, channels_out, groups};                                \
        weight_gradient<T, PRECISE, BN>(gy, x, partials, N, layer, {scale, shift});                                  \
    }
WEIGHT_GRADIENT(float, fp32, true, 16, 4)
WEIGHT_GRADIENT(float, fp32, true, 32, 4)
WEIGHT_GRADIENT(float, fp32, true, 64, 2)
WEIGHT_GRADIENT(float, tf32, false, 16, 4)
WEIGHT_GRADIENT(float, tf32, false, 32, 4)
WEIGHT_GRADIENT(float, tf32, false, 64, 2)
WEIGHT_GRADIENT(bfloat16, tf32, false, 16, 4)
WEIGHT_GRADIENT(bfloat16, tf32, false, 32, 4)
WEIGHT_GRADIENT(bfloat16, tf32, false, 64, 2)
