"""Pooling: the plain kernels, with the channels divided among the threads.

In the order H, W, C, N the pixels under one element of the window are long runs of numbers for any stride, so
the plain kernels need no blocks to be fast.
"""

from minires.backend import reference
from minires.backend.cpu.buffers import empty_map, in_pixel_order
from minires.backend.cpu.elementwise import SERIAL_BELOW_ELEMENTS
from minires.backend.cpu.threads import chunk_ranges, parallel_map
from minires.backend.layout import images_first


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    return compute_by_channels(reference.max_pool, window, window.output_size(*x.shape[2:]), x)


def max_pool_gradient(gy, x, y, window):
    """gx: each window hands its gradient to its first maximum, (N, C, OH, OW) -> (N, C, H, W)."""
    return compute_by_channels(reference.max_pool_gradient, window, x.shape[2:], gy, x, y)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    return compute_by_channels(reference.sum_pool, window, window.output_size(*x.shape[2:]), x)


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""

    def kernel(gy, window):
        return reference.sum_pool_gradient(gy, (*gy.shape[:2], *shape[2:]), window)

    return compute_by_channels(kernel, window, shape[2:], gy)


def compute_by_channels(kernel, window, size, *maps):
    """kernel(*maps, window), (N, C, *size), where each thread computes a range of the channels."""
    maps = [images_first(in_pixel_order(x)) for x in maps]
    N, C = maps[0].shape[:2]
    y = empty_map(N, C, *size, maps[0].dtype)

    def work(channel_range):
        channels = slice(*channel_range)
        y[:, channels] = kernel(*(x[:, channels] for x in maps), window)

    parallel_map(work, chunk_ranges(C, C, shared=max(x.size for x in maps) > SERIAL_BELOW_ELEMENTS))
    return y
