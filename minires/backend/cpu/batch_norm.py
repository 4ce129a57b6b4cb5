"""Batch norm, and the addition and the ReLU that follow it in a block, in two sweeps over the map.

The first sweep measures each channel, the second writes the result. Each processes a chunk of a few pixels at
a time, which stays in the cache for all steps, and the threads share the chunks. A map is a matrix here: each
row has all channels of all images of one pixel, or of a few pixels. The channels' factors are repeated to the
length of a row, and NumPy applies them to all rows.
"""

import math

import numpy as np

from minires.backend.cpu.buffers import empty, in_pixel_order
from minires.backend.cpu.elementwise import SERIAL_BELOW_ELEMENTS, write_relu_gradient
from minires.backend.cpu.threads import chunk_ranges, parallel_map
from minires.backend.layout import images_first

ROW_ELEMENTS = 1 << 14  # elements in a row, about: in such rows NumPy works in place, without buffers
CHUNK_ELEMENTS = 1 << 18  # a few arrays of so many elements fit into the cache
CHUNK_PIXELS = 1 << 12  # pixels in a chunk, at most
FLOAT32_PIXELS = 32  # pixels that are added up in float32, one after the other, before float64 takes over


def channel_sum(x):
    """The sum of each channel of (N, C, ...): (C,)."""
    x = in_pixel_order(x)
    pixels = x.reshape(-1, *x.shape[-2:])
    sums = parallel_map(lambda chunk: sum_over_pixels(pixels[slice(*chunk)]), chunks_of(pixels))
    return sum(sums).astype(x.dtype)


def batch_statistics(x):
    """The mean and the biased variance of each channel of (N, C, ...): (C,), (C,)."""
    x = in_pixel_order(x)
    *_, C, N = x.shape
    pixels = x.reshape(-1, C, N)
    M = len(pixels) * N

    def sums_of_chunk(chunk):
        return channel_sums(pixels[slice(*chunk)], pixels[slice(*chunk)])

    total, squares = sum(parallel_map(sums_of_chunk, chunks_of(pixels)))
    mean = total / M
    var = squares / M - mean * mean
    if (mean * mean > 100 * var).any():  # the difference has too few correct digits: once more, from x - mean

        def squares_of_chunk(chunk):
            return np.square(pixels[slice(*chunk)] - mean[:, None], dtype=np.float64).sum(axis=(0, 2))

        var = sum(parallel_map(squares_of_chunk, chunks_of(pixels))) / M
    return mean.astype(x.dtype), np.maximum(var, 0).astype(x.dtype)


def scale_and_shift(x, scale, shift, z=None, relu=False):
    """y = scale x + shift for each channel, plus the map z, and without its negative part if `relu`."""
    shape = x.shape
    x = in_pixel_order(x)
    y = empty(x.shape, x.dtype)
    z = None if z is None else wide_rows(in_pixel_order(z))
    rows, out = wide_rows(x), wide_rows(y)
    scale, shift = repeated_over_row([scale, shift], rows.shape[1], x.shape[-1], x.dtype)
    zeros = np.zeros(rows.shape[1], x.dtype)  # NumPy takes twice as long to compare with a single number

    def work(chunk):
        part = slice(*chunk)
        result = np.multiply(rows[part], scale, out=out[part])
        result += shift
        if z is not None:
            result += z[part]
        if relu:
            np.maximum(result, zeros, out=result)

    parallel_map(work, chunks_of(rows))
    return images_first(y).reshape(shape)


def batch_norm_gradient(gy, x, norm, y=None, split=False, frozen=False):
    """gx, ggamma, gbeta of batch norm; with `y`, the output of a ReLU behind it, also through that ReLU.

    norm: its BatchNormalization.
    split: whether to return also the gradient before the ReLU, that of a map that was added there.
    frozen: mean and var are constants.
    """
    shape = x.shape
    x, gy = in_pixel_order(x), in_pixel_order(gy)
    C, N = x.shape[-2:]
    x, gy = x.reshape(-1, C, N), gy.reshape(-1, C, N)
    M = len(x) * N
    y = None if y is None else in_pixel_order(y).reshape(-1, C, N)
    g = gy if y is None else empty(x.shape, x.dtype)

    def sums_of_chunk(chunk):
        part = slice(*chunk)
        if y is not None:
            write_relu_gradient(y[part], gy[part], g[part])
        return channel_sums(g[part], x[part])

    gbeta, products = sum(parallel_map(sums_of_chunk, chunks_of(x)))
    scale = 1 / np.sqrt(norm.var + norm.eps)
    ggamma = scale * (products - norm.mean * gbeta)
    # gamma scale (g - gbeta / M - xhat ggamma / M) with xhat = scale (x - mean)
    # = g_factor g + x_factor x + shift
    g_factor = norm.gamma * scale
    mean_factor = g_factor * (0 if frozen else 1 / M)
    x_factor = -mean_factor * scale * ggamma
    shift = -mean_factor * gbeta - x_factor * norm.mean
    gx = empty(x.shape, x.dtype)
    x_rows, g_rows, out = wide_rows(x), wide_rows(g), wide_rows(gx)
    g_factor, x_factor, shift = repeated_over_row([g_factor, x_factor, shift], out.shape[1], N, x.dtype)

    def work(chunk):
        part = slice(*chunk)
        result = np.multiply(x_rows[part], x_factor, out=out[part])
        result += shift
        result += np.multiply(g_rows[part], g_factor, out=empty(result.shape, result.dtype))

    parallel_map(work, chunks_of(out))
    gx = images_first(gx.reshape(*shape[2:], C, N))
    gradients = gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype)
    return (*gradients, images_first(g.reshape(*shape[2:], C, N))) if split else gradients


def wide_rows(x):
    """(..., C, N) as a matrix with one or more whole pixels in a row, because NumPy is slow on short rows."""
    *_, C, N = x.shape
    return x.reshape(-1, row_length(x.size // (C * N), C * N))


def row_length(pixels, size):
    """Elements of a wide row: those of some pixels of `size` elements, so that `pixels` fill whole rows."""
    most_pixels = 1 << max(0, (ROW_ELEMENTS // size).bit_length() - 1)
    return math.gcd(pixels, most_pixels) * size


def repeated_over_row(values, length, N, dtype):
    """Each of the values, (C,), repeated for the N images of a pixel and the pixels of a row: (length,)."""
    repeated = np.empty((len(values), length // (values[0].size * N), values[0].size, N), dtype)
    for row, value in zip(repeated, values, strict=True):
        row[...] = value[:, None]
    return repeated.reshape(len(values), length)


def channel_sums(g, x):
    """The sums of g and of g x, (pixels, C, N), over pixels and images: (2, C) in float64."""
    products = np.multiply(g, x, out=empty(g.shape, g.dtype))
    return np.stack([sum_over_pixels(g), sum_over_pixels(products)])


def sum_over_pixels(x):
    """The sum of x, (pixels, C, N), over pixels and images: (C,) in float64.

    float32 is fast, but adds one pixel after the other: it is precise enough for a few pixels.
    """
    whole = len(x) // FLOAT32_PIXELS * FLOAT32_PIXELS
    sums = x[:whole].reshape(-1, FLOAT32_PIXELS, *x.shape[1:]).sum(axis=1)
    return sums.sum(axis=(0, 2), dtype=np.float64) + x[whole:].sum(axis=(0, 2), dtype=np.float64)


def chunks_of(pixels):
    """The ranges of pixels, [(low, high), ...], of the chunks; only a few where there is little to do."""
    P = len(pixels)
    if pixels.size <= SERIAL_BELOW_ELEMENTS:
        return chunk_ranges(P, CHUNK_PIXELS)
    return chunk_ranges(P, min(CHUNK_PIXELS, CHUNK_ELEMENTS * P // pixels.size), shared=True)
