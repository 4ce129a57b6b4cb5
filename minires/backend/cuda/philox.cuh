// Random words without a state: Philox 4x64-10, the same words as those of NumPy's generator of that name.
//
// Ten rounds scramble a counter (a, b, c, d) under a key (k, l), all of them words of 64 bits. In each round
//   a, b, c, d = high(M2 c) ^ b ^ k,  low(M2 c),  high(M1 a) ^ d ^ l,  low(M1 a)
// where high and low are the halves of a product of 128 bits; then a constant is added to the key. No word depends
// on the words before it, so each thread computes the word that it needs.
//
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4.3.
#pragma once
#include "common.cuh"

using Word = unsigned long long;

struct Key {
    Word k, l;
};

// Word i of a step, as data/randomness.py numbers them: four words for each counter; the counters begin with 1.
__device__ inline Word random_word(Key key, Word step, Word i) {
    constexpr Word M1 = 0xD2E7470EE14C6C93, M2 = 0xCA5A826395121157;
    Word a = i / 4 + 1, b = step, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        Word from_a = __umul64hi(M1, a), from_c = __umul64hi(M2, c);
        Word next_a = from_c ^ b ^ key.k, next_c = from_a ^ d ^ key.l;
        b = M2 * c;
        d = M1 * a;
        a = next_a;
        c = next_c;
        key.k += 0x9E3779B97F4A7C15;  // (golden ratio - 1) 2^64 and (square root of 3 - 1) 2^64
        key.l += 0xBB67AE8584CAA73B;
    }
    switch (i % 4) {
        case 0: return a;
        case 1: return b;
        case 2: return c;
        default: return d;
    }
}
