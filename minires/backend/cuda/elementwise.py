"""Operations element by element on a GPU: one kernel over the memory of arrays that lie alike."""

import numpy as np

from minires.backend import reference
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import storage
from minires.backend.device import library

THREADS = 256
THREAD_ELEMENTS = 4  # elements for each thread


def relu(x):
    """y = max(x, 0), element by element."""
    return _in_memory_order("relu", x)


def relu_gradient(gy, y):
    """gx = gy where y > 0, else 0."""
    return _in_memory_order("relu_gradient", gy, y)


def add(a, b):
    """y = a + b; where something is broadcast or the arrays lie differently, by the library's own kernel."""
    return _in_memory_order("add", a, b)


def _in_memory_order(name, *arrays):
    """The kernel `name` on arrays of one shape whose elements lie in the same order without gaps."""
    first = arrays[0]
    axes = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])  # outermost first
    if not all(_lies_like(array, first, axes) for array in arrays):
        return getattr(reference, name)(*arrays)
    y = library(first).empty(tuple(first.shape[axis] for axis in axes), first.dtype)
    if y.size:
        blocks, count = blocks_for(y.size, THREADS * THREAD_ELEMENTS), np.int64(y.size)
        launch("elementwise.cu", f"{name}_{storage(y)}", blocks, THREADS, *arrays, y, count)
    return y.transpose(sorted(range(y.ndim), key=axes.__getitem__))


def _lies_like(array, first, axes):
    return (
        (array.shape, array.dtype) == (first.shape, first.dtype)
        and array.transpose(axes).flags.c_contiguous
        and array.data.ptr % (THREAD_ELEMENTS * array.itemsize) == 0
    )
