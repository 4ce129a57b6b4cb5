"""Operations element by element, in chunks: each chunk stays in the cache, and the threads share them."""

import numpy as np

from minires.backend.cpu.buffers import empty
from minires.backend.cpu.threads import chunk_ranges, parallel_map

CHUNK_ELEMENTS = 1 << 18  # elements; a few arrays of so many fit into the cache
SERIAL_BELOW_ELEMENTS = 1 << 18  # elements that one thread is done with before another has started


def relu(x):
    """y = max(x, 0)"""
    return in_chunks(lambda x, y: np.maximum(x, 0, out=y), x)


def relu_gradient(gy, y):
    """gx = gy where y > 0, else 0"""

    def chunk(y, gy, gx):
        gx[...] = y > 0
        gx *= gy

    return in_chunks(chunk, y, gy)


def add(a, b):
    """y = a + b; in chunks where nothing is broadcast or converted"""
    if a.shape != b.shape or a.dtype != b.dtype:
        return a + b
    return in_chunks(lambda a, b, y: np.add(a, b, out=y), a, b)


def in_chunks(function, *arrays):
    """An array y that `function(*arrays, y)` fills, called on one chunk after the other of all arrays.

    The arrays must have one shape and dtype; where they lie in memory in different orders, the first decides.
    """
    first = arrays[0]
    axes = sorted(range(first.ndim), key=lambda axis: -abs(first.strides[axis]))  # outermost first
    arrays = [array.transpose(axes) for array in arrays]
    y = empty(arrays[0].shape, first.dtype)
    flat = [array.reshape(-1) for array in arrays] + [y.reshape(-1)]

    def chunk(low_high):
        function(*(array[slice(*low_high)] for array in flat))

    many = y.size > SERIAL_BELOW_ELEMENTS
    parallel_map(chunk, chunk_ranges(y.size, CHUNK_ELEMENTS, shared=True) if many else [(0, y.size)])
    return y.transpose(sorted(range(y.ndim), key=axes.__getitem__))
