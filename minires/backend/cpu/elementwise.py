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
    """gx = gy where y > 0, else 0"""

    def fill_chunk(y, gy, gx):
        gx[...] = y > 0
        gx *= gy

    return in_chunks(fill_chunk, y, gy)


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
