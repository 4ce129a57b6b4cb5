// Maps, N, H, W, C in memory, seen as a table: a row for each pixel of each image, a column for each channel.
//
// The threads of a block lie over it as a smaller table, so that neighbouring threads touch neighbouring numbers:
// `columns` of them side by side, each on WIDTH channels (1 or 4), and below each other on different pixels.
#pragma once
#include "common.cuh"

template <int WIDTH>
struct Channels {
    float of[WIDTH];
};

template <int WIDTH, class T>
__device__ inline Channels<WIDTH> load_channels(const T* p) {
    Channels<WIDTH> x;
    if constexpr (WIDTH == 4) {
        float4 four = load4(p);
        x.of[0] = four.x, x.of[1] = four.y, x.of[2] = four.z, x.of[3] = four.w;
    } else {
        x.of[0] = load(p);
    }
    return x;
}

template <int WIDTH, class T>
__device__ inline void store_channels(T* p, Channels<WIDTH> x) {
    if constexpr (WIDTH == 4)
        store4(p, make_float4(x.of[0], x.of[1], x.of[2], x.of[3]));
    else
        store(p, x.of[0]);
}

// What belongs to a channel is read one by one: unlike a map it may begin anywhere in memory.
template <int WIDTH>
__device__ inline Channels<WIDTH> of_channels(const float* values, float otherwise = 0) {
    Channels<WIDTH> x;
    for (int k = 0; k < WIDTH; k++) x.of[k] = values ? values[k] : otherwise;
    return x;
}

struct Place {
    int row, rows;  // which row of the block's table this thread is in, of how many
    int channel;    // the first of its channels
};

// blockIdx.y counts the tables that it takes side by side for all channels.
template <int WIDTH>
__device__ inline Place place_of_thread(int columns) {
    int column = threadIdx.x % columns;
    return {int(threadIdx.x) / columns, int(blockDim.x) / columns, int(blockIdx.y * columns + column) * WIDTH};
}

// A kernel's work, by the width that it was told to use.
#define BY_WIDTH(kernel, T, ...) width == 4 ? kernel<T, 4>(__VA_ARGS__) : kernel<T, 1>(__VA_ARGS__)
