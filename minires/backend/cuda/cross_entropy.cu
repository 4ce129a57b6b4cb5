// Softmax and cross-entropy, and the counts of a training step. Each row of the logits, (N, K), belongs to one warp,
// whose lanes take every 32nd class.
#include "common.cuh"

__device__ inline int row_of_warp() { return (blockIdx.x * blockDim.x + threadIdx.x) / WARP; }

__device__ inline float warp_max(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, distance));
    return value;
}

// For a label that is not a class, the loss and the gradient become NaN: the CPU cannot check labels without waiting
// for the GPU.
__device__ inline bool is_class(long long label, int K) { return label >= 0 && label < K; }
__device__ inline float not_a_number() { return __uint_as_float(0x7fc00000u); }

// log_p = x - log sum e^x        loss = -log_p[label]
//
// x, log_p: (N, K), labels, losses: (N,). The row's largest logit is subtracted first, so that e^x cannot overflow.
extern "C" __global__ void cross_entropy(const float* x, const long long* labels, int N, int K, float* losses,
                                         float* log_p) {
    int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= N) return;
    x += size_t(row) * K;
    log_p += size_t(row) * K;
    float largest = __uint_as_float(0xff800000u);  // minus infinity
    for (int k = lane; k < K; k += WARP) largest = fmaxf(largest, x[k]);
    largest = warp_max(largest);
    float sum = 0;
    for (int k = lane; k < K; k += WARP) sum += expf(x[k] - largest);
    float log_sum = logf(warp_sum(sum));
    for (int k = lane; k < K; k += WARP) log_p[k] = x[k] - largest - log_sum;
    if (lane > 0) return;
    long long label = labels[row];
    losses[row] = is_class(label, K) ? log_sum - (x[label] - largest) : not_a_number();
}

// gx = gy (softmax(x) - onehot(label)), softmax(x) = e^log_p. gy: (N,), gx: (N, K).
extern "C" __global__ void cross_entropy_gradient(const float* gy, const float* log_p, const long long* labels, int N,
                                                  int K, float* gx) {
    int row = row_of_warp(), lane = threadIdx.x % WARP;
    if (row >= N) return;
    long long label = labels[row];
    float upstream = is_class(label, K) ? gy[row] : not_a_number();
    for (int k = lane; k < K; k += WARP) {
        size_t i = size_t(row) * K + k;
        gx[i] = upstream * (expf(log_p[i]) - (k == label));
    }
}

// Whether the prediction, the position of the largest logit, the first of several, is not the label; in every lane.
__device__ inline bool is_wrong(const float* logits, long long label, int K) {
    float largest = __uint_as_float(0xff800000u);
    int position = K;  // a lane without a class
    for (int k = threadIdx.x % WARP; k < K; k += WARP)
        if (logits[k] > largest || position == K) largest = logits[k], position = k;
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        float other = __shfl_xor_sync(ALL_LANES, largest, distance);
        int other_position = __shfl_xor_sync(ALL_LANES, position, distance);
        bool is_first = position == K || other > largest || (other == largest && other_position < position);
        if (other_position < K && is_first) largest = other, position = other_position;
    }
    return position != label;
}

// sums += (N loss, how many predictions are wrong, N). loss: the mean of the losses; sums: (3,), in double precision,
// because a run adds up many batches. There is one block. Each of its warps takes every `warps`-th row; then the first
// thread adds up the counts of the warps.
extern "C" __global__ void __launch_bounds__(1024) count_batch(double* sums, const float* loss, const float* logits,
                                                               const long long* labels, int N, int K) {
    int warp = threadIdx.x / WARP, warps = blockDim.x / WARP, wrong = 0;
    for (int row = warp; row < N; row += warps) wrong += is_wrong(logits + size_t(row) * K, labels[row], K);
    float* shared = shared_floats();
    if (threadIdx.x % WARP == 0) shared[warp] = wrong;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int i = 1; i < warps; i++) wrong += int(shared[i]);
    sums[0] += double(*loss) * N;
    sums[1] += wrong;
    sums[2] += N;
}
