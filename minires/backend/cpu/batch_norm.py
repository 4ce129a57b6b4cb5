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
SUMMED_ROW_ELEMENTS = 1 << 11  # elements in a row, about, where rows are added up
FLOAT32_ROWS = 32  # such rows that are added up in float32, one after the other, before float64 takes over


def channel_sum(x, dtype=None):
    """The sum of each channel of (N, C, ...): (C,), in x's dtype or in another one."""
    x = in_pixel_order(x)
    rows, (C, N) = wide_rows(x), x.shape[-2:]
    (sums,) = channel_sums(lambda part: (rows[part],), rows, C, N)
    return sums.astype(x.dtype if dtype is None else dtype)


def batch_statistics(x):
    """The mean and the biased variance of each channel of (N, C, ...): (C,), (C,)."""
    x = in_pixel_order(x)
    rows, (C, N) = wide_rows(x), x.shape[-2:]
    M = x.size // C

    def means_of(values):
        """The means of values(part), of rows from which a constant may be subtracted, and of its square."""
        return channel_sums(lambda part: 2 * (values(part),), rows, C, N) / M

    mean, square = means_of(lambda part: rows[part])
    var = square - mean * mean
    if is_large(mean, var).any():  # the difference has lost digits: once more, with squares of x - mean
        centre = mean.astype(x.dtype)
        (centres,) = repeated_over_row([centre], rows.shape[1], N, x.dtype)
        rest, square = means_of(lambda part: rows[part] - centres)
        mean, var = centre + rest, square - rest * rest
    return mean.astype(x.dtype), np.maximum(var, 0).astype(x.dtype)


def is_large(mean, var):
    """Whether a mean is so large that sums of x lose digits that sums of x - mean keep."""
    return mean * mean > 16 * var


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
    y = None if y is None else wide_rows(in_pixel_order(y))
    x_rows, gy_rows = wide_rows(x), wide_rows(gy)
    g = gy if y is None else empty(x.shape, x.dtype)
    g_rows = wide_rows(g)
    # Where the mean is large, all below is computed from x - mean: the offset is then the mean, else 0.
    is_offset = is_large(norm.mean, norm.var).any()
    offset = norm.mean if is_offset else np.zeros_like(norm.mean)
    (offsets,) = repeated_over_row([offset], x_rows.shape[1], N, x.dtype)

    def minus_offset(part):
        return np.subtract(part, offsets, out=empty(part.shape, part.dtype)) if is_offset else part

    def g_and_x(part):
        if y is not None:
            write_relu_gradient(y[part], gy_rows[part], g_rows[part])
        return g_rows[part], minus_offset(x_rows[part])

    gbeta, products = channel_sums(g_and_x, x_rows, C, N)
    scale = 1 / np.sqrt(norm.var + norm.eps)
    ggamma = scale * (products - (norm.mean - offset) * gbeta)
    # gamma scale (g - gbeta / M - xhat ggamma / M) with xhat = scale (x - mean)
    # = g_factor g + x_factor (x - offset) + shift
    g_factor = norm.gamma * scale
    mean_factor = g_factor * (0 if frozen else C / x.size)
    x_factor = -mean_factor * scale * ggamma
    shift = -mean_factor * gbeta - x_factor * (norm.mean - offset)
    gx = empty(x.shape, x.dtype)
    out = wide_rows(gx)
    g_factor, x_factor, shift = repeated_over_row([g_factor, x_factor, shift], out.shape[1], N, x.dtype)

    def work(chunk):
        part = slice(*chunk)
        result = np.multiply(minus_offset(x_rows[part]), x_factor, out=out[part])
        result += shift
        result += np.multiply(g_rows[part], g_factor, out=empty(result.shape, result.dtype))

    parallel_map(work, chunks_of(out))
    gradients = images_first(gx).reshape(shape), ggamma.astype(x.dtype), gbeta.astype(x.dtype)
    return (*gradients, images_first(g).reshape(shape)) if split else gradients


def wide_rows(x):
    """(..., C, N) as a matrix with one or more whole pixels in a row, because NumPy is slow on short rows."""
    *_, C, N = x.shape
    return x.reshape(-1, row_length(x.size // (C * N), C * N))


def row_length(pixels, size, about=ROW_ELEMENTS):
    """Elements of a wide row: those of some pixels of `size` elements, so that `pixels` fill whole rows."""
    most_pixels = 1 << max(0, (about // size).bit_length() - 1)
    return math.gcd(pixels, most_pixels) * size


def repeated_over_row(values, length, N, dtype):
    """Each of the values, (C,), repeated for the N images of a pixel and the pixels of a row: (length,)."""
    repeated = np.empty((len(values), length // (values[0].size * N), values[0].size, N), dtype)
    for row, value in zip(repeated, values, strict=True):
        row[...] = value[:, None]
    return repeated.reshape(len(values), length)


def channel_sums(operands_of, rows, C, N):
    """The sum of each channel of a map, and of its product with a second one: (1, C) or (2, C) in float64.

    operands_of(part): the rows `part`, a slice, of the map, or of both maps. `rows` is cut into the parts;
    each row has whole pixels of (C, N).
    """
    length = row_length(rows.size // (C * N), C * N, SUMMED_ROW_ELEMENTS)

    def sums_of_chunk(chunk):
        return sums_of_rows(*(operand.reshape(-1, length) for operand in operands_of(slice(*chunk))))

    sums = sum(parallel_map(sums_of_chunk, chunks_of(rows)))
    return sums.reshape(len(sums), -1, C, N).sum(axis=(1, 3))


def sums_of_rows(a, b=None):
    """The sum of the rows of a, (rows, length), and with b also of a b: (1 or 2, length) in float64.

    float32 adds one row after the other, which is precise enough for a few rows; then float64 takes over.
    """
    count = min(len(a), FLOAT32_ROWS)
    rest = len(a) % count
    if rest:
        parts = (slice(0, -rest), slice(-rest, None))
        return sum(sums_of_rows(*(x[part] for x in (a, b) if x is not None)) for part in parts)
    a = a.reshape(-1, count, a.shape[1])
    sums = np.empty((1 if b is None else 2, len(a), a.shape[2]), a.dtype)
    if b is not None:  # first, because it reads from memory in order, and the sum of a then from the cache
        np.einsum("kpr,kpr->kr", a, b.reshape(a.shape), out=sums[1])
    a.sum(axis=1, out=sums[0])
    return sums.sum(axis=1, dtype=np.float64)


def chunks_of(rows):
    """The ranges of rows, [(low, high), ...], of the chunks; only one where there is little to do."""
    if rows.size <= SERIAL_BELOW_ELEMENTS:
        return [(0, len(rows))]
    return chunk_ranges(len(rows), max(1, CHUNK_ELEMENTS * len(rows) // rows.size), shared=True)
