// Pooling: for each channel, one number for all pixels under a window; and the mean over a whole map.
//
// A thread computes WIDTH channels of one pixel of the result, also for the gradients: the thread of an input pixel
// goes through the windows that cover it, in the order of the window's elements. If the windows' threads added to the
// pixels instead, the order of the sums would vary from run to run.
#include "common.cuh"
#include "channels.cuh"
#include "window.cuh"

// The pixel of a map N, height, width, C that a thread computes.
struct Pixel {
    int row, column;
    size_t image;
    bool exists;
};

__device__ inline Pixel pixel_of_thread(const Place& at, int pixels, int height, int width, int C) {
    int index = blockIdx.x * at.rows + at.row;
    return {index / width % height, index % width, size_t(index / width / height), index < pixels && at.channel < C};
}

// The offset of a pixel in the memory of a map N, height, width, C.
__device__ inline size_t offset_of(size_t image, int row, int column, int height, int width, int C) {
    return ((image * height + row) * width + column) * C;
}

// y = max of x under the window. x: (N, H, W, C), y: (N, OH, OW, C).
template <class T, int WIDTH>
__device__ void max_pool(const T* x, T* y, int windows, Geometry g, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    Pixel pixel = pixel_of_thread(at, windows, g.OH, g.OW, g.C);
    if (!pixel.exists) return;
    Channels<WIDTH> largest;
    for (int k = 0; k < WIDTH; k++) largest.of[k] = MINUS_INFINITY;
    for (int i = 0; i < g.KH; i++)
        for (int j = 0; j < g.KW; j++) {
            int h = g.h_of(pixel.row, i), w = g.w_of(pixel.column, j);
            if (!g.inside(h, w)) continue;
            auto value = load_channels<WIDTH>(x + offset_of(pixel.image, h, w, g.H, g.W, g.C) + at.channel);
            for (int k = 0; k < WIDTH; k++)  // a NaN counts as the largest
                if (value.of[k] > largest.of[k] || value.of[k] != value.of[k]) largest.of[k] = value.of[k];
        }
    store_channels<WIDTH>(y + offset_of(pixel.image, pixel.row, pixel.column, g.OH, g.OW, g.C) + at.channel, largest);
}

// gx = sum of gy over the windows whose first maximum is this pixel. gy, y: (N, OH, OW, C), x, gx: (N, H, W, C).
//
// This pixel is the first maximum of a window if it equals y and no earlier pixel of the window does. A window that
// holds NaN hands its gradient to its last NaN.
template <class T, int WIDTH>
__device__ void max_pool_gradient(const T* gy, const T* x, const T* y, T* gx, int pixels, Geometry g, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    Pixel pixel = pixel_of_thread(at, pixels, g.H, g.W, g.C);
    if (!pixel.exists) return;
    size_t own_offset = offset_of(pixel.image, pixel.row, pixel.column, g.H, g.W, g.C) + at.channel;
    auto own = load_channels<WIDTH>(x + own_offset);
    Channels<WIDTH> sum = {};
    for (int element = 0; element < g.KH * g.KW; element++) {
        int p = g.p_of(pixel.row, element / g.KW), q = g.q_of(pixel.column, element % g.KW);
        if (p < 0 || q < 0) continue;
        size_t window = offset_of(pixel.image, p, q, g.OH, g.OW, g.C) + at.channel;
        auto largest = load_channels<WIDTH>(y + window);
        bool is_chosen[WIDTH], holds_nan = false;
        int candidates = 0;  // channels whose window may choose this pixel
        for (int k = 0; k < WIDTH; k++) {
            bool both_nan = own.of[k] != own.of[k] && largest.of[k] != largest.of[k];
            holds_nan |= both_nan;
            candidates += is_chosen[k] = both_nan || own.of[k] == largest.of[k];
        }
        int last = holds_nan ? g.KH * g.KW : element;
        for (int rival = 0; rival < last && candidates; rival++) {
            int h = g.h_of(p, rival / g.KW), w = g.w_of(q, rival % g.KW);
            if (rival == element || !g.inside(h, w)) continue;
            auto other = load_channels<WIDTH>(x + offset_of(pixel.image, h, w, g.H, g.W, g.C) + at.channel);
            candidates = 0;
            for (int k = 0; k < WIDTH; k++) {
                bool wins = rival < element ? other.of[k] == largest.of[k]
                                            : own.of[k] != own.of[k] && other.of[k] != other.of[k];
                candidates += is_chosen[k] = is_chosen[k] && !wins;
            }
        }
        if (!candidates) continue;
        auto gradient = load_channels<WIDTH>(gy + window);
        for (int k = 0; k < WIDTH; k++)
            if (is_chosen[k]) sum.of[k] += gradient.of[k];
    }
    store_channels<WIDTH>(gx + own_offset, sum);
}

// y = sum of x under the window. x: (N, H, W, C), y: (N, OH, OW, C).
template <class T, int WIDTH>
__device__ void sum_pool(const T* x, T* y, int windows, Geometry g, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    Pixel pixel = pixel_of_thread(at, windows, g.OH, g.OW, g.C);
    if (!pixel.exists) return;
    Channels<WIDTH> sum = {};
    for (int i = 0; i < g.KH; i++)
        for (int j = 0; j < g.KW; j++) {
            int h = g.h_of(pixel.row, i), w = g.w_of(pixel.column, j);
            if (!g.inside(h, w)) continue;
            auto value = load_channels<WIDTH>(x + offset_of(pixel.image, h, w, g.H, g.W, g.C) + at.channel);
            for (int k = 0; k < WIDTH; k++) sum.of[k] += value.of[k];
        }
    store_channels<WIDTH>(y + offset_of(pixel.image, pixel.row, pixel.column, g.OH, g.OW, g.C) + at.channel, sum);
}

// gx = sum of gy over the windows that cover this pixel. gy: (N, OH, OW, C), gx: (N, H, W, C).
template <class T, int WIDTH>
__device__ void sum_pool_gradient(const T* gy, T* gx, int pixels, Geometry g, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    Pixel pixel = pixel_of_thread(at, pixels, g.H, g.W, g.C);
    if (!pixel.exists) return;
    Channels<WIDTH> sum = {};
    for (int i = 0; i < g.KH; i++)
        for (int j = 0; j < g.KW; j++) {
            int p = g.p_of(pixel.row, i), q = g.q_of(pixel.column, j);
            if (p < 0 || q < 0) continue;
            auto value = load_channels<WIDTH>(gy + offset_of(pixel.image, p, q, g.OH, g.OW, g.C) + at.channel);
            for (int k = 0; k < WIDTH; k++) sum.of[k] += value.of[k];
        }
    store_channels<WIDTH>(gx + offset_of(pixel.image, pixel.row, pixel.column, g.H, g.W, g.C) + at.channel, sum);
}

// y = mean of x over an image's pixels. x: (N, pixels, C), y: (N, C). There is a block for each image and each table of
// channels (channels.cuh). Its rows of threads take the pixels in turn; then the sums of the rows are added up.
template <class T, int WIDTH>
__device__ void global_mean(const T* x, float* y, int pixels, int C, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    Channels<WIDTH> sum = {};
    const T* image = x + size_t(blockIdx.x) * pixels * C + at.channel;
    for (int i = at.row; i < pixels && at.channel < C; i += at.rows) {
        auto value = load_channels<WIDTH>(image + size_t(i) * C);
        for (int k = 0; k < WIDTH; k++) sum.of[k] += value.of[k];
    }
    auto* shared = reinterpret_cast<Channels<WIDTH>*>(shared_floats());
    shared[threadIdx.x] = sum;
    for (int half = at.rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (at.row >= half) continue;
        for (int k = 0; k < WIDTH; k++) sum.of[k] += shared[threadIdx.x + half * columns].of[k];
        shared[threadIdx.x] = sum;
    }
    if (at.row > 0 || at.channel >= C) return;
    for (int k = 0; k < WIDTH; k++) y[size_t(blockIdx.x) * C + at.channel + k] = sum.of[k] / pixels;
}

// gx = gy / pixels for each of an image's pixels. gy: (N, C), gx: (N, pixels, C).
template <class T, int WIDTH>
__device__ void global_mean_gradient(const float* gy, T* gx, int N, int pixels, int C, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    int index = blockIdx.x * at.rows + at.row;
    if (index >= N * pixels || at.channel >= C) return;
    auto share = load_values<WIDTH>(gy + size_t(index / pixels) * C + at.channel);
    for (int k = 0; k < WIDTH; k++) share.of[k] /= pixels;
    store_channels<WIDTH>(gx + size_t(index) * C + at.channel, share);
}

#define FOR_MAPS_OF(T)                                                                                            \
    extern "C" __global__ void max_pool_##T(const T* x, T* y, int windows, GEOMETRY, int width, int columns) {    \
        BY_WIDTH(max_pool, T, x, y, windows, THE_GEOMETRY, columns);                                              \
    }                                                                                                             \
    extern "C" __global__ void max_pool_gradient_##T(const T* gy, const T* x, const T* y, T* gx, int pixels,      \
                                                     GEOMETRY, int width, int columns) {                          \
        BY_WIDTH(max_pool_gradient, T, gy, x, y, gx, pixels, THE_GEOMETRY, columns);                              \
    }                                                                                                             \
    extern "C" __global__ void sum_pool_##T(const T* x, T* y, int windows, GEOMETRY, int width, int columns) {    \
        BY_WIDTH(sum_pool, T, x, y, windows, THE_GEOMETRY, columns);                                              \
    }                                                                                                             \
    extern "C" __global__ void sum_pool_gradient_##T(const T* gy, T* gx, int pixels, GEOMETRY, int width,         \
                                                     int columns) {                                               \
        BY_WIDTH(sum_pool_gradient, T, gy, gx, pixels, THE_GEOMETRY, columns);                                    \
    }                                                                                                             \
    extern "C" __global__ void global_mean_##T(const T* x, float* y, int pixels, int C, int width, int columns) { \
        BY_WIDTH(global_mean, T, x, y, pixels, C, columns);                                                       \
    }                                                                                                             \
    extern "C" __global__ void global_mean_gradient_##T(const float* gy, T* gx, int N, int pixels, int C,         \
                                                        int width, int columns) {                                 \
        BY_WIDTH(global_mean_gradient, T, gy, gx, N, pixels, C, columns);                                         \
    }
FOR_MAPS_OF(float)
FOR_MAPS_OF(bfloat16)
