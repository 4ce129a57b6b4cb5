"""How a feature map lies in a GPU's memory: N, H, W, C, all channels of a pixel side by side.

A map is (N, C, H, W) wherever a user looks. With the channels innermost, neighbouring threads read
neighbouring channels, four at a time where it pays, and a window's row is one run of numbers. Maps of any
number of axes, (N, C, ...), are treated alike.
"""

from math import prod

from minires.backend.device import library


def channels_last(x):
    """x, (N, C, ...), as an array that lies as N, ..., C in memory: itself if it does, else a copy."""
    return channels_second(library(x).ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)))


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
