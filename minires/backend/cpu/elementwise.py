"""Operations element by element, in chunks that fit into the cache and that the threads share."""

import numpy as np

from minires.backend.cpu.buffers import empty
from minires.backend.cpu.threads import chunk_ranges, parallel_map

CHUNK_ELEMENTS = 1 << 18  # a few arrays of so many elements fit into the cache
SERIAL_BELOW_ELEMENTS = 1 << 18  # one thread computes so few before a second has started


def relu(x):
    """y = max(x, 0)"""
    return in_chunks(lambda x, y: np.maximum(x, 0, out=y), x)


def relu_gradient(gy, y):
    """gx = 0 where y <= 0, else gy: also where y is NaN"""
    return in_chunks(write_relu_gradient, y, gy)


def write_relu_gradient(y, gy, gx):
    """gx = 0 where y <= 0, else gy, written into gx; all in one dtype.

    The bits of gy, read as a whole number, are multiplied by 0 or 1. A product in floating point would make
    NaN of 0 times infinity, and np.where takes ten times as long.
    """
    bits = np.dtype(f"i{gx.itemsize}")
    mask = gx.view(bits)
    mask[...] = ~(y <= 0)
    mask *= gy.view(bits)


def select(mask, x):
    """x where the mask is true, else 0, broadcasting; by bits, as in write_relu_gradient."""
    bits = np.dtype(f"i{x.itemsize}")
    return (mask.astype(bits) * x.view(bits)).view(x.dtype)


def add(a, b):
    """y = a + b; in chunks where nothing is broadcast or converted"""
    if a.shape != b.shape or a.dtype != b.dtype:
        return a + b
    return in_chunks(lambda a, b, y: np.add(a, b, out=y), a, b)


def in_chunks(function, *arrays):
    """The array y that `function(*arrays, y)` fills; it is called with one chunk of all arrays at a time.

    The arrays must have the same shape and dtype; y has the first array's order in memory.
    """
    first = arrays[0]
    axes = sorted(range(first.ndim), key=lambda axis: -abs(first.strides[axis]))  # outermost first
    arrays = [array.transpose(axes) for array in arrays]
    y = empty(arrays[0].shape, first.dtype)
    flat = [array.reshape(-1) for array in arrays] + [y.reshape(-1)]

    def work(chunk):
        function(*(array[slice(*chunk)] for array in flat))

    is_large = y.size > SERIAL_BELOW_ELEMENTS
    parallel_map(work, chunk_ranges(y.size, CHUNK_ELEMENTS, shared=True) if is_large else [(0, y.size)])
    return y.transpose(sorted(range(y.ndim), key=axes.__getitem__))
