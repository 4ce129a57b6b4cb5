"""Batch norm, and what follows it in a block, the addition and the ReLU, in two sweeps over the map.

The first sweep measures each channel, the second writes the result. Each goes a few pixels at a time, so
that all passes over a chunk follow each other while it is in the cache, and the threads share the chunks. A
map is a matrix here, with all channels of all images of one pixel, or of a few, in each row: what the
channels are scaled with, repeated to such a row, is applied to all rows by NumPy.
"""

import math

import numpy as np

from minires.backend.cpu.buffers import empty, in_pixel_order
from minires.backend.cpu.elementwise import SERIAL_BELOW_ELEMENTS
from minires.backend.cpu.threads import chunk_ranges, parallel_map
from minires.backend.layout import images_first

ROW_ELEMENTS = 1 << 14  # elements of a row from which on NumPy works in place, without buffers of its own
CHUNK_ELEMENTS = 1 << 18  # elements; a few arrays of so many fit into the cache
CHUNK_PIXELS = 1 << 12  # pixels in a chunk: so many numbers are added up in single precision without harm


def batch_statistics(x):
    """mean and biased variance of each channel of (N, C, ...): (C,), (C,)."""
    x = in_pixel_order(x)
    *_, C, N = x.shape
    pixels = x.reshape(-1, C, N)
    M = len(pixels) * N

    def sums(chunk):
        return sums_with(pixels[slice(*chunk)], pixels[slice(*chunk)])

    total, squares = sum(parallel_map(sums, chunks_of(pixels)))
    mean = total / M
    var = squares / M - mean * mean
    if (mean * mean > 100 * var).any():  # the difference has lost its digits: once more, from the mean

        def spread(chunk):
            return np.square(pixels[slice(*chunk)] - mean[:, None], dtype=np.float64).sum(axis=(0, 2))

        var = sum(parallel_map(spread, chunks_of(pixels))) / M
    return mean.astype(x.dtype), np.maximum(var, 0).astype(x.dtype)


def scale_and_shift(x, scale, shift, z=None, relu=False):
    """y = scale x + shift for each channel, plus the map z, and without its negative part if `relu`."""
    shape = x.shape
    x = in_pixel_order(x)
    y = empty(x.shape, x.dtype)
    z = None if z is None else wide_rows(in_pixel_order(z))
    rows, out = wide_rows(x), wide_rows(y)
    scale, shift = over_rows([scale, shift], rows.shape[1], x.shape[-1], x.dtype)
    zeros = np.zeros(rows.shape[1], x.dtype)  # NumPy compares with a single number three times as slowly

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
    split: return as well what went through the ReLU, the gradient of a map that was added before it.
    frozen: mean and var are constants.
    """
    shape = x.shape
    x, gy = in_pixel_order(x), in_pixel_order(gy)
    C, N = x.shape[-2:]
    x, gy = x.reshape(-1, C, N), gy.reshape(-1, C, N)
    M = len(x) * N
    y = None if y is None else in_pixel_order(y).reshape(-1, C, N)
    g = gy if y is None else empty(x.shape, x.dtype)

    def sums(chunk):
        part = slice(*chunk)
        if y is not None:
            g[part] = y[part] > 0
            g[part] *= gy[part]
        return sums_with(g[part], x[part])

    gbeta, products = sum(parallel_map(sums, chunks_of(x)))
    scale = 1 / np.sqrt(norm.var + norm.eps)
    ggamma = scale * (products - norm.mean * gbeta)
    # gamma scale (g - gbeta / M - xhat ggamma / M), xhat = scale (x - mean), is of_g g + of_x x + shift
    of_g = norm.gamma * scale
    of_batch = of_g * (0 if frozen else 1 / M)
    of_x = -of_batch * scale * ggamma
    shift = -of_batch * gbeta - of_x * norm.mean
    gx = empty(x.shape, x.dtype)
    rows_of_x, rows_of_g, out = wide_rows(x), wide_rows(g), wide_rows(gx)
    of_g, of_x, shift = over_rows([of_g, of_x, shift], out.shape[1], N, x.dtype)

    def work(chunk):
        part = slice(*chunk)
        result = np.multiply(rows_of_x[part], of_x, out=out[part])
        result += shift
        result += np.multiply(rows_of_g[part], of_g, out=empty(result.shape, result.dtype))

    parallel_map(work, chunks_of(out))
    gx = images_first(gx.reshape(*shape[2:], C, N))
    gradients = gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype)
    return (*gradients, images_first(g.reshape(*shape[2:], C, N))) if split else gradients


def wide_rows(x):
    """(..., C, N) as a matrix of one or more whole pixels a row: NumPy is slow where rows are short."""
    *_, C, N = x.shape
    return x.reshape(-1, row_length(x.size // (C * N), C * N))


def row_length(pixels, size):
    """Elements of a wide row: some whole pixels of `size` elements, so that `pixels` fill whole rows."""
    together = 1 << max(0, (ROW_ELEMENTS // size).bit_length() - 1)
    return math.gcd(pixels, together) * size


def over_rows(values, length, N, dtype):
    """Each of the values, (C,), repeated for the N images of a pixel and the pixels of a row: (length,)."""
    repeated = np.empty((len(values), length // (values[0].size * N), values[0].size, N), dtype)
    for row, value in zip(repeated, values, strict=True):
        row[...] = value[:, None]
    return repeated.reshape(len(values), length)


def sums_with(g, x):
    """Sum of g and of g x over pixels and images, (pixels, C, N): (2, C) in float64."""
    products = np.multiply(g, x, out=empty(g.shape, g.dtype))
    sums = np.empty((2, *g.shape[1:]), g.dtype)
    for array, total in zip((g, products), sums, strict=True):
        array.sum(axis=0, out=total)
    return sums.sum(axis=2, dtype=np.float64)


def chunks_of(pixels):
    """Ranges of pixels of about one chunk each; all of them at once where there is little to do."""
    P = len(pixels)
    if pixels.size <= SERIAL_BELOW_ELEMENTS:
        return chunk_ranges(P, CHUNK_PIXELS)
    return chunk_ranges(P, min(CHUNK_PIXELS, CHUNK_ELEMENTS * P // pixels.size), shared=True)
