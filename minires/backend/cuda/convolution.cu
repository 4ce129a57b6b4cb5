// Convolution and its gradient with respect to its input, as products of matrices that exist in shared memory only.
//
//     y[n, p, o] = sum over taps i and channels c of  W[o, c, i] x[n, pixel that tap i reads for p, c]
//
// is for each tap a product: (pixels, channels) times (channels, output channels). gather.cuh says which pixel a tap
// reads, for both directions; for the gradient x is gy, y is gx, and the tap i takes W[c, o, last tap - i].
//
// A block computes BN output channels of a tile of pixels. The tile has 8 columns, and 4 rows for each warp of the
// block. The block goes over the input channels in chunks of up to 16: it loads the tile's halo and the chunk's weights
// for all taps into shared memory, and tensor cores multiply them. For TF32 the numbers are rounded when they are
// loaded. A warp computes two fragments, of 2 x 8 pixels each:
//
//         columns q:  0 1 2 3 4 5 6 7
//     row 4 warp      0 1 2 3 4 5 6 7   \  fragment 0: its matrix row m is
//     row 4 warp + 1  8 9 . . . . . 15  /              pixel (m / 8, m % 8)
//     row 4 warp + 2  0 1 2 3 4 5 6 7   \  fragment 1
//     row 4 warp + 3  8 9 . . . . . 15  /
//
// For a fragment A, lane (g, t) reads channels t and 4+t of pixels g and 8+g from the halo, shifted by the tap: nothing
// is copied for im2col, only the address moves. The pixels of the halo are `depth` + 4 = 12 or 20 floats apart: 8
// pixels g side by side, with 4 channels t each, lie in 32 different banks of shared memory, so that all lanes read at
// the same time. The weights are stored as [tap][channel][BN + 8]. Since BN + 8 = 8 or 24 (mod 32), the 4 channels and
// 8 columns of a fragment B lie in 32 different banks, too.
//
// While x is loaded, the batch norm and the ReLU before the convolution may be applied to it (Prologue). After the
// products, further operations on y are done before it is written to memory (Epilogue).
#include "gather.cuh"

constexpr int FRAGMENTS = 2;           // of a warp, one above the other
constexpr int PIXELS = 2 * FRAGMENTS;  // of a thread: pixels g and 8+g of each fragment
constexpr int ROWS_OF_WARP = PIXELS;   // a fragment's 16 pixels are 2 rows of 8
constexpr int TAP_SHIFT = 5;           // additional floats for each tap: spreads the stores of weights over the banks
constexpr int PIXELS_AT_ONCE = 6;      // that a thread loads at once: its share of 18 x 10 pixels with 16 channels
constexpr int ROWS_AT_ONCE = 16;       // of weights that a thread loads at once

struct Layer {
    Axis rows, columns;
    int channels_in, channels_out;  // of a group
    int groups;
    int depth;      // channels in a chunk, 8 or 16
    bool backward;  // whether W is read as (in, out, taps) instead of (out, in, taps)
};

// The operations on the result. Those whose pointers are null are left out.
template <class T>
struct Epilogue {
    const float* b;  // added to each channel
    const T* z;      // added to each element
    bool relu;
    // For the gradient through max(scale u + shift, 0): the result becomes 0 where scale u + shift <= 0.
    const T* u;
    const float *scale, *shift, *mean, *var;
    float eps;
    // (tiles, 3, O): for each channel of a tile, the count of its values, their mean, and the sum of their squared
    // deviations from the mean. With u, (tiles, 2, O): the sums of g and of g uhat, where g is the result and
    // uhat = (u - mean) / sqrt(var + eps).
    float* partials;
};

// The part of the result that the block computes.
struct Tile {
    int image, phase_row, phase_column;
    int row, column;       // q of its first pixel
    int group, first_out;  // its first output channel, counted within the group
};

template <int BN>
__device__ inline Tile tile_of_block(const Layer& layer) {
    int tile_rows = blockDim.x / WARP * ROWS_OF_WARP;
    int down = ceil_div(ceil_div(layer.rows.target, layer.rows.phases), tile_rows);
    int across = ceil_div(ceil_div(layer.columns.target, layer.columns.phases), TILE_COLUMNS);
    int blocks_of_group = ceil_div(layer.channels_out, BN);
    Tile tile;
    tile.image = blockIdx.x / (down * across);
    tile.row = blockIdx.x / across % down * tile_rows;
    tile.column = blockIdx.x % across * TILE_COLUMNS;
    tile.phase_row = blockIdx.z / layer.columns.phases;
    tile.phase_column = blockIdx.z % layer.columns.phases;
    tile.group = blockIdx.y / blocks_of_group;
    tile.first_out = blockIdx.y % blocks_of_group * BN;
    return tile;
}

// Load the weights between BN output channels and a chunk of input channels, from `first_in` on, into shared memory, as
// [tap][in][BN + 8]: only the taps in use; 0 for channels that do not exist.
//
// In memory W is (outer, inner, taps); outer are the output channels or, backward, the input channels. Neighbouring
// lanes of a warp load neighbouring numbers of a row. Each lane starts to load its numbers of ROWS_AT_ONCE rows before
// it uses the first of them.
template <bool PRECISE, int BN>
__device__ void load_weights(float* weights, int tap_pitch, const float* W, const Layer& layer, const Tile& tile,
                             const Reach& rows, const Reach& columns, int first_in) {
    bool backward = layer.backward;
    int taps = layer.rows.taps * layer.columns.taps;
    int outer_count = backward ? layer.depth : BN, inner_count = backward ? BN : layer.depth;
    int outer_first = backward ? first_in : tile.first_out, inner_first = backward ? tile.first_out : first_in;
    int outer_all = backward ? layer.channels_in : layer.channels_out;
    int inner_all = backward ? layer.channels_out : layer.channels_in;
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    size_t row_size = size_t(inner_all) * taps;
    W += (tile.group * size_t(outer_all) + outer_first) * row_size + inner_first * taps;

    int row_parts = ceil_div(outer_count, ROWS_AT_ONCE), column_parts = ceil_div(inner_count * taps, WARP);
    for (int part = warp; part < row_parts * column_parts; part += warps) {
        int first = part % row_parts * ROWS_AT_ONCE, e = part / row_parts * WARP + lane;
        int inner = e / taps, i = e % taps / layer.columns.taps, j = e % taps % layer.columns.taps;
        if (backward) {  // tap i is W[K-1-i]
            i = layer.rows.taps - 1 - i;
            j = layer.columns.taps - 1 - j;
        }
        int row = tap_in_use(layer.rows, rows, i), column = tap_in_use(layer.columns, columns, j);
        if (inner >= inner_count || row < 0 || column < 0) continue;

        float w[ROWS_AT_ONCE];
        int count = inner_first + inner < inner_all ? min(outer_count, outer_all - outer_first) - first : 0;
#pragma unroll
        for (int n = 0; n < ROWS_AT_ONCE; n++) w[n] = n < count ? W[(first + n) * row_size + e] : 0;
        float* tap = weights + (row * columns.count + column) * tap_pitch;
#pragma unroll
        for (int n = 0; n < ROWS_AT_ONCE; n++) {
            int in = backward ? first + n : inner, out = backward ? inner : first + n;
            if (first + n < outer_count) tap[in * (BN + 8) + out] = as_factor<PRECISE>(w[n]);
        }
    }
}

// sums += halo times weights, over all taps in use and `depth` channels.
template <bool PRECISE, int BN>
__device__ void multiply_tile(float (&sums)[FRAGMENTS][BN / 8][4], const float* halo, const float* weights,
                              int tap_pitch, const Layer& layer, const Reach& rows, const Reach& columns, int depth) {
    int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    int pitch = layer.depth + 4;
    int next_row = layer.rows.step * columns.size * pitch;  // from a row of the tile to the next one, in the halo
    halo += warp * ROWS_OF_WARP * next_row + g * layer.columns.step * pitch + t;
    weights += t * (BN + 8) + g;
    for (int i = 0; i < rows.count; i++) {
        for (int j = 0; j < columns.count; j++, weights += tap_pitch) {
            const float* tap = halo + (i * layer.rows.spacing * columns.size + j * layer.columns.spacing) * pitch;
            for (int k = 0; k < depth; k += 8) {
                Fragment<4> a[FRAGMENTS];
                for (int m = 0; m < FRAGMENTS; m++) {
                    const float *upper = tap + 2 * m * next_row + k, *lower = upper + next_row;
                    a[m] = fragment<PRECISE>({upper[0], lower[0], upper[4], lower[4]});
                }
#pragma unroll
                for (int n = 0; n < BN / 8; n++) {
                    const float* w = weights + k * (BN + 8) + 8 * n;
                    Fragment<2> b = fragment<PRECISE>({w[0], w[4 * (BN + 8)]});
                    for (int m = 0; m < FRAGMENTS; m++) multiply_add<PRECISE>(sums[m][n], a[m], b);
                }
            }
        }
    }
}

// Collect the sums in shared memory as [pixel][BN + 8], from where a thread reads four neighbouring channels at once.
template <int BN>
__device__ void collect_sums(const float (&sums)[FRAGMENTS][BN / 8][4], float* result) {
    int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    result += (warp * PIXELS * TILE_COLUMNS + g) * (BN + 8) + 2 * t;
#pragma unroll
    for (int m = 0; m < FRAGMENTS; m++)
        for (int n = 0; n < BN / 8; n++)
            for (int half = 0; half < 2; half++) {
                float* two = result + (2 * m + half) * TILE_COLUMNS * (BN + 8) + 8 * n;
                *reinterpret_cast<float2*>(two) = make_float2(sums[m][n][2 * half], sums[m][n][2 * half + 1]);
            }
}

// A thread's share of the epilogue: four channels at BN / 4 of the tile's pixels.
struct Share {
    int pixel, stride;           // the pixels are pixel, pixel + stride, pixel + 2 stride, ...
    int block_channel, channel;  // its first channel, counted within the block and within the map
    int count;                   // how many channels of the group there are from this one on; may be less than four
    bool by_four;                // whether four channels can be loaded and stored at once
};

template <int BN>
__device__ inline Share share_of_thread(const Layer& layer, const Tile& tile) {
    Share share;
    share.pixel = threadIdx.x / (BN / 4);
    share.stride = blockDim.x / (BN / 4);
    share.block_channel = threadIdx.x % (BN / 4) * 4;
    share.channel = tile.group * layer.channels_out + tile.first_out + share.block_channel;
    share.count = layer.channels_out - tile.first_out - share.block_channel;
    share.by_four = layer.channels_out % 4 == 0;
    return share;
}

// The index of a pixel of the tile in the target, or -1 if it is outside.
__device__ inline long long pixel_of_target(const Layer& layer, const Tile& tile, int pixel) {
    int row = layer.rows.phases * (tile.row + pixel / TILE_COLUMNS) + tile.phase_row;
    int column = layer.columns.phases * (tile.column + pixel % TILE_COLUMNS) + tile.phase_column;
    if (row >= layer.rows.target || column >= layer.columns.target) return -1;
    return (static_cast<long long>(tile.image) * layer.rows.target + row) * layer.columns.target + column;
}

constexpr int ROUND = 4;  // pixels that a thread of the epilogue works on at a time: a round

// For one round of pixels: the offset of the thread's channels in the target, or -1 for a pixel outside; and the values
// of `map`, if it is not null, at these offsets. All loads are started before the first value is used.
template <class T>
__device__ inline void load_round(long long (&offset)[ROUND], float (&values)[ROUND][4], const T* map, int pixel,
                                  const Share& share, const Layer& layer, const Tile& tile) {
#pragma unroll
    for (int n = 0; n < ROUND; n++) {
        offset[n] = pixel_of_target(layer, tile, pixel + n * share.stride);
        if (offset[n] < 0) continue;
        offset[n] = offset[n] * (layer.groups * layer.channels_out) + share.channel;
        if (map) load_channels(values[n], map + offset[n], share.count, share.by_four);
    }
}

// The values of an array, one for each channel, for the thread's own channels; 0 if the array or a channel is missing.
__device__ inline void load_values(float (&v)[4], const float* values, const Share& share) {
    for (int k = 0; k < 4; k++) v[k] = values && k < share.count ? values[share.channel + k] : 0;
}

// Turn the sums of each thread, for its own four channels, into the sums over the whole tile.
template <int BN>
__device__ void sum_over_tile(float (&sums)[4], float* scratch) {
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    for (int k = 0; k < 4; k++)
        for (int distance = BN / 4; distance < WARP; distance *= 2)
            sums[k] += __shfl_xor_sync(ALL_LANES, sums[k], distance);
    __syncthreads();  // threads may still read the scratch of the sum before
    for (int k = 0; k < 4; k++)
        if (lane < BN / 4) scratch[warp * BN + 4 * lane + k] = sums[k];
    __syncthreads();
    for (int k = 0; k < 4; k++) {
        sums[k] = 0;
        for (int w = 0; w < warps; w++) sums[k] += scratch[w * BN + 4 * (lane % (BN / 4)) + k];
    }
}

// Write the tile's partial sums of quantity number `quantity` of `quantities`; a second kernel combines the tiles.
template <int BN>
__device__ void write_partials(const float (&sums)[4], float* partials, int quantity, int quantities,
                               const Layer& layer, const Share& share) {
    int all = layer.groups * layer.channels_out, tile = blockIdx.z * gridDim.x + blockIdx.x;
    partials += (size_t(tile) * quantities + quantity) * all + share.channel;
    for (int k = 0; k < 4; k++)
        if (threadIdx.x < BN / 4 && k < share.count) partials[k] = sums[k];
}

// Write y = the sums + b + z, then the ReLU; and the tile's part of y's statistics.
template <int BN, class T>
__device__ void write_output(float* result, float* scratch, T* y, const Epilogue<T>& epilogue, const Layer& layer,
                             const Tile& tile) {
    Share share = share_of_thread<BN>(layer, tile);
    float b[4], v[4], sum[4] = {};
    load_values(b, epilogue.b, share);
#pragma unroll 1
    for (int first = 0; first < BN / 4; first += ROUND) {
        int pixel = share.pixel + first * share.stride;
        long long offset[ROUND];
        float z[ROUND][4] = {};
        load_round(offset, z, epilogue.z, pixel, share, layer, tile);
#pragma unroll
        for (int n = 0; n < ROUND; n++) {
            if (offset[n] < 0) continue;
            float* own = result + (pixel + n * share.stride) * (BN + 8) + share.block_channel;
            load_channels(v, own, 4, true);
            for (int k = 0; k < 4; k++) {
                v[k] += b[k] + z[n][k];
                if (epilogue.relu) v[k] = rectified(v[k]);
                sum[k] += v[k];
            }
            store_channels(y + offset[n], v, share.count, share.by_four);
            if (epilogue.partials) store_channels(own, v, 4, true);
        }
    }
    if (!epilogue.partials) return;

    // First the mean, then the squares of the deviations from it, so that no digits cancel. The tile is still in shared
    // memory.
    int rows = min(int(blockDim.x) / WARP * ROWS_OF_WARP, layer.rows.target - tile.row);
    float pixels = rows * min(TILE_COLUMNS, layer.columns.target - tile.column);
    float count[4], mean[4], squares[4] = {};
    sum_over_tile<BN>(sum, scratch);
    for (int k = 0; k < 4; k++) count[k] = pixels, mean[k] = sum[k] / pixels;
    for (int n = 0; n < BN / 4; n++) {
        int pixel = share.pixel + n * share.stride;
        if (pixel_of_target(layer, tile, pixel) < 0) continue;
        load_channels(v, result + pixel * (BN + 8) + share.block_channel, 4, true);
        for (int k = 0; k < 4; k++) squares[k] += (v[k] - mean[k]) * (v[k] - mean[k]);
    }
    sum_over_tile<BN>(squares, scratch);
    write_partials<BN>(count, epilogue.partials, 0, 3, layer, share);
    write_partials<BN>(mean, epilogue.partials, 1, 3, layer, share);
    write_partials<BN>(squares, epilogue.partials, 2, 3, layer, share);
}

// Write g = 0 where scale u + shift <= 0, else the sums; and the tile's sums of g and of g uhat, from which batch norm's
// gradients are computed.
template <int BN, class T>
__device__ void write_gradient(const float* result, float* scratch, T* g, const Epilogue<T>& epilogue,
                               const Layer& layer, const Tile& tile) {
    Share share = share_of_thread<BN>(layer, tile);
    float scale[4], shift[4], mean[4], inverse[4], v[4], sum[4] = {}, product[4] = {};
    load_values(scale, epilogue.scale, share);
    load_values(shift, epilogue.shift, share);
    load_values(mean, epilogue.mean, share);
    load_values(inverse, epilogue.var, share);
    for (int k = 0; k < 4; k++) inverse[k] = 1 / sqrtf(inverse[k] + epilogue.eps);
#pragma unroll 1
    for (int first = 0; first < BN / 4; first += ROUND) {
        int pixel = share.pixel + first * share.stride;
        long long offset[ROUND];
        float u[ROUND][4] = {};
        load_round(offset, u, epilogue.u, pixel, share, layer, tile);
#pragma unroll
        for (int n = 0; n < ROUND; n++) {
            if (offset[n] < 0) continue;
            load_channels(v, result + (pixel + n * share.stride) * (BN + 8) + share.block_channel, 4, true);
            for (int k = 0; k < 4; k++) {
                if (fmaf(scale[k], u[n][k], shift[k]) <= 0) v[k] = 0;
                sum[k] += v[k];
                product[k] += v[k] * ((u[n][k] - mean[k]) * inverse[k]);
            }
            store_channels(g + offset[n], v, share.count, share.by_four);
        }
    }
    sum_over_tile<BN>(sum, scratch);
    sum_over_tile<BN>(product, scratch);
    write_partials<BN>(sum, epilogue.partials, 0, 2, layer, share);
    write_partials<BN>(product, epilogue.partials, 1, 2, layer, share);
}

// blockIdx: (image and tile, group and output channels, phase).
template <class T, bool PRECISE, int BN>
__device__ void convolve(const T* x, const float* W, T* y, const Layer& layer, Prologue prologue,
                         const Epilogue<T>& epilogue) {
    Tile tile = tile_of_block<BN>(layer);
    int tile_rows = blockDim.x / WARP * ROWS_OF_WARP;
    Reach rows = reach_of(layer.rows, tile.phase_row, tile.row, tile_rows);
    Reach columns = reach_of(layer.columns, tile.phase_column, tile.column, TILE_COLUMNS);
    int pitch = layer.depth + 4, tap_pitch = layer.depth * (BN + 8) + TAP_SHIFT;
    float *halo = shared_floats(), *weights = halo + rows.size * columns.size * pitch;
    const T* image =
        x + size_t(tile.image) * layer.rows.source * layer.columns.source * layer.groups * layer.channels_in;

    float sums[FRAGMENTS][BN / 8][4] = {};
    int chunks = rows.count * columns.count > 0 ? ceil_div(layer.channels_in, layer.depth) : 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        int first_in = chunk * layer.depth, remaining = layer.channels_in - first_in;
        ChannelRange range = {tile.group * layer.channels_in + first_in, remaining, layer.groups * layer.channels_in};
        __syncthreads();  // all warps have multiplied the chunk before
        load_halo<PRECISE, PIXELS_AT_ONCE>(halo, pitch, layer.depth / 4, image, range, rows, columns, prologue);
        load_weights<PRECISE, BN>(weights, tap_pitch, W, layer, tile, rows, columns, first_in);
        __syncthreads();
        int depth = min(layer.depth, ceil_div(remaining, 8) * 8);
        multiply_tile<PRECISE, BN>(sums, halo, weights, tap_pitch, layer, rows, columns, depth);
    }

    __syncthreads();  // the result takes the place of the halo and the weights
    float *result = shared_floats(), *scratch = result + tile_rows * TILE_COLUMNS * (BN + 8);
    collect_sums<BN>(sums, result);
    __syncthreads();
    if (epilogue.u)
        write_gradient<BN>(result, scratch, y, epilogue, layer, tile);
    else
        write_output<BN>(result, scratch, y, epilogue, layer, tile);
}

// BLOCKS: how many blocks should fit on a multiprocessor at the same time. It limits the registers of a thread: with
// more blocks the compiler would have to keep some of the thread's numbers in memory.
#define CONVOLUTION(T, NAME, PRECISE, BN, BLOCKS)                                                                     \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS) convolution_##T##_##NAME##_##BN(                        \
        const T* x, const float* W, T* y, AXIS_PARAMETERS(rows), AXIS_PARAMETERS(columns), int channels_in,           \
        int channels_out, int groups, int depth, int backward, const float* x_scale, const float* x_shift,            \
        const float* b, const T* z, int relu, const T* u, const float* scale, const float* shift, const float* mean,  \
        const float* var, float eps, float* partials) {                                                               \
        Layer layer = {AXIS(rows), AXIS(columns), channels_in, channels_out, groups, depth, backward != 0};           \
        Epilogue<T> epilogue = {b, z, relu != 0, u, scale, shift, mean, var, eps, partials};                          \
        convolve<T, PRECISE, BN>(x, W, y, layer, {x_scale, x_shift}, epilogue);                                       \
    }
CONVOLUTION(float, fp32, true, 16, 5)
CONVOLUTION(float, fp32, true, 32, 4)
CONVOLUTION(float, fp32, true, 64, 2)
CONVOLUTION(float, tf32, false, 16, 6)
CONVOLUTION(float, tf32, false, 32, 4)
CONVOLUTION(float, tf32, false, 64, 3)
CONVOLUTION(bfloat16, tf32, false, 16, 6)
CONVOLUTION(bfloat16, tf32, false, 32, 4)
CONVOLUTION(bfloat16, tf32, false, 64, 3)
