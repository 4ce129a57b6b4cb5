// y = a b, (M, K) times (K, P), on tensor cores: the tiled product of the textbooks.
//
// A block computes a tile of 64 x 64 entries of y. It goes along K in steps of 16. In each step it loads a piece of a,
// 64 x 16, and a piece of b, 16 x 64, into shared memory, where each number is used in 64 products. The block's 4 warps
// share the tile:
//
//                                b: 16 x 64                      +---------+---------+
//                               +---------+---------+            | warp 0  | warp 1  |
//                               |         |         |            |  32x32  |         |
//                               +---------+---------+            +---------+---------+
//         a: 64 x 16  +----+    +---------+---------+            | warp 2  | warp 3  |
//                     |    |    |   y: 64 x 64      |            |         |         |
//                     +----+    +---------+---------+            +---------+---------+
//
// In shared memory the rows of a are 20 floats apart and the rows of b 72: for a fragment of a or of b the 32 lanes
// read 32 different banks.
//
// a and b may have any strides, so that a transposed matrix needs no copy. If y has few tiles and K is long, K is
// split: each of `splits` blocks adds up the products of its own part of K, and a second kernel adds these sums in a
// fixed order.
#include "tensor_core.cuh"

constexpr int TILE = 64, DEPTH = 16;
constexpr int THREADS = 128;
constexpr int A_PITCH = DEPTH + 4, B_PITCH = TILE + 8;

struct Matrix {
    const float* first;
    int rows, columns;
    int row_stride, column_stride;  // from a row to the next one, and from a column to the next one, in floats
};

// Load ROWS x COLUMNS entries of a matrix into shared memory, 0 beyond its end. Neighbouring threads load neighbours in
// memory. Each thread starts to load all its entries before it uses the first of them.
template <bool PRECISE, int ROWS, int COLUMNS>
__device__ void load_piece(float* piece, int pitch, const Matrix& matrix, int first_row, int first_column) {
    constexpr int THREAD_ENTRIES = ROWS * COLUMNS / THREADS;
    bool along_rows = matrix.column_stride == 1;
    float v[THREAD_ENTRIES];
#pragma unroll
    for (int i = 0; i < THREAD_ENTRIES; i++) {
        int e = threadIdx.x + i * THREADS;
        int row = first_row + (along_rows ? e / COLUMNS : e % ROWS);
        int column = first_column + (along_rows ? e % COLUMNS : e / ROWS);
        long long offset = static_cast<long long>(row) * matrix.row_stride +
                           static_cast<long long>(column) * matrix.column_stride;
        v[i] = row < matrix.rows && column < matrix.columns ? matrix.first[offset] : 0;
    }
#pragma unroll
    for (int i = 0; i < THREAD_ENTRIES; i++) {
        int e = threadIdx.x + i * THREADS;
        int row = along_rows ? e / COLUMNS : e % ROWS, column = along_rows ? e % COLUMNS : e / ROWS;
        piece[row * pitch + column] = as_factor<PRECISE>(v[i]);
    }
}

// blockIdx: (rows of tiles, columns of tiles, split). y: (splits, M, P).
template <bool PRECISE>
__device__ void matmul(const Matrix& a, const Matrix& b, float* y) {
    int warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    int row = warp / 2 * 32, column = warp % 2 * 32;  // of the warp's part in the tile
    float *a_piece = shared_floats(), *b_piece = a_piece + TILE * A_PITCH;
    int share = ceil_div(ceil_div(a.columns, DEPTH), gridDim.z) * DEPTH, begin = blockIdx.z * share;
    int end = min(begin + share, a.columns);

    float sums[2][4][4] = {};
    for (int k = begin; k < end; k += DEPTH) {
        __syncthreads();  // all warps have multiplied the pieces before
        load_piece<PRECISE, TILE, DEPTH>(a_piece, A_PITCH, a, blockIdx.x * TILE, k);
        load_piece<PRECISE, DEPTH, TILE>(b_piece, B_PITCH, b, k, blockIdx.y * TILE);
        __syncthreads();
#pragma unroll
        for (int step = 0; step < DEPTH; step += 8) {
            Fragment<4> factors[2];
            for (int m = 0; m < 2; m++) {
                const float* upper = a_piece + (row + 16 * m + g) * A_PITCH + step + t;
                const float* lower = upper + 8 * A_PITCH;
                factors[m] = fragment<PRECISE>({upper[0], lower[0], upper[4], lower[4]});
            }
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const float* entry = b_piece + (step + t) * B_PITCH + column + 8 * n + g;
                Fragment<2> factor = fragment<PRECISE>({entry[0], entry[4 * B_PITCH]});
                for (int m = 0; m < 2; m++) multiply_add<PRECISE>(sums[m][n], factors[m], factor);
            }
        }
    }

    y += size_t(blockIdx.z) * a.rows * b.columns;
#pragma unroll
    for (int m = 0; m < 2; m++)
        for (int n = 0; n < 4; n++)
            for (int i = 0; i < 4; i++) {
                int r = blockIdx.x * TILE + row + 16 * m + 8 * (i / 2) + g;
                int c = blockIdx.y * TILE + column + 8 * n + 2 * t + i % 2;
                if (r < a.rows && c < b.columns) y[size_t(r) * b.columns + c] = sums[m][n][i];
            }
}

#define MATMUL(NAME, PRECISE)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS, 3) matmul_##NAME(                                       \
        const float* a, const float* b, float* y, int M, int K, int P, int a_row, int a_column, int b_row,     \
        int b_column) {                                                                                        \
        matmul<PRECISE>({a, M, K, a_row, a_column}, {b, K, P, b_row, b_column}, y);                            \
    }
MATMUL(fp32, true)
MATMUL(tf32, false)

// y = the sum of the splits: (splits, count) -> (count,).
extern "C" __global__ void add_splits(const float* partials, float* y, int splits, int count) {
    int e = blockIdx.x * WARP + threadIdx.x % WARP;
    float sum = sum_of_parts(partials + e, splits, count, e < count, shared_floats());
    if (threadIdx.x < WARP && e < count) y[e] = sum;
}
