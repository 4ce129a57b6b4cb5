"""How a feature map is stored in a GPU's memory: N, H, W, C, all channels of a pixel side by side.

The user sees the shape (N, C, H, W). With the channels innermost, neighbouring threads read neighbouring
channels, four at a time where possible, and a row of a window is one run of numbers in memory. The same holds
for maps with any number of axes, (N, C, ...).
"""

from math import prod

from minires.backend.cuda.launch import blocks_for
from minires.backend.device import library

WARP = 32  # threads that execute together


def channels_last(x):
    """x, (N, C, ...), stored as N, ..., C: a view of x if it is stored like this already, else a copy.

    The result begins at an address from which four numbers can be read at once. Every new array does, but a
    part of an array may not.
    """
    y = library(x).ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))
    return channels_second(y.copy() if y.data.ptr % (4 * y.itemsize) else y)


def channels_second(y):
    """(N, ..., C) -> (N, C, ...): a view."""
    return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def empty_map(like, shape, dtype=None):
    """A new map of this shape, (N, C, ...), stored as N, ..., C, uninitialized, on the device of `like`.

    dtype: that of `like` if left out.
    """
    N, C, *size = shape
    return channels_second(library(like).empty((N, *size, C), dtype or like.dtype))


def pixels_and_channels(x):
    """(number of pixels of all images together, number of channels) of a map (N, C, ...)."""
    return len(x) * prod(x.shape[2:]), x.shape[1]


def storage(x):
    """The type of a map's numbers as it is called in the names of kernels."""
    return {"float32": "float", "bfloat16": "bfloat16"}[x.dtype.name]


def thread_table(C, *maps):
    """(width, columns, tables): how the threads of a block are laid out over the channels, see channels.cuh.

    width: channels of a thread, 4 where all `maps` (or None) allow it, else 1; columns: threads side by side;
    tables: how many of these tables, side by side, cover all C channels.
    """
    aligned = all(x.data.ptr % (4 * x.itemsize) == 0 for x in maps if x is not None)
    width = 4 if C % 4 == 0 and aligned else 1
    columns = min(WARP, 1 << (C // width - 1).bit_length())
    return width, columns, blocks_for(C, width * columns)


def geometry(shape, window):
    """The arguments that window.cuh calls GEOMETRY; shape: (N, C, H, W), of the map under the window."""
    _, C, H, W = shape
    sizes = window.output_size(H, W), window.size, window.stride, window.padding, window.dilation
    return C, H, W, *(n for pair in sizes for n in pair)
