"""How a feature map lies in a GPU's memory: N, H, W, C, all channels of a pixel side by side.

A map is (N, C, H, W) wherever a user looks. With the channels innermost, neighbouring threads read
neighbouring channels, four at a time where it pays, and a window's row is one run of numbers. Maps of any
number of axes, (N, C, ...), are treated alike.
"""

from math import prod

from minires.backend.cuda.launch import blocks_for
from minires.backend.device import library

WARP = 32  # threads that go in step


def channels_last(x):
    """x, (N, C, ...), as an array that lies as N, ..., C in memory: itself if it does, else a copy.

    It begins where four numbers can be read at once, as all arrays do, but not all parts of them.
    """
    y = library(x).ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))
    return channels_second(y.copy() if y.data.ptr % (4 * y.itemsize) else y)


def channels_second(y):
    """(N, ..., C) -> (N, C, ...): a view."""
    return y.transpose(0, y.ndim - 1, *range(1, y.ndim - 1))


def empty_map(like, shape, dtype=None):
    """A map (N, C, ...) to be filled, which lies as N, ..., C in memory, on the device of `like`."""
    N, C, *size = shape
    return channels_second(library(like).empty((N, *size, C), dtype or like.dtype))


def pixels_and_channels(x):
    """(how many pixels all images have together, how many channels) of (N, C, ...)."""
    return len(x) * prod(x.shape[2:]), x.shape[1]


def storage(x):
    """The kernels' name for the type of a map's numbers."""
    return {"float32": "float", "bfloat16": "bfloat16"}[x.dtype.name]


def table(C, *maps):
    """(width, columns, tables): how a block's threads lie over the channels of `maps`, see channels.cuh."""
    aligned = all(x.data.ptr % (4 * x.itemsize) == 0 for x in maps if x is not None)
    width = 4 if C % 4 == 0 and aligned else 1
    columns = min(WARP, 1 << (C // width - 1).bit_length())
    return width, columns, blocks_for(C, width * columns)


def geometry(shape, window):
    """The numbers that window.cuh calls GEOMETRY; shape: (N, C, H, W) of the map under the window."""
    _, C, H, W = shape
    sizes = window.output_size(H, W), window.size, window.stride, window.padding, window.dilation
    return C, H, W, *(n for pair in sizes for n in pair)
