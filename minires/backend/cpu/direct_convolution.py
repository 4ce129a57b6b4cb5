"""Convolution without im2col: in the order H, W, C, N the columns are in memory already.

The pixels under one row of the window lie side by side, each with its C channels of N images: seen as a
matrix of KW*C rows, they are what that row of the weights is multiplied with. One product for each position
and each of the KH rows. Only a block that needs padding is copied, together with its padding:

    y[p, q] = sum over i of W_i x[s p + d i, s q : s q + KW]      gW_i = sum over p, q of gy[p, q] x[...]^T

for stride s and dilation d along the height. This needs neighbouring taps (no dilation along the width) and
one group. With many channels, where one large product is faster than many small ones, im2col_convolution.py
takes over.
"""

import numpy as np

from minires.backend.cpu.buffers import empty, empty_map, in_pixel_order, overlapping_view
from minires.backend.cpu.threads import chunk_ranges, parallel_map
from minires.backend.layout import pixels_first

BLOCK_BYTES = 4 << 20  # bytes of the map and of the results in a block
SERIAL_BELOW_MULTIPLICATIONS = 1 << 24  # one thread computes so few before a second has started
# The same limit for the weight gradient of a small batch. It is higher: meanwhile the other threads have
# other work.
SMALL_BATCH_SERIAL_BELOW_MULTIPLICATIONS = 1 << 28
# Input times output channels up to which many small products are faster than one large product.
MOST_CHANNEL_PAIRS = 1 << 14


def is_fastest_for(window, shape, groups):
    """Whether this file should compute such a convolution; shape: (O, C/G, KH, KW) of the weights."""
    return groups == 1 and window.dilation[1] == 1 and shape[0] * shape[1] <= MOST_CHANNEL_PAIRS


def convolution(x, W, window, finish):
    """(N, C, H, W), (O, C, KH, KW) -> (N, O, OH, OW); for `finish` see epilogue.py."""
    (N, _, *size), O = x.shape, len(W)
    y, x = empty_map(N, O, *window.output_size(*size), x.dtype), in_pixel_order(x)
    W = W.transpose(2, 0, 3, 1).reshape(window.size[0], O, -1)  # (KH, O, KW*C)

    def work(block):
        out = pixels_first(y)[slice(*block)]
        for i, x_i in enumerate(views_under_window_rows(x, window, block, out.shape[1])):
            if i == 0:
                np.matmul(W[i], x_i, out=out)
            else:
                out += multiply_each(W[i], x_i)
        if finish:
            finish(out, block[0])

    parallel_map(work, blocks_of(pixels_first(y), x, window, SERIAL_BELOW_MULTIPLICATIONS))
    return y


def weight_gradient(gy, x, shape, window):
    """(N, O, OH, OW), (N, C, H, W) -> (O, C, KH, KW) = shape."""
    gy, x = in_pixel_order(gy), in_pixel_order(x)

    def work(block):
        g = gy[slice(*block)].swapaxes(2, 3)
        views = views_under_window_rows(x, window, block, gy.shape[1])
        return np.stack([multiply_each(x_i, g).sum(axis=(0, 1)) for x_i in views])

    blocks = blocks_of(gy, x, window, SERIAL_BELOW_MULTIPLICATIONS)
    gW = sum(parallel_map(work, blocks))  # (KH, KW*C, O)
    O, C, KH, KW = shape
    return gW.reshape(KH, KW, C, O).transpose(3, 2, 0, 1)


def weight_gradient_of_small_batch(gy, x, shape, window):
    """The same for few images, with stride and dilation 1: (N, O, OH, OW), (N, C, H, W) -> shape.

    The products of weight_gradient sum over the N images of one pixel. Where N is small, these products are
    many and small. So a block is copied into the order H, C, W, N first: then each product sums over a whole
    row of pixels, and the window's KH rows are neighbours in memory.
    """
    gy, x = in_pixel_order(gy), in_pixel_order(x)
    O, C, KH, KW = shape
    OW, N, width = gy.shape[1], x.shape[3], window.padded_size(*x.shape[:2])[1]

    def work(block):
        low = block[0] - window.padding[0]
        rows = in_channel_rows(x, low, low + block[1] - block[0] + KH - 1, window.padding[1], width)
        g = in_channel_rows(gy, *block, 0, OW).reshape(-1, O, OW * N)
        sC, sN = width * N * x.itemsize, x.itemsize
        views = overlapping_view(rows, (KW, len(g), KH * C, OW * N), (N * sN, C * sC, sC, sN))
        return multiply_each(views, g.swapaxes(1, 2)).sum(axis=1)

    blocks = blocks_of(gy, x, window, SMALL_BATCH_SERIAL_BELOW_MULTIPLICATIONS)
    gW = sum(parallel_map(work, blocks))  # (KW, KH*C, O)
    return gW.reshape(KW, KH, C, O).transpose(3, 2, 1, 0)


def in_channel_rows(x, low, high, left, width):
    """Rows low to high of x, (H, W, C, N), with zeros around it, as a flat array in the order H, C, W, N."""
    _, _, C, N = x.shape
    y = empty((high - low, C, width, N), x.dtype)
    fill_padded(y.swapaxes(1, 2), x, low, high, left)
    return y.reshape(-1)


def multiply_each(a, b):
    """a @ b for each matrix of a stack; the result is in reused memory."""
    stack = max(a, b, key=np.ndim).shape[:-2]
    return np.matmul(a, b, out=empty((*stack, a.shape[-2], b.shape[-1]), a.dtype))


def blocks_of(y, x, window, serial_below):
    """The ranges of output rows, [(low, high), ...], that the work is cut into; y: (OH, OW, O, N).

    serial_below: up to so many multiplications, the work is cut by BLOCK_BYTES only; with more, also so that
        every thread gets an equal share.
    """
    OH, OW, O, N = y.shape
    C = x.shape[2]
    bytes_of_row = (window.stride[0] * x.shape[1] * C + OW * max(O, window.size[1] * C)) * N * x.itemsize
    multiplications = y.size * C * window.size[0] * window.size[1]
    return chunk_ranges(OH, BLOCK_BYTES // bytes_of_row, shared=multiplications > serial_below)


def views_under_window_rows(x, window, block, OW):
    """For each row of the window, a view of the pixels under it, (rows, OW, KW*C, N); block: rows of y."""
    (top, bottom), (above, left) = block, window.padding
    H, W, C, N = x.shape
    low = top * window.stride[0] - above  # in rows of x
    high = low + (bottom - top - 1) * window.stride[0] + window.dilation[0] * (window.size[0] - 1) + 1
    x = padded(x, low, high, left, window.padded_size(H, W)[1])
    sN = x.itemsize  # not from x.strides: an axis of length 1 may have any stride
    sC, sW, sH = N * sN, C * N * sN, x.shape[1] * C * N * sN
    shape = bottom - top, OW, window.size[1] * C, N
    strides = window.stride[0] * sH, window.stride[1] * sW, sC, sN
    for i in range(window.size[0]):
        yield overlapping_view(x, shape, strides, start=i * window.dilation[0])


def padded(x, low, high, left, width):
    """Rows low to high of x, (H, W, C, N), with zeros around it: (high - low, width, C, N)."""
    H, W, C, N = x.shape
    if low >= 0 and high <= H and width == W:
        return x[low:high]
    y = empty((high - low, width, C, N), x.dtype)
    fill_padded(y, x, low, high, left)
    return y


def fill_padded(y, x, low, high, left):
    """Write rows low to high of x into y, (high - low, width, C, N), and zeros where x has no pixels."""
    H, W, _, _ = x.shape
    first, last = min(max(low, 0), H), max(min(high, H), 0)
    y[: first - low] = y[max(last, low) - low :] = 0
    if y.shape[1] != W:
        y[:, :left] = y[:, left + W :] = 0
    y[first - low : last - low, left : left + W] = x[first:last]
