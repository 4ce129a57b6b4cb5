// im2col: every window of a map becomes a row of a matrix; and its adjoint, col2im.
//
// Each of the G groups has a matrix (pixels, K), with pixels = N*OH*OW, K = KH*KW*D and D = C/G channels. A row holds
// the elements of one window, in the order KH, KW, D.
#include "common.cuh"
#include "channels.cuh"
#include "window.cuh"

// x: (N, H, W, C) -> columns: (G, pixels, K). blockIdx.y is the group. A block writes rows_of_block rows, which are one
// run of memory: neighbouring threads write neighbouring numbers, and read neighbouring channels.
template <class T, int WIDTH>
__device__ void im2col(const T* x, T* columns, int pixels, Geometry g, int rows_of_block) {
    int D = g.C / gridDim.y, steps = D / WIDTH, row_steps = g.KH * g.KW * steps;  // of WIDTH numbers each
    int first = blockIdx.x * rows_of_block, rows = min(rows_of_block, pixels - first);
    x += blockIdx.y * D;
    columns += (size_t(blockIdx.y) * pixels + first) * row_steps * WIDTH;
    for (int i = threadIdx.x; i < rows * row_steps; i += blockDim.x) {
        int pixel = first + i / row_steps, element = i % row_steps / steps, channel = i % steps * WIDTH;
        int h = g.h_of(pixel / g.OW % g.OH, element / g.KW), w = g.w_of(pixel % g.OW, element % g.KW);
        size_t image = pixel / g.OW / g.OH;
        Channels<WIDTH> value = {};
        if (g.inside(h, w)) value = load_channels<WIDTH>(x + ((image * g.H + h) * g.W + w) * g.C + channel);
        store_channels<WIDTH>(columns + size_t(i) * WIDTH, value);
    }
}

// columns: (G, N*OH*OW, K) -> x: (N, H, W, C). Each pixel of x is the sum of its entries in all windows that cover it,
// in the order of the windows' elements. The threads of a block form a table over the D channels of a group
// (channels.cuh); blockIdx.y is the number of the table among those of all groups.
template <class T, int WIDTH>
__device__ void col2im(const T* columns, T* x, int N, Geometry g, int groups, int threads_side_by_side) {
    int D = g.C / groups, tables = gridDim.y / groups, group = blockIdx.y / tables;
    int column = threadIdx.x % threads_side_by_side, rows = blockDim.x / threads_side_by_side;
    int channel = (blockIdx.y % tables * threads_side_by_side + column) * WIDTH;
    int pixel = blockIdx.x * rows + threadIdx.x / threads_side_by_side;
    if (pixel >= N * g.H * g.W || channel >= D) return;
    int h = pixel / g.W % g.H, w = pixel % g.W;
    size_t image = pixel / g.W / g.H, K = size_t(g.KH) * g.KW * D;
    columns += size_t(group) * N * g.OH * g.OW * K + channel;
    Channels<WIDTH> sum = {};
    for (int i = 0; i < g.KH; i++)
        for (int j = 0; j < g.KW; j++) {
            int p = g.p_of(h, i), q = g.q_of(w, j);
            if (p < 0 || q < 0) continue;
            size_t window = (image * g.OH + p) * g.OW + q;
            auto value = load_channels<WIDTH>(columns + window * K + (i * g.KW + j) * D);
            for (int k = 0; k < WIDTH; k++) sum.of[k] += value.of[k];
        }
    store_channels<WIDTH>(x + size_t(pixel) * g.C + group * D + channel, sum);
}

extern "C" __global__ void im2col_float(const float* x, float* columns, int pixels, GEOMETRY, int width,
                                        int rows_of_block) {
    BY_WIDTH(im2col, float, x, columns, pixels, THE_GEOMETRY, rows_of_block);
}

extern "C" __global__ void col2im_float(const float* columns, float* x, int N, GEOMETRY, int groups, int width,
                                        int threads_side_by_side) {
    BY_WIDTH(col2im, float, columns, x, N, THE_GEOMETRY, groups, threads_side_by_side);
}
