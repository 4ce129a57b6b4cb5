// How convolutions read their maps: every output pixel gathers input pixels, one for each tap of a window.
//
// A convolution y of x and the gradient gx of gy are the same gather with other maps. Along one axis, pixel
//     p = phases q + r,        r = 0 .. phases - 1 its phase,
// of the target reads, for each tap i of the window, pixel
//     stride q + (start + r + i dilation) / phases
// of the source, if the division leaves no remainder. With the convolution's stride S, padding P, dilation D, K taps:
//     forward:         phases = 1,  stride = S,  start = -P
//     input gradient:  phases = S,  stride = 1,  start = P - (K-1) D,  tap i is W[K-1-i]
// The gradient divides by the convolution's stride. Imagine its source with S - 1 zeros between the pixels: only the
// taps that meet a pixel and not a zero are in use. All pixels of a phase use the same taps, every `period`-th one.
//
// A block computes a tile of pixels of one phase. The pixels of the source that the tile reads are its halo:
//
//        halo, 18 x 10 pixels       tile, 16 x 8 pixels (for 3 x 3 taps, stride 1)
//      + - - - - - - - - - - +
//      |  +---------------+  |
//      |  |               |  |      Each number of the halo is read from the map once and used up to 9 times (and
//      |  |               |  |      again for each output channel): the columns of im2col, which are never written.
//      .  .               .  .
//      |  +---------------+  |
//      + - - - - - - - - - - +
//
// If no tap reads some of the rows (for example with stride 2 and a single tap), the halo leaves them out: it holds
// every `grain`-th row of the source, and `step` and `spacing` count rows of the halo. The same holds for columns.
#pragma once
#include "tensor_core.cuh"

constexpr int TILE_COLUMNS = 8;

// One axis of a gather, the same for all blocks. gather.py computes the numbers.
struct Axis {
    int source, target;  // sizes of the maps
    int taps;            // K
    int phases, start, dilation;
    int period;   // a phase uses every `period`-th tap, from the first one without a remainder on
    int step;     // from a pixel of the tile to the next one, in the halo
    int spacing;  // from a tap in use to the next one, in the halo
    int grain;    // from a pixel of the halo to the next one, in the source
};

// The parameters of a kernel are the numbers of an axis one by one.
#define AXIS_PARAMETERS(A) \
    int A##_source, int A##_target, int A##_taps, int A##_phases, int A##_start, int A##_dilation, int A##_period, \
        int A##_step, int A##_spacing, int A##_grain
#define AXIS(A)                                                                                                 \
    Axis {                                                                                                      \
        A##_source, A##_target, A##_taps, A##_phases, A##_start, A##_dilation, A##_period, A##_step,            \
            A##_spacing, A##_grain                                                                              \
    }

// The part of the source that one tile reads along an axis.
struct Reach {
    int origin, size, grain;  // the halo has `size` pixels: origin, origin + grain, ... of the source
    int source;               // the source's pixels are 0 .. source - 1
    int first, count;         // the taps in use: first, first + period, ..., `count` of them
};

// The reach of the pixels q = begin .. begin + tile - 1 of a phase.
__device__ inline Reach reach_of(const Axis& axis, int phase, int begin, int tile) {
    int first = 0, numerator = axis.start + phase;
    for (; first < axis.taps && numerator % axis.phases != 0; first++) numerator += axis.dilation;
    if (first == axis.taps) return {};
    int count = ceil_div(axis.taps - first, axis.period);
    int origin = numerator / axis.phases + begin * axis.step * axis.grain;
    int size = (tile - 1) * axis.step + (count - 1) * axis.spacing + 1;
    return {origin, size, axis.grain, axis.source, first, count};
}

// The index of tap i among the taps in use, or -1 if it is not in use.
__device__ inline int tap_in_use(const Axis& axis, const Reach& reach, int i) {
    int distance = i - reach.first;
    return distance >= 0 && reach.count > 0 && distance % axis.period == 0 ? distance / axis.period : -1;
}

// Four neighbouring channels of a map. Only the first `count` of them exist; the others are 0. by_four: the number of
// channels is a multiple of four, so that all four exist, at an address from which four can be loaded at once.
template <class T>
__device__ inline void load_channels(float (&v)[4], const T* p, int count, bool by_four) {
    if (by_four && count > 0) {
        float4 four = load4(p);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else {
        for (int i = 0; i < 4; i++) v[i] = i < count ? load(p + i) : 0;
    }
}

template <class T>
__device__ inline void store_channels(T* p, const float (&v)[4], int count, bool by_four) {
    if (by_four && count > 0) {
        store4(p, make_float4(v[0], v[1], v[2], v[3]));
    } else {
        for (int i = 0; i < 4; i++)
            if (i < count) store(p + i, v[i]);
    }
}

// max(v, 0); a NaN stays a NaN.
__device__ inline float rectified(float v) { return v < 0 ? 0 : v; }

// If `scale` is not null, the kernel reads max(scale x + shift, 0) in place of the map x. A scale and a shift for each
// channel.
struct Prologue {
    const float *scale, *shift;
};

// A range of channels of a map that has `all` channels: `count` of them, beginning with `first`.
struct ChannelRange {
    int first, count, all;
};

// Load a halo into shared memory: its pixels, `pitch` floats apart, each with 4 * quads channels. Pixels outside of the
// map and channels that do not exist become 0, also where there is a prologue: padding is not normalized.
//
// A thread keeps its quad of channels and goes from pixel to pixel; neighbouring threads read neighbouring quads. Since
// memory answers slowly, a thread starts to load AT_ONCE pixels before it uses the first of them.
template <bool PRECISE, int AT_ONCE, class T>
__device__ void load_halo(float* halo, int pitch, int quads, const T* image, ChannelRange channels, const Reach& rows,
                          const Reach& columns, Prologue prologue) {
    int side_by_side = blockDim.x / quads;  // pixels that the block loads at the same time
    int quad = threadIdx.x % quads, count = channels.count - 4 * quad;
    int channel = channels.first + 4 * quad;
    bool by_four = channels.all % 4 == 0 && channels.first % 4 == 0 && channels.count % 4 == 0;
    float scale[4] = {}, shift[4] = {};
    for (int i = 0; prologue.scale && i < 4; i++) {
        scale[i] = i < count ? prologue.scale[channel + i] : 0;
        shift[i] = i < count ? prologue.shift[channel + i] : 0;
    }
    int pixels = threadIdx.x < side_by_side * quads ? rows.size * columns.size : 0;
    for (int first = threadIdx.x / quads; first < pixels; first += AT_ONCE * side_by_side) {
        float v[AT_ONCE][4] = {};
        bool inside[AT_ONCE];
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            unsigned pixel = first + n * side_by_side, width = columns.size;
            int row = rows.origin + pixel / width * rows.grain, column = columns.origin + pixel % width * columns.grain;
            inside[n] = pixel < pixels && 0 <= row && row < rows.source && 0 <= column && column < columns.source;
            size_t offset = (size_t(row) * columns.source + column) * channels.all + channel;
            if (inside[n]) load_channels(v[n], image + offset, count, by_four);
        }
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            int pixel = first + n * side_by_side;
            if (pixel >= pixels) continue;
            if (prologue.scale && inside[n])
                for (int i = 0; i < 4; i++) v[n][i] = rectified(fmaf(scale[i], v[n][i], shift[i]));
            for (int i = 0; i < 4; i++) v[n][i] = as_factor<PRECISE>(v[n][i]);
            float* place = halo + 4 * (pixel * (pitch / 4) + quad);
            store4(place, make_float4(v[n][0], v[n][1], v[n][2], v[n][3]));
        }
    }
}
