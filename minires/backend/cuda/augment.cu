// Makes a batch out of images in the GPU's memory: chooses, normalizes, crops and mirrors them in one kernel.
//
// Image k of the batch of a step is image order[first + k], where first = (step % batches) batch_size is the place
// in the epoch at which the batch begins. Its pixel (i, j) comes from pixel (u, v) of the image:
//
//   u = i + top - pad        v = (flipped ? W - 1 - j : j) + left - pad
//   x[k, i, j, c] = (image[c, u, v] / 255 - mean[c, u, v]) / std[c, u, v]
//
// Outside of the image x is 0, or (u, v) is mirrored at the border. top, left and flipped come from random word k of
// the step, computed in whole numbers as in data/augment.py's CropAndFlip, so that they are the same as on the CPU.
// x is the same, too, bit for bit: a compiler may fuse a product and a sum, which leaves out a rounding, but there is
// no product in this formula.
//
// images: uint8 (n, C, H, W), mean and std: float (C, H, W), x: (N, H, W, C).
// Block (k, part) makes a part of image k; each of its threads takes every gridDim.y * blockDim.x-th pixel, with all
// channels. Every thread computes the image's random word itself: waiting for another thread would take as long.
#include "philox.cuh"

struct Batches {
    int size, count;  // images in a full batch, batches in an epoch
};

struct Augmentation {
    int pad, flip, reflect;
};

// The pixel of the image that is seen at i when the image is mirrored at its border; the border pixel is not repeated.
__device__ inline int mirrored(int i, int size) {
    if (size == 1) return 0;
    int period = 2 * (size - 1);
    i = (i < 0 ? -i : i) % period;
    return i < size ? i : period - i;
}

template <class T>
__device__ void draw_batch(const unsigned char* images, const long long* all_labels, const int* order,
                           const long long* step, const float* mean, const float* std, T* x, long long* labels,
                           Key key, Batches batches, Augmentation augmentation, int C, int H, int W) {
    int k = blockIdx.x;
    int chosen = order[*step % batches.count * batches.size + k];
    Word word = random_word(key, *step, k);
    unsigned upper = word >> 32, lower = static_cast<unsigned>(word), offsets = 2 * augmentation.pad + 1;
    int top = __umulhi(upper, offsets), left = __umulhi(lower, offsets);  // the upper half of the product
    bool flipped = augmentation.flip && (word & 1);

    size_t plane = size_t(H) * W;
    const unsigned char* image = images + chosen * C * plane;
    x += k * C * plane;
    for (int pixel = blockIdx.y * blockDim.x + threadIdx.x; pixel < H * W; pixel += gridDim.y * blockDim.x) {
        int i = pixel / W, j = pixel % W;
        int u = i + top - augmentation.pad, v = (flipped ? W - 1 - j : j) + left - augmentation.pad;
        if (augmentation.reflect) {
            u = mirrored(u, H);
            v = mirrored(v, W);
        }
        bool inside = 0 <= u && u < H && 0 <= v && v < W;
        for (int c = 0; c < C; c++) {
            size_t place = c * plane + size_t(u) * W + v;
            float value = inside ? (image[place] / 255.0f - mean[place]) / std[place] : 0.0f;
            store(x + size_t(pixel) * C + c, value);
        }
    }
    if (blockIdx.y == 0 && threadIdx.x == 0) labels[k] = all_labels[chosen];
}

#define DRAW_BATCH(T)                                                                                         \
    extern "C" __global__ void draw_batch_##T(                                                                \
        const unsigned char* images, const long long* all_labels, const int* order, const long long* step,    \
        const float* mean, const float* std, T* x, long long* labels, Word k, Word l, int batch_size,         \
        int batches, int pad, int flip, int reflect, int C, int H, int W) {                                   \
        draw_batch(images, all_labels, order, step, mean, std, x, labels, Key{k, l},                          \
                   Batches{batch_size, batches}, Augmentation{pad, flip, reflect}, C, H, W);                  \
    }

DRAW_BATCH(float)
DRAW_BATCH(bfloat16)
