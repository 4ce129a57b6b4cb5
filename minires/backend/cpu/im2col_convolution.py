"""Convolution block by block: im2col for a few rows of a few images, their product, then the next block.

The formulas are those of backend/reference/. The difference is that the columns of the whole batch, KH*KW
times as large as the map, never exist at once: a block's columns stay in the processor's cache until the
product has used them, and the threads work on blocks of their own.
"""

import numpy as np

from minires.backend.cpu.buffers import empty, empty_map
from minires.backend.cpu.direct_convolution import SERIAL_BELOW_MULTIPLICATIONS, padded
from minires.backend.cpu.threads import chunk_ranges, get_num_threads, parallel_map
from minires.backend.layout import pixels_first

BLOCK_BYTES = 4 << 20  # bytes of columns in a block
BLOCK_IMAGES = 64  # images in a block: runs of so many numbers are copied fast


def convolution(x, W, window, groups, finish):
    """(N, C, H, W), (O, C/G, KH, KW) -> (N, O, OH, OW); for `finish` see epilogue.py."""
    (N, _, *size), O = x.shape, len(W)
    y = empty_map(N, O, *window.output_size(*size), x.dtype)
    W = np.ascontiguousarray(W).reshape(groups, O // groups, -1)

    def work(block):
        out = pixels_first(y)[slice(*block[0]), :, :, slice(*block[1])].transpose(2, 0, 1, 3)
        columns = columns_of(x, window, *block, groups)
        out[...] = (W @ columns).reshape(out.shape)

    parallel_map(work, blocks_of(x, O, window, groups))
    if finish:  # not for each block, because a block may have only some of the images
        parallel_map(lambda rows: finish(pixels_first(y)[slice(*rows)], rows[0]), chunk_ranges(y.shape[2], 1))
    return y


def weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    O = gy.shape[1]

    def work(blocks_of_thread):
        total = 0
        for rows, images in blocks[slice(*blocks_of_thread)]:
            columns = columns_of(x, window, rows, images, groups)
            block = pixels_first(gy)[slice(*rows), :, :, slice(*images)].transpose(2, 0, 1, 3)
            # This order, columns first, is twice as fast as gy first.
            total += columns @ block.reshape(groups, O // groups, -1).swapaxes(1, 2)
        return total

    # One sum for each thread: with many channels gW is too large to keep one for each block.
    blocks = blocks_of(x, O, window, groups)
    shares = chunk_ranges(len(blocks), -(-len(blocks) // get_num_threads()))
    gW = sum(parallel_map(work, shares))  # (G, C/G*KH*KW, O/G)
    return gW.swapaxes(1, 2).reshape(shape)


def blocks_of(x, O, window, groups):
    """The ranges of output rows and images, [((low, high), (low, high)), ...], that the work is cut into."""
    N, C, *size = x.shape
    OH, OW = window.output_size(*size)
    column_length = C * window.size[0] * window.size[1]
    is_small = column_length * OH * OW * N * O // groups <= SERIAL_BELOW_MULTIPLICATIONS
    most_rows = BLOCK_BYTES // (column_length * OW * min(N, BLOCK_IMAGES) * x.itemsize)
    image_ranges = chunk_ranges(N, N if is_small else BLOCK_IMAGES)
    return [(r, n) for r in chunk_ranges(OH, most_rows, shared=not is_small) for n in image_ranges]


def columns_of(x, window, rows, images, groups):
    """col(x) of a block of output rows: (G, C/G*KH*KW, rows * OW * images)."""
    (top, bottom), (first, last) = rows, images
    C, H, W = x.shape[1:]
    (KH, KW), (SH, SW), (DH, DW) = window.size, window.stride, window.dilation
    low = top * SH - window.padding[0]  # in rows of x
    high = low + (bottom - top - 1) * SH + DH * (KH - 1) + 1
    x = padded(pixels_first(x)[..., first:last], low, high, window.padding[1], window.padded_size(H, W)[1])
    sH, sW, sC, sN = x.strides
    taps = np.lib.stride_tricks.as_strided(
        x,
        shape=(C, KH, KW, bottom - top, window.output_size(H, W)[1], last - first),
        strides=(sC, DH * sH, DW * sW, SH * sH, SW * sW, sN),
        writeable=False,
    )
    columns = empty(taps.shape, x.dtype)
    columns[...] = taps
    return columns.reshape(groups, C // groups * KH * KW, -1)
