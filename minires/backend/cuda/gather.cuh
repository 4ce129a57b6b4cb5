// How convolutions read their maps: every output pixel gathers input pixels, tap by tap of a window.
//
// A convolution y of x and the gradient gx of gy are the same gather with other maps. Along one axis, pixel
//     p = phases q + r,        r = 0 .. phases - 1 its phase,
// of the target reads, for each tap i of the window, pixel
//     stride q + (start + r + i dilation) / phases
// of the source, where the division leaves no remainder. With the convolution's own S, P, D and K
//     forward:         phases = 1,  stride = S,  start = -P
//     input gradient:  phases = S,  stride = 1,  start = P - (K-1) D,  tap i is W[K-1-i]
// The gradient's division is the convolution's stride, read backwards: of a source that was spread out with S - 1 zeros
// between its pixels, only taps that meet no zero are left. They are the same for a whole phase: every `period`-th.
//
// A block computes a tile of pixels of one phase. All that these read is the tile's halo:
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
// If no tap ever reads some rows (a stride of 2 under a single tap), the halo leaves them out: it holds every
// `grain`-th row of the source, and `step` and `spacing` count in rows of the halo.
#pragma once
#include "tensor_core.cuh"

constexpr int TILE_COLUMNS = 8;

// One axis of a gather, made by gather.py: what holds for all blocks.
struct Axis {
    int source, target;  // sizes of the maps
    int taps;            // K
    int phases, start, dilation;
    int period;   // which taps a phase uses: the first that divides, and then every `period`-th
    int step;     // from a pixel of the tile to the next one, in the halo
    int spacing;  // from a tap in use to the next one, in the halo
    int grain;    // from a pixel of the halo to the next one, in the source
};

// Kernels get their axes number by number.
#define AXIS_PARAMETERS(A) \
    int A##_source, int A##_target, int A##_taps, int A##_phases, int A##_start, int A##_dilation, int A##_every, \
        int A##_step, int A##_spacing, int A##_grain
#define AXIS(A)                                                                                                 \
    Axis {                                                                                                      \
        A##_source, A##_target, A##_taps, A##_phases, A##_start, A##_dilation, A##_every, A##_step, A##_spacing, \
            A##_grain                                                                                           \
    }

// What one tile reads along an axis.
struct Reach {
    int origin, size, grain;  // of the halo: its first pixel in the source, how many pixels, how far apart there
    int source;               // pixels from 0 to source - 1 exist
    int first, count;         // the taps in use: first, first + period, ..., `count` of them
};

// The reach of pixels q = begin .. begin + tile - 1 of a phase.
__device__ inline Reach reach_of(const Axis& axis, int phase, int begin, int tile) {
    int first = 0, numerator = axis.start + phase;
    for (; first < axis.taps && numerator % axis.phases != 0; first++) numerator += axis.dilation;
    if (first == axis.taps) return {};
    int count = ceil_div(axis.taps - first, axis.period);
    int origin = numerator / axis.phases + begin * axis.step * axis.grain;
    int size = (tile - 1) * axis.step + (count - 1) * axis.spacing + 1;
    return {origin, size, axis.grain, axis.source, first, count};
}

// Which of the taps in use tap i is, or -1.
__device__ inline int tap_in_use(const Axis& axis, const Reach& reach, int i) {
    int behind = i - reach.first;
    return behind >= 0 && reach.count > 0 && behind % axis.period == 0 ? behind / axis.period : -1;
}

// Four neighbouring channels of a map, or as many as there are; the others are 0. Where a pixel's channels are a
// multiple of four, they all are there and begin where a load of four may begin.
template <class T>
__device__ inline void load_channels(float (&v)[4], const T* p, int there, bool by_four) {
    if (by_four && there > 0) {
        float4 four = load4(p);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else {
        for (int i = 0; i < 4; i++) v[i] = i < there ? load(p + i) : 0;
    }
}

template <class T>
__device__ inline void store_channels(T* p, const float (&v)[4], int there, bool by_four) {
    if (by_four && there > 0) {
        store4(p, make_float4(v[0], v[1], v[2], v[3]));
    } else {
        for (int i = 0; i < 4; i++)
            if (i < there) store(p + i, v[i]);
    }
}

// max(v, 0), where a NaN stays a NaN.
__device__ inline float rectified(float v) { return v < 0 ? 0 : v; }

// A map is read as max(scale x + shift, 0), channel by channel, if `scale` is not null.
struct Prologue {
    const float *scale, *shift;
};

// Some channels of a map: `count` from `first` on, out of `all`.
struct ChannelRange {
    int first, count, all;
};

// Load a halo into shared memory, pixel by pixel, `pitch` floats apart; `quads` times four channels of each. What lies
// outside of the map, and channels that do not exist, become 0, after the prologue: padding is not normalized.
//
// A thread keeps to its quad of channels and goes from pixel to pixel; neighbours read neighbouring quads. Memory takes
// its time to answer, so a thread asks for several pixels, AT_ONCE, before it looks at the first.
template <bool PRECISE, int AT_ONCE, class T>
__device__ void load_halo(float* halo, int pitch, int quads, const T* image, ChannelRange channels, const Reach& rows,
                          const Reach& columns, Prologue prologue) {
    int together = blockDim.x / quads, quad = threadIdx.x % quads, there = channels.count - 4 * quad;
    int channel = channels.first + 4 * quad;
    bool by_four = channels.all % 4 == 0 && channels.first % 4 == 0 && channels.count % 4 == 0;
    float scale[4] = {}, shift[4] = {};
    for (int i = 0; prologue.scale && i < 4; i++) {
        scale[i] = i < there ? prologue.scale[channel + i] : 0;
        shift[i] = i < there ? prologue.shift[channel + i] : 0;
    }
    int pixels = threadIdx.x < together * quads ? rows.size * columns.size : 0;
    for (int first = threadIdx.x / quads; first < pixels; first += AT_ONCE * together) {
        float v[AT_ONCE][4] = {};
        bool inside[AT_ONCE];
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            unsigned pixel = first + n * together, width = columns.size;
            int row = rows.origin + pixel / width * rows.grain, column = columns.origin + pixel % width * columns.grain;
            inside[n] = pixel < pixels && 0 <= row && row < rows.source && 0 <= column && column < columns.source;
            size_t offset = (size_t(row) * columns.source + column) * channels.all + channel;
            if (inside[n]) load_channels(v[n], image + offset, there, by_four);
        }
#pragma unroll
        for (int n = 0; n < AT_ONCE; n++) {
            int pixel = first + n * together;
            if (pixel >= pixels) continue;
            if (prologue.scale && inside[n])
                for (int i = 0; i < 4; i++) v[n][i] = rectified(fmaf(scale[i], v[n][i], shift[i]));
            for (int i = 0; i < 4; i++) v[n][i] = as_factor<PRECISE>(v[n][i]);
            float* place = halo + 4 * (pixel * (pitch / 4) + quad);
            store4(place, make_float4(v[n][0], v[n][1], v[n][2], v[n][3]));
        }
    }
}
