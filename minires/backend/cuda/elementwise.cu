// Elementwise operations on arrays whose elements are stored in the same order without gaps.
//
// Each thread computes four neighbours, the last thread perhaps fewer; each block blockDim.x * 4 elements.
#include "common.cuh"

struct Relu {
    __device__ static float of(float x, float) { return x < 0 ? 0 : x; }  // a NaN stays a NaN
};
struct ReluGradient {
    __device__ static float of(float gy, float y) { return y <= 0 ? 0 : gy; }  // gy also where y is NaN
};
struct Add {
    __device__ static float of(float a, float b) { return a + b; }
};

template <class Operation, class T>
__device__ void apply(const T* a, const T* b, T* y, size_t count) {
    size_t first = (size_t(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
    if (first + 4 <= count) {
        float4 p = load4(a + first), q = load4(b + first);
        store4(y + first, make_float4(Operation::of(p.x, q.x), Operation::of(p.y, q.y), Operation::of(p.z, q.z),
                                      Operation::of(p.w, q.w)));
    } else {
        for (size_t i = first; i < count; i++) store(y + i, Operation::of(load(a + i), load(b + i)));
    }
}

#define FOR_MAPS_OF(T)                                                                                         \
    extern "C" __global__ void relu_##T(const T* x, T* y, long long count) { apply<Relu>(x, x, y, count); }    \
    extern "C" __global__ void relu_gradient_##T(const T* gy, const T* y, T* gx, long long count) {            \
        apply<ReluGradient>(gy, y, gx, count);                                                                 \
    }                                                                                                          \
    extern "C" __global__ void add_##T(const T* a, const T* b, T* y, long long count) {                        \
        apply<Add>(a, b, y, count);                                                                            \
    }
FOR_MAPS_OF(float)
FOR_MAPS_OF(bfloat16)
