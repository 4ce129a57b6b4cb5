// Maps, N, H, W, C in memory, seen as a table: a row for each pixel of each image, a column for each channel.
//
// The threads of a block form a smaller table that covers a part of it: `columns` threads side by side, each with WIDTH
// channels (1 or 4), and rows of threads for different pixels. So neighbouring threads touch neighbouring numbers.
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

// The thread's part of an array with one value for each channel, or a constant if there is no array. The values are
// read one by one: unlike a map, such an array may begin at any address.
template <int WIDTH>
__device__ inline Channels<WIDTH> load_values(const float* values, float constant = 0) {
    Channels<WIDTH> x;
    for (int k = 0; k < WIDTH; k++) x.of[k] = values ? values[k] : constant;
    return x;
}

struct Place {
    int row, rows;  // the thread's row in the block's table, and the number of rows
    int channel;    // the first of the thread's channels
};

// blockIdx.y is the number of the table: several tables side by side cover all channels.
template <int WIDTH>
__device__ inline Place place_of_thread(int columns) {
    int column = threadIdx.x % columns;
    return {int(threadIdx.x) / columns, int(blockDim.x) / columns, int(blockIdx.y * columns + column) * WIDTH};
}

// Calls a function template for the width that the kernel is given, 4 or 1.
#define BY_WIDTH(kernel, T, ...) width == 4 ? kernel<T, 4>(__VA_ARGS__) : kernel<T, 1>(__VA_ARGS__)
