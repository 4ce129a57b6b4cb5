// Stochastic gradient descent on all parameters of a network in one launch.
#include "common.cuh"

constexpr int BLOCK_ELEMENTS = 2048;  // elements that a block updates: one piece of a tensor

// The addresses of a parameter, its gradient and its velocity, and how many elements each has.
struct Tensor {
    float* parameter;
    const float* gradient;  // null: the parameter is left alone
    float* velocity;
    long long count;
};

struct Rule {
    float rate, momentum, weight_decay;
    bool nesterov;

    // g = gradient + weight_decay p        v = momentum v + g        p = p - rate v, or p - rate (g + momentum v)
    __device__ void update(float& p, float g, float& v) const {
        g += weight_decay * p;
        v = momentum * v + g;
        p -= rate * (nesterov ? g + momentum * v : v);
    }
};

__device__ inline bool divisible_by_16(const void* p) { return reinterpret_cast<size_t>(p) % 16 == 0; }

// blocks: for each block the number of its tensor and the number of its piece. rate: a number in the GPU's memory,
// because a CUDA graph passes the same arguments at every launch, while the learning rate changes.
extern "C" __global__ void sgd_update(const Tensor* tensors, const int2* blocks, const float* rate, float momentum,
                                      float weight_decay, int nesterov) {
    Tensor tensor = tensors[blocks[blockIdx.x].x];
    if (!tensor.gradient) return;
    Rule rule = {*rate, momentum, weight_decay, nesterov != 0};
    float* p = tensor.parameter;
    float* v = tensor.velocity;
    const float* g = tensor.gradient;
    bool four_at_once = divisible_by_16(p) && divisible_by_16(g) && divisible_by_16(v);
    long long start = static_cast<long long>(blocks[blockIdx.x].y) * BLOCK_ELEMENTS;
    long long end = min(start + BLOCK_ELEMENTS, tensor.count);
    for (long long i = start + threadIdx.x * 4; i < end; i += blockDim.x * 4) {
        if (four_at_once && i + 4 <= end) {
            float4 parameter = load4(p + i), velocity = load4(v + i), gradient = load4(g + i);
            rule.update(parameter.x, gradient.x, velocity.x);
            rule.update(parameter.y, gradient.y, velocity.y);
            rule.update(parameter.z, gradient.z, velocity.z);
            rule.update(parameter.w, gradient.w, velocity.w);
            store4(p + i, parameter);
            store4(v + i, velocity);
        } else {
            for (long long j = i; j < min(i + 4, end); j++) rule.update(p[j], g[j], v[j]);
        }
    }
}
