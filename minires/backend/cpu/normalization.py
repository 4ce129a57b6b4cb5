"""Batch norm, and what follows it in a block, the addition and the ReLU, in two sweeps over the map.

The first sweep measures each channel, the second writes the result. Each goes a few pixels at a time, so that
all passes over a piece follow each other while it is in the cache, and the threads share the pieces. A piece
is a matrix with one row for each pixel and one column for each channel of each image: what a channel is
scaled with, repeated for all images, is a row of its own that NumPy applies to all pixels.
"""

import numpy as np

from minires.backend.cpu.memory import empty, in_pixel_order
from minires.backend.cpu.threads import cut, share
from minires.backend.layout import images_first

PIECE = 1 << 18  # elements; a few arrays of so many fit into the cache
LONGEST = 1 << 12  # pixels in a piece: so many numbers are added up in single precision without harm
SMALL = 1 << 18  # elements that one thread is done with before another has started


def batch_statistics(x):
    """mean and biased variance of each channel of (N, C, ...): (C,), (C,)."""
    x = in_pixel_order(x)
    *_, C, N = x.shape
    pixels = x.reshape(-1, C, N)
    M = len(pixels) * N

    def work(pieces):
        return sum(sums_with(pixels[low:high], pixels[low:high]) for low, high in pieces)

    total, squares = sum(share(work, pieces_of(pixels)))
    mean = total / M
    var = squares / M - mean * mean
    if (mean * mean > 100 * var).any():  # the difference has lost its digits: once more, from the mean

        def spread(pieces):
            return sum(
                np.square(pixels[low:high] - mean[:, None], dtype=np.float64).sum(axis=(0, 2))
                for low, high in pieces
            )

        var = sum(share(spread, pieces_of(pixels))) / M
    return mean.astype(x.dtype), np.maximum(var, 0).astype(x.dtype)


def scale_and_shift(x, scale, shift, z=None, relu=False):
    """y = scale x + shift for each channel, plus the map z, and without its negative part if `relu`."""
    shape = x.shape
    x = in_pixel_order(x)
    C, N = x.shape[-2:]
    z = None if z is None else in_pixel_order(z).reshape(-1, C * N)
    y = empty(x.shape, x.dtype)
    rows, out = x.reshape(-1, C * N), y.reshape(-1, C * N)
    scale, shift = np.repeat(scale, N), np.repeat(shift, N)

    def work(pieces):
        for low, high in pieces:
            piece = np.multiply(rows[low:high], scale, out=out[low:high])
            piece += shift
            if z is not None:
                piece += z[low:high]
            if relu:
                np.maximum(piece, 0, out=piece)

    share(work, pieces_of(rows))
    return images_first(y).reshape(shape)


def batch_norm_gradient(gy, x, gamma, mean, var, eps, y=None, split=False, frozen=False):
    """gx, ggamma, gbeta of batch norm; with `y`, the output of a ReLU behind it, also through that ReLU.

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

    def sums(pieces):
        total = []
        for low, high in pieces:
            if y is not None:
                g[low:high] = y[low:high] > 0
                g[low:high] *= gy[low:high]
            total.append(sums_with(g[low:high], x[low:high]))
        return sum(total)

    gbeta, products = sum(share(sums, pieces_of(x)))
    scale = 1 / np.sqrt(var + eps)
    ggamma = scale * (products - mean * gbeta)
    # gamma scale (g - gbeta / M - xhat ggamma / M), xhat = scale (x - mean), is of_g g + of_x x + shift
    of_g = gamma * scale
    of_batch = of_g * (0 if frozen else 1 / M)
    of_x = -of_batch * scale * ggamma
    shift = -of_batch * gbeta - of_x * mean
    of_g, of_x, shift = np.repeat(np.array([of_g, of_x, shift], x.dtype), N, axis=1)
    gx = empty(x.shape, x.dtype)
    flat_x, flat_g, flat_gx = (array.reshape(-1, C * N) for array in (x, g, gx))

    def work(pieces):
        for low, high in pieces:
            piece = np.multiply(flat_x[low:high], of_x, out=flat_gx[low:high])
            piece += shift
            piece += flat_g[low:high] * of_g

    share(work, pieces_of(x))
    gx = images_first(gx.reshape(*shape[2:], C, N))
    gradients = gx, ggamma.astype(x.dtype), gbeta.astype(x.dtype)
    return (*gradients, images_first(g.reshape(*shape[2:], C, N))) if split else gradients


def sums_with(g, x):
    """Sum of g and of g x over pixels and images, (pixels, C, N): (2, C) in float64."""
    products = np.multiply(g, x, out=empty(g.shape, g.dtype))
    return np.array([g.sum(axis=0), products.sum(axis=0)]).sum(axis=2, dtype=np.float64)


def pieces_of(pixels):
    """Ranges of pixels of about one piece each; all of them at once where there is little to do."""
    P = len(pixels)
    longest = min(LONGEST, PIECE * P // pixels.size)
    return cut(P, longest, shared=True) if pixels.size > SMALL else cut(P, LONGEST)
