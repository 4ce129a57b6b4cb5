// Takes the place of CUDA's own headers for a C++ compiler: all functions of CUDA that the kernels of minires use.
//
// Other functions are left out on purpose: a kernel that calls one does not compile, and its tests fail.
#pragma once

#include <math.h>

#include "block.h"

#define RUNS_ON_CPU
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// Vectors

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Numbers

namespace emulator {
template <class To, class From>
To same_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}
}  // namespace emulator

inline unsigned __float_as_uint(float value) { return emulator::same_bits<unsigned>(value); }
inline int __float_as_int(float value) { return emulator::same_bits<int>(value); }
inline float __uint_as_float(unsigned value) { return emulator::same_bits<float>(value); }
inline float __int_as_float(int value) { return emulator::same_bits<float>(value); }

inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned long long>(a) * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned __int128>(a) * b >> 64;
}

inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float rsqrtf(float value) { return 1 / sqrtf(value); }

#define EMULATOR_MIN_AND_MAX(T, A, B) \
    inline T min(A a, B b) {          \
        T x = a, y = b;               \
        return x < y ? x : y;         \
    }                                 \
    inline T max(A a, B b) {          \
        T x = a, y = b;               \
        return x < y ? y : x;         \
    }
EMULATOR_MIN_AND_MAX(int, int, int)
EMULATOR_MIN_AND_MAX(unsigned, unsigned, unsigned)
EMULATOR_MIN_AND_MAX(unsigned, int, unsigned)
EMULATOR_MIN_AND_MAX(unsigned, unsigned, int)
EMULATOR_MIN_AND_MAX(long, long, long)
EMULATOR_MIN_AND_MAX(unsigned long, unsigned long, unsigned long)
EMULATOR_MIN_AND_MAX(long long, long long, long long)
EMULATOR_MIN_AND_MAX(unsigned long long, unsigned long long, unsigned long long)
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }

// Memory. Blocks run one after the other, and a thread runs until it waits for others: all accesses are in order.

template <class T>
T __ldg(const T* p) {
    return *p;
}

inline void __threadfence() {}

inline int atomicAdd(int* p, int value) {
    int before = *p;
    *p = static_cast<int>(static_cast<unsigned>(before) + static_cast<unsigned>(value));
    return before;
}

inline unsigned atomicAdd(unsigned* p, unsigned value) {
    unsigned before = *p;
    *p = before + value;
    return before;
}

inline float* shared_floats() { return reinterpret_cast<float*>(emulator::shared_memory); }

// Together with the other threads of the block or of the warp

// A last parameter that tells a function from which line it was called.
#define EMULATOR_CALLER emulator::Line line = emulator::Line(__builtin_LINE())

inline void __syncthreads(EMULATOR_CALLER) { emulator::wait("__syncthreads", line, false); }

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATOR_CALLER) {
    emulator::Exchange("__syncwarp", line, mask, 0);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, EMULATOR_CALLER) {
    return emulator::Exchange("__shfl_sync", line, mask, value).template from<T>(source & 31);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, EMULATOR_CALLER) {
    return emulator::Exchange("__shfl_xor_sync", line, mask, value).template from<T>(emulator::lane() ^ (bits & 31));
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, EMULATOR_CALLER) {
    emulator::Exchange exchange("__shfl_down_sync", line, mask, value);
    unsigned source = emulator::lane() + distance;
    return source < 32 ? exchange.from<T>(source) : value;
}

inline unsigned __ballot_sync(unsigned mask, int predicate, EMULATOR_CALLER) {
    emulator::Exchange exchange("__ballot_sync", line, mask, predicate);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++) votes |= unsigned(exchange.from<int>(lane) != 0) << lane;
    return votes;
}

// Tensor cores

// The nearest number with 10 bits behind the point, a tie away from zero: the instruction cvt.rna.tf32.f32.
inline float round_to_tf32(float value) {
    unsigned bits = __float_as_uint(value);
    bool finite = (bits & 0x7f800000u) != 0x7f800000u;
    return finite ? __uint_as_float((bits + 0x1000u) & 0xffffe000u) : value;
}

// D += A B of a warp, A (16, 8) and B (8, 8), as the instruction mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
// computes it. Every lane holds a part of the matrices; with g = lane / 4 and t = lane % 4
//   a: A[g, t], A[g+8, t], A[g, t+4], A[g+8, t+4]    b: B[t, g], B[t+4, g]
//   d: D[g, 2t], D[g, 2t+1], D[g+8, 2t], D[g+8, 2t+1]
// The lower 13 bits of a and b have no effect: they are cut off if the numbers were not rounded before.
inline void warp_matrix_product_16x8x8(float d[4], const float a[4], const float b[2], EMULATOR_CALLER) {
    struct Share {
        float a[4], b[2];
    } own = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    emulator::Exchange exchange("warp_matrix_product_16x8x8", line, 0xffffffffu, own);
    auto truncate = [](float value) { return __uint_as_float(__float_as_uint(value) & 0xffffe000u); };
    int g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int k = 0; k < 8; k++) {
        Share row = exchange.from<Share>(4 * g + k % 4);
        for (int j = 0; j < 2; j++) {
            Share column = exchange.from<Share>(4 * (2 * t + j) + k % 4);
            float factor = truncate(column.b[k / 4]);
            d[j] += truncate(row.a[k / 4 * 2]) * factor;
            d[2 + j] += truncate(row.a[k / 4 * 2 + 1]) * factor;
        }
    }
}
