// Batch norm, and the addition and the ReLU that may follow it.
//
// Statistics are computed in two steps. First each block of threads computes the statistics of some of the pixels, in
// registers, and writes them as a row of partial results. Then a second kernel combines these rows, in double
// precision. The order of both depends on the shapes alone, so the same map gives the same bits on every GPU.
#include "common.cuh"
#include "channels.cuh"

constexpr int THREADS = 256;  // of a block
constexpr int THREAD_PIXELS = 4;  // pixels that a thread loads at once, from each map, and holds in registers

// For each channel: the number of its values, their mean, and the sum of their squared deviations from the mean.
template <int WIDTH>
struct Moments {
    float count;
    Channels<WIDTH> mean, squares;
};

// a = the moments of the values of a and b together (Chan, Golub and LeVeque 1983).
template <int WIDTH>
__device__ void merge(Moments<WIDTH>& a, const Moments<WIDTH>& b) {
    float count = a.count + b.count;
    if (count == 0) return;
    float share = b.count / count;
    for (int k = 0; k < WIDTH; k++) {
        float difference = b.mean.of[k] - a.mean.of[k];
        a.mean.of[k] += difference * share;
        a.squares.of[k] += b.squares.of[k] + difference * difference * a.count * share;
    }
    a.count = count;
}

// mean = sum x / n, squares = sum (x - mean)^2 over the first n pixels of x.
template <int WIDTH>
__device__ Moments<WIDTH> moments_of(const Channels<WIDTH> (&x)[THREAD_PIXELS], int n) {
    Moments<WIDTH> result = {};
    result.count = n;
    float inverse = 1.f / n;
    for (int k = 0; k < WIDTH; k++) {
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++) result.mean.of[k] += i < n ? x[i].of[k] : 0;
        result.mean.of[k] *= inverse;
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++) {
            float centred = i < n ? x[i].of[k] - result.mean.of[k] : 0;
            result.squares.of[k] += centred * centred;
        }
    }
    return result;
}

// How many of the pixels first, first + rows, first + 2 rows, ... a thread loads at once: THREAD_PIXELS or, at the end,
// fewer.
__device__ inline int pixels_of_thread(size_t first, int rows, size_t pixels) {
    if (first >= pixels) return 0;
    size_t remaining = (pixels - first + rows - 1) / rows;
    return remaining < THREAD_PIXELS ? int(remaining) : THREAD_PIXELS;
}

// x: (pixels, C) -> partials: (gridDim.x, 3, C), the moments of each block's pixels.
//
// First comes the mean, then the squares of the deviations from it. The mean of the squares minus the square of the
// mean would lose its digits if a channel's mean is much larger than its deviation. The second pass over the pixels
// reads nothing from memory: they are still in registers.
template <class T, int WIDTH>
__device__ void moments(const T* x, int pixels, int C, int columns, float* partials) {
    Place at = place_of_thread<WIDTH>(columns);
    Moments<WIDTH> own = {};
    size_t tile = size_t(at.rows) * THREAD_PIXELS;
    for (size_t start = blockIdx.x * tile; at.channel < C && start < pixels; start += gridDim.x * tile) {
        int count = pixels_of_thread(start + at.row, at.rows, pixels);
        if (count == 0) break;
        Channels<WIDTH> held[THREAD_PIXELS];
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++)
            if (i < count) held[i] = load_channels<WIDTH>(x + (start + at.row + size_t(i) * at.rows) * C + at.channel);
        merge(own, moments_of(held, count));
    }
    auto* shared = reinterpret_cast<Moments<WIDTH>*>(shared_floats());
    shared[threadIdx.x] = own;
    for (int half = at.rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (at.row < half) {
            merge(own, shared[threadIdx.x + half * columns]);
            shared[threadIdx.x] = own;
        }
    }
    if (at.row > 0 || at.channel >= C) return;
    float* result = partials + size_t(blockIdx.x) * 3 * C + at.channel;
    for (int k = 0; k < WIDTH; k++) {
        result[k] = own.count;
        result[C + k] = own.mean.of[k];
        result[2 * C + k] = own.squares.of[k];
    }
}

constexpr int CHANNELS = 8;  // of a combining block: 32 bytes side by side, which memory delivers together

// The threads of the block form a table with CHANNELS columns: the sum of the thread's column, in every thread.
__device__ inline double sum_of_rows(double value) {
    double* shared = reinterpret_cast<double*>(shared_floats());
    shared[threadIdx.x] = value;
    for (int half = blockDim.x / 2; half >= CHANNELS; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    __syncthreads();
    double sum = shared[threadIdx.x % CHANNELS];
    __syncthreads();  // before the next sum overwrites the shared memory
    return sum;
}

// The arrays of a batch norm layer, (C,) each, that depend on the statistics of a batch:
//
//     scale = gamma / sqrt(var + eps)        shift = beta - mean scale
//     r = (1 - momentum) r + momentum s      for the running mean and the running variance; s: the batch's mean, and
//                                            its unbiased variance
//
// gamma and running_mean may be null. Then the arrays that go with them are left alone.
struct Layer {
    const float *gamma, *beta;
    float *scale, *shift, *running_mean, *running_var;
    float eps, momentum;

    __device__ void update(int c, float mean, float var, float unbiased_var) const {
        if (gamma) {
            scale[c] = gamma[c] / sqrtf(var + eps);
            shift[c] = beta[c] - mean * scale[c];
        }
        if (running_mean) {
            running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean;
            running_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased_var;
        }
    }
};

// partials: (blocks, 3, C) -> mean, var: (C,). Chan's formula for all blocks at once: with the count n_b, the mean m_b
// and the sum s_b of the squared deviations of each block,
//     n = sum n_b        mean = sum n_b m_b / n        var = sum (s_b + n_b (m_b - mean)^2) / n
extern "C" __global__ void combine_moments(const float* partials, int blocks, int C, float* mean, float* var,
                                           const float* gamma, const float* beta, float eps, float* scale,
                                           float* shift, float* running_mean, float* running_var, float momentum) {
    int channel = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS;
    int row = threadIdx.x / CHANNELS, rows = blockDim.x / CHANNELS;
    double count = 0, sum = 0, squares = 0;
    for (int b = row; b < blocks && channel < C; b += rows) {
        const float* partial = partials + size_t(b) * 3 * C + channel;
        count += partial[0];
        sum += double(partial[0]) * partial[C];
    }
    count = sum_of_rows(count);
    double centre = sum_of_rows(sum) / count;
    for (int b = row; b < blocks && channel < C; b += rows) {
        const float* partial = partials + size_t(b) * 3 * C + channel;
        double difference = partial[C] - centre;
        squares += partial[2 * C] + partial[0] * difference * difference;
    }
    squares = sum_of_rows(squares);
    if (row > 0 || channel >= C) return;
    mean[channel] = centre;
    var[channel] = squares / count;
    Layer layer = {gamma, beta, scale, shift, running_mean, running_var, eps, momentum};
    layer.update(channel, centre, squares / count, squares / (count - 1));
}

// The scale and the shift for given statistics, as in evaluation. A thread for each channel.
extern "C" __global__ void factors(const float* mean, const float* var, int C, const float* gamma, const float* beta,
                                   float eps, float* scale, float* shift) {
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    Layer layer = {gamma, beta, scale, shift, nullptr, nullptr, eps, 0};
    if (c < C) layer.update(c, mean[c], var[c], 0);
}

// The weights and the shifts of a convolution that includes the batch norm behind it. W, folded: (C, depth); the other
// arrays: (C,). b may be null. There is a thread for each weight, or for each shift if there are more shifts.
extern "C" __global__ void folded_weights(const float* W, const float* b, int C, int depth, const float* gamma,
                                          const float* beta, const float* mean, const float* var, float eps,
                                          float* folded, float* shift) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    auto scale = [&](int c) { return gamma[c] / sqrtf(var[c] + eps); };
    if (i < C * depth) folded[i] = scale(i / depth) * W[i];
    if (i < C) shift[i] = fmaf(scale(i), (b ? b[i] : 0) - mean[i], beta[i]);
}

// partials: (blocks, columns) -> sums: (columns,).
extern "C" __global__ void combine_sums(const float* partials, int blocks, int columns, float* sums) {
    int column = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS;
    int row = threadIdx.x / CHANNELS, rows = blockDim.x / CHANNELS;
    double sum = 0;
    for (int b = row; b < blocks && column < columns; b += rows) sum += partials[size_t(b) * columns + column];
    sum = sum_of_rows(sum);
    if (row == 0 && column < columns) sums[column] = sum;
}

// y = scale x + shift + z, and max(y, 0) if `relu`. x, y, z: (pixels, C); scale, shift: (C,). z, scale and shift may be
// null. y may be x. Each thread writes THREAD_PIXELS pixels.
template <class T, int WIDTH>
__device__ void scale_and_shift(const T* x, const float* scale, const float* shift, const T* z, bool relu, T* y,
                                int pixels, int C, int columns) {
    Place at = place_of_thread<WIDTH>(columns);
    size_t first = size_t(blockIdx.x) * at.rows * THREAD_PIXELS + at.row;
    int count = pixels_of_thread(first, at.rows, pixels);
    if (at.channel >= C) return;
    Channels<WIDTH> factor = load_values<WIDTH>(scale ? scale + at.channel : scale, 1);
    Channels<WIDTH> term = load_values<WIDTH>(shift ? shift + at.channel : shift);
    Channels<WIDTH> held[THREAD_PIXELS], added[THREAD_PIXELS] = {};
#pragma unroll
    for (int i = 0; i < THREAD_PIXELS; i++) {
        size_t offset = (first + size_t(i) * at.rows) * C + at.channel;
        if (i < count) held[i] = load_channels<WIDTH>(x + offset);
        if (i < count && z) added[i] = load_channels<WIDTH>(z + offset);
    }
#pragma unroll
    for (int i = 0; i < THREAD_PIXELS; i++) {
        for (int k = 0; k < WIDTH; k++) {
            float value = fmaf(factor.of[k], held[i].of[k], term.of[k]) + added[i].of[k];
            held[i].of[k] = relu && value < 0 ? 0 : value;  // a NaN stays a NaN
        }
        if (i < count) store_channels<WIDTH>(y + (first + size_t(i) * at.rows) * C + at.channel, held[i]);
    }
}

// The gradient through the ReLU: g = 0 where y is not above 0. If y was not kept, it is computed again with the same
// formula as above, scale x + shift. If neither y nor scale is given, there was no ReLU.
template <int WIDTH, class T>
__device__ void apply_relu_gradient(Channels<WIDTH> (&g)[THREAD_PIXELS], const Channels<WIDTH> (&x)[THREAD_PIXELS],
                                    const T* y, const float* scale, const float* shift, int channel, size_t first,
                                    size_t stride, int count) {
    Channels<WIDTH> output[THREAD_PIXELS];
    if (y) {
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++)
            if (i < count) output[i] = load_channels<WIDTH>(y + first + i * stride);
    } else if (scale) {
        Channels<WIDTH> factor = load_values<WIDTH>(scale + channel), term = load_values<WIDTH>(shift + channel);
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++)
            for (int k = 0; k < WIDTH; k++) output[i].of[k] = fmaf(factor.of[k], x[i].of[k], term.of[k]);
    } else {
        return;
    }
#pragma unroll
    for (int i = 0; i < THREAD_PIXELS; i++)
        for (int k = 0; k < WIDTH; k++)
            if (output[i].of[k] <= 0) g[i].of[k] = 0;  // not where the output is NaN
}

// gy, x, y: (pixels, C) -> partials: (gridDim.x, 2, C), each block's sums of g and of g xhat, where g is the gradient
// of the ReLU's input and xhat = (x - mean) / sqrt(var + eps).
template <class T, int WIDTH>
__device__ void gradient_sums(const T* gy, const T* x, const T* y, const float* scale, const float* shift,
                              const float* mean, const float* var, float eps, int pixels, int C, int columns,
                              float* partials) {
    Place at = place_of_thread<WIDTH>(columns);
    Channels<WIDTH> sum = {}, products = {}, centre = {};
    if (at.channel < C) centre = load_values<WIDTH>(mean + at.channel);
    size_t tile = size_t(at.rows) * THREAD_PIXELS;
    for (size_t start = blockIdx.x * tile; at.channel < C && start < pixels; start += gridDim.x * tile) {
        int count = pixels_of_thread(start + at.row, at.rows, pixels);
        size_t first = (start + at.row) * C + at.channel, stride = size_t(at.rows) * C;
        Channels<WIDTH> g[THREAD_PIXELS] = {}, held[THREAD_PIXELS] = {};
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++)
            if (i < count) {
                g[i] = load_channels<WIDTH>(gy + first + i * stride);
                held[i] = load_channels<WIDTH>(x + first + i * stride);
            }
        apply_relu_gradient(g, held, y, scale, shift, at.channel, first, stride, count);
#pragma unroll
        for (int i = 0; i < THREAD_PIXELS; i++)
            for (int k = 0; k < WIDTH; k++) {
                sum.of[k] += g[i].of[k];
                products.of[k] += g[i].of[k] * (held[i].of[k] - centre.of[k]);
            }
    }
    struct Sums {
        Channels<WIDTH> g, products;
        float unused;  // an odd number of floats: the threads of a warp reach for different banks of the memory
    };
    auto* shared = reinterpret_cast<Sums*>(shared_floats());
    shared[threadIdx.x] = {sum, products, 0};
    for (int half = at.rows / 2; half > 0; half /= 2) {
        __syncthreads();
        if (at.row >= half) continue;
        Sums &own = shared[threadIdx.x], other = shared[threadIdx.x + half * columns];
        for (int k = 0; k < WIDTH; k++) {
            own.g.of[k] += other.g.of[k];
            own.products.of[k] += other.products.of[k];
        }
    }
    if (at.row > 0 || at.channel >= C) return;
    float* result = partials + size_t(blockIdx.x) * 2 * C + at.channel;
    for (int k = 0; k < WIDTH; k++) {
        result[k] = shared[threadIdx.x].g.of[k];
        result[C + k] = shared[threadIdx.x].products.of[k] / sqrtf(var[at.channel + k] + eps);
    }
}

// gx = gamma / sqrt(var + eps) (g - gbeta / M - xhat ggamma / M), M = pixels. If ggamma and gbeta are null, mean and
// var are constants, and gx = gamma / sqrt(var + eps) g. If g_written is not null, g is written there. Each thread
// writes THREAD_PIXELS pixels.
template <class T, int WIDTH>
__device__ void input_gradient(const T* gy, const T* x, const T* y, const float* scale, const float* shift,
                               const float* gamma, const float* mean, const float* var, float eps,
                               const float* ggamma, const float* gbeta, int pixels, int C, int columns, T* gx,
                               T* g_written) {
    Place at = place_of_thread<WIDTH>(columns);
    size_t first = (size_t(blockIdx.x) * at.rows * THREAD_PIXELS + at.row) * C + at.channel;
    size_t stride = size_t(at.rows) * C;
    int count = pixels_of_thread(size_t(blockIdx.x) * at.rows * THREAD_PIXELS + at.row, at.rows, pixels);
    if (at.channel >= C) return;
    Channels<WIDTH> g[THREAD_PIXELS] = {}, held[THREAD_PIXELS] = {};
#pragma unroll
    for (int i = 0; i < THREAD_PIXELS; i++)
        if (i < count) {
            g[i] = load_channels<WIDTH>(gy + first + i * stride);
            held[i] = load_channels<WIDTH>(x + first + i * stride);
        }
    apply_relu_gradient(g, held, y, scale, shift, at.channel, first, stride, count);
    Channels<WIDTH> factor, constant = {}, slope = {}, centre = load_values<WIDTH>(mean + at.channel);
    for (int k = 0; k < WIDTH; k++) {
        int c = at.channel + k;
        float inverse = 1 / sqrtf(var[c] + eps);
        factor.of[k] = gamma[c] * inverse;
        if (!ggamma) continue;
        constant.of[k] = gbeta[c] / pixels;
        slope.of[k] = ggamma[c] / pixels * inverse;
    }
#pragma unroll
    for (int i = 0; i < THREAD_PIXELS; i++) {
        if (i >= count) continue;
        if (g_written) store_channels<WIDTH>(g_written + first + i * stride, g[i]);
        for (int k = 0; k < WIDTH; k++) {
            float centred = held[i].of[k] - centre.of[k];
            g[i].of[k] = factor.of[k] * (g[i].of[k] - constant.of[k] - slope.of[k] * centred);
        }
        store_channels<WIDTH>(gx + first + i * stride, g[i]);
    }
}

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)
#define FOR_MAPS_OF(T)                                                                                            \
    KERNEL moments_##T(const T* x, int pixels, int C, int width, int columns, float* partials) {                  \
        BY_WIDTH(moments, T, x, pixels, C, columns, partials);                                                    \
    }                                                                                                             \
    KERNEL scale_and_shift_##T(const T* x, const float* scale, const float* shift, const T* z, int relu, T* y,    \
                               int pixels, int C, int width, int columns) {                                       \
        BY_WIDTH(scale_and_shift, T, x, scale, shift, z, relu, y, pixels, C, columns);                            \
    }                                                                                                             \
    KERNEL gradient_sums_##T(const T* gy, const T* x, const T* y, const float* scale, const float* shift,         \
                             const float* mean, const float* var, float eps, int pixels, int C, int width,        \
                             int columns, float* partials) {                                                      \
        BY_WIDTH(gradient_sums, T, gy, x, y, scale, shift, mean, var, eps, pixels, C, columns, partials);         \
    }                                                                                                             \
    KERNEL input_gradient_##T(const T* gy, const T* x, const T* y, const float* scale, const float* shift,        \
                              const float* gamma, const float* mean, const float* var, float eps,                 \
                              const float* ggamma, const float* gbeta, int pixels, int C, int width,              \
                              int columns, T* gx, T* g) {                                                         \
        BY_WIDTH(input_gradient, T, gy, x, y, scale, shift, gamma, mean, var, eps, ggamma, gbeta, pixels, C,      \
                 columns, gx, g);                                                                                 \
    }
FOR_MAPS_OF(float)
FOR_MAPS_OF(bfloat16)
