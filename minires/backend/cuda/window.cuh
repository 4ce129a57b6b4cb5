// The window that slides over a map in pooling and in im2col: the numbers of backend/window.py, and the map's sizes.
#pragma once
#include "common.cuh"

#define MINUS_INFINITY __uint_as_float(0xff800000u)

// The parameters of a kernel are these numbers one by one, in this order; in its body they are one Geometry.
#define GEOMETRY                                                                                                \
    int C, int H, int W, int OH, int OW, int KH, int KW, int stride_h, int stride_w, int padding_h,             \
        int padding_w, int dilation_h, int dilation_w
#define THE_GEOMETRY                                                                                            \
    Geometry {                                                                                                  \
        C, H, W, OH, OW, KH, KW, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w               \
    }

struct Geometry {
    int C, H, W, OH, OW, KH, KW, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

    // The row of the map that element i of the window covers at output row p; it may be outside of the map.
    __device__ int h_of(int p, int i) const { return p * stride_h - padding_h + i * dilation_h; }
    __device__ int w_of(int q, int j) const { return q * stride_w - padding_w + j * dilation_w; }
    __device__ bool inside(int h, int w) const { return h >= 0 && h < H && w >= 0 && w < W; }

    // The output row at which element i of the window covers row h, or -1 if there is none.
    __device__ int p_of(int h, int i) const {
        int top = h + padding_h - i * dilation_h;
        return top >= 0 && top % stride_h == 0 && top / stride_h < OH ? top / stride_h : -1;
    }
    __device__ int q_of(int w, int j) const {
        int left = w + padding_w - j * dilation_w;
        return left >= 0 && left % stride_w == 0 && left / stride_w < OW ? left / stride_w : -1;
    }
};
