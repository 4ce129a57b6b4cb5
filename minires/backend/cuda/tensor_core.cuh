// Matrix products of a warp on tensor cores.
//
// One instruction multiplies D += A B, with A (16, 8), B (8, 8), D (16, 8): 2048 operations. The 32 lanes of the warp
// hold the matrices together, each lane a few entries, its fragment. With g = lane / 4 and t = lane % 4:
//
//            A, a[0..3]                     B, b[0..1]                     D, d[0..3]
//
//         k: t      4+t                  n:  g                        n:  2t   2t+1
//          +------+------+                +------+                     +---------+
//    m: g  | a[0] | a[2] |         k: t   | b[0] |               m: g  | d[0] d[1] |
//          +------+------+                +------+                     +---------+
//      8+g | a[1] | a[3] |           4+t  | b[1] |                 8+g | d[2] d[3] |
//          +------+------+                +------+                     +---------+
//
// So lane 6 (g = 1, t = 2) has a[0] = A[1, 2], a[1] = A[9, 2], a[2] = A[1, 6], a[3] = A[9, 6], b[0] = B[2, 1],
// b[1] = B[6, 1], and d = D[1, 4], D[1, 5], D[9, 4], D[9, 5].
//
// The factors are TF32: float32 without its last 13 bits, 10 bits behind the point. Products are exact and are added
// up in float32.
#pragma once
#include "common.cuh"

#ifndef RUNS_ON_CPU
// The nearest TF32 number. The hardware itself would cut off the last bits, which makes all factors a little smaller.
__device__ inline float round_to_tf32(float value) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
    return __uint_as_float(rounded);
}

// d += a b, computed by all lanes of a warp together. a and b must be TF32 numbers.
__device__ inline void warp_matrix_product_16x8x8(float d[4], const float a[4], const float b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
#endif

// A factor as it is stored in shared memory: rounded to TF32 once, not each time that it is used. With PRECISE all its
// bits are kept.
template <bool PRECISE>
__device__ inline float as_factor(float value) {
    return PRECISE ? value : round_to_tf32(value);
}

// A lane's share of A (SIZE 4) or B (SIZE 2), ready to be multiplied.
template <int SIZE>
struct Fragment {
    float big[SIZE], small[SIZE];
};

// v: numbers that as_factor has returned. With PRECISE each is split into two TF32 numbers, v = big + small.
template <bool PRECISE, int SIZE>
__device__ inline Fragment<SIZE> fragment(const float (&v)[SIZE]) {
    Fragment<SIZE> result;
    for (int i = 0; i < SIZE; i++) {
        result.big[i] = PRECISE ? round_to_tf32(v[i]) : v[i];
        result.small[i] = PRECISE ? round_to_tf32(v[i] - result.big[i]) : 0;
    }
    return result;
}

// d += a b. With PRECISE, to float32's precision,
//     a b = a_small b_big + a_big b_small + a_big b_big,
// since a_small b_small is below float32's last bit. Tensor cores truncate their sums instead of rounding them, so that
// long sums would drift. Therefore they only add up 8 products at a time, and ordinary additions add up these sums
// (Ootomo and Yokota 2022).
template <bool PRECISE>
__device__ inline void multiply_add(float (&d)[4], const Fragment<4>& a, const Fragment<2>& b) {
    if constexpr (PRECISE) {
        float sum[4] = {};
        warp_matrix_product_16x8x8(sum, a.small, b.big);
        warp_matrix_product_16x8x8(sum, a.big, b.small);
        warp_matrix_product_16x8x8(sum, a.big, b.big);
        for (int i = 0; i < 4; i++) d[i] += sum[i];
    } else {
        warp_matrix_product_16x8x8(d, a.big, b.big);
    }
}

// The sum of `count` numbers, `distance` apart, in a fixed order. A block computes 32 such sums side by side, one in
// each lane, and each of its warps adds up a part of the numbers. The result is in the lanes of the first warp.
// exists: whether this lane has a sum. scratch: a shared float for each thread.
__device__ inline float sum_of_parts(const float* first, int count, size_t distance, bool exists, float* scratch) {
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    float sum = 0;
    for (int i = warp; exists && i < count; i += warps) sum += first[i * distance];
    scratch[threadIdx.x] = sum;
    __syncthreads();
    for (int i = 1; warp == 0 && i < warps; i++) sum += scratch[i * WARP + lane];
    return sum;
}
