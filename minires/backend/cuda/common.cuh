// What all kernel files share: storage types, shared memory, sums over a warp and over a block.
//
// For a GPU, NVRTC compiles these files. The tests also compile them with a C++ compiler and run them on the CPU,
// thread by thread; there another header takes the place of CUDA's own and defines RUNS_ON_CPU.
#pragma once

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// A float without its lower 16 bits: as many exponent bits, 8 bits of precision, half the memory.
struct bfloat16 {
    unsigned short bits;
};

// Maps are stored as float or bfloat16. All computations are in float.
__device__ inline float load(const float* p) { return *p; }
__device__ inline void store(float* p, float value) { *p = value; }

__device__ inline float load(const bfloat16* p) { return __uint_as_float(unsigned(p->bits) << 16); }

__device__ inline void store(bfloat16* p, float value) {
    unsigned bits = __float_as_uint(value);
    bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    // To the nearest number, a tie to the even one. A NaN must not become an infinity.
    unsigned rounded = is_nan ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1u);
    p->bits = static_cast<unsigned short>(rounded >> 16);
}

// Four neighbours at once: one instruction instead of four. The address p must be a multiple of four elements' size.
__device__ inline float4 load4(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ inline void store4(float* p, float4 v) { *reinterpret_cast<float4*>(p) = v; }

__device__ inline float4 load4(const bfloat16* p) {
    uint2 two = *reinterpret_cast<const uint2*>(p);
    return make_float4(__uint_as_float(two.x << 16), __uint_as_float(two.x & 0xffff0000u),
                       __uint_as_float(two.y << 16), __uint_as_float(two.y & 0xffff0000u));
}

__device__ inline void store4(bfloat16* p, float4 v) {
    bfloat16 four[4];
    store(four, v.x);
    store(four + 1, v.y);
    store(four + 2, v.z);
    store(four + 3, v.w);
    *reinterpret_cast<uint2*>(p) =
        make_uint2(four[0].bits | unsigned(four[1].bits) << 16, four[2].bits | unsigned(four[3].bits) << 16);
}

#ifndef RUNS_ON_CPU
// The block's shared memory; the launch says how much there is.
__device__ inline float* shared_floats() {
    extern __shared__ float4 shared_memory[];
    return reinterpret_cast<float*>(shared_memory);
}
#endif

// The sum over the 32 lanes of a warp, the same bits in every lane.
__device__ inline float warp_sum(float value) {
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(ALL_LANES, value, distance);
    return value;
}

// The sum over a block of whole warps, in every thread. `scratch`: one shared float for each warp.
__device__ inline float block_sum(float value, float* scratch) {
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    value = warp_sum(value);
    __syncthreads();  // threads may still read the scratch of the sum before
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    float total = 0;
    for (int i = 0; i < warps; i++) total += scratch[i];
    return total;
}

__device__ inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
