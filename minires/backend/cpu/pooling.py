"""Pooling: the plain kernels, with the channels dealt to the threads.

In the order H, W, C, N the pixels under one element of the window are long runs of numbers already, whatever
the stride, so that the plain kernels need no blocks to be fast.
"""

from minires.backend import reference
from minires.backend.cpu.buffers import empty_map, in_pixel_order
from minires.backend.cpu.elementwise import SERIAL_BELOW_ELEMENTS
from minires.backend.cpu.threads import chunk_ranges, parallel_map
from minires.backend.layout import images_first


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    return for_channels(reference.max_pool, window, window.output_size(*x.shape[2:]), x)


def max_pool_gradient(gy, x, y, window):
    """gx: each window hands its gradient to its first maximum, (N, C, OH, OW) -> (N, C, H, W)."""
    return for_channels(reference.max_pool_gradient, window, x.shape[2:], gy, x, y)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    return for_channels(reference.sum_pool, window, window.output_size(*x.shape[2:]), x)


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""

    def kernel(gy, window):
        return reference.sum_pool_gradient(gy, (*gy.shape[:2], *shape[2:]), window)

    return for_channels(kernel, window, shape[2:], gy)


def for_channels(kernel, window, size, *maps):
    """kernel(*maps, window), (N, C, *size), a range of channels for each thread."""
    maps = [images_first(in_pixel_order(x)) for x in maps]
    N, C = maps[0].shape[:2]
    y = empty_map(N, C, *size, maps[0].dtype)

    def work(channels):
        part = slice(*channels)
        y[:, part] = kernel(*(x[:, part] for x in maps), window)

    parallel_map(work, chunk_ranges(C, C, shared=max(x.size for x in maps) > SERIAL_BELOW_ELEMENTS))
    return y
