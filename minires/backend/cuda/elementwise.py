"""Elementwise operations on a GPU: one kernel over the memory of arrays that are stored in the same order."""

import numpy as np

from minires.backend import reference
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import storage
from minires.backend.device import library

THREADS = 256
THREAD_ELEMENTS = 4  # elements for each thread


def relu(x):
    """y = max(x, 0), element by element."""
    return _launch_in_memory_order("relu", x)


def relu_gradient(gy, y):
    """gx = 0 where y <= 0, else gy."""
    return _launch_in_memory_order("relu_gradient", gy, y)


def add(a, b):
    """y = a + b; by CuPy's own kernel if an array is broadcast or they are stored in different orders."""
    return _launch_in_memory_order("add", a, b)


def _launch_in_memory_order(name, *arrays):
    """The result of the kernel `name`, for arrays of one shape, stored in the same order without gaps.

    For other arrays, the result of the function of this name in backend/reference/.
    """
    first = arrays[0]
    axes = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])  # outermost first
    if not all(_has_same_layout(array, first, axes) for array in arrays):
        return getattr(reference, name)(*arrays)
    y = library(first).empty(tuple(first.shape[axis] for axis in axes), first.dtype)
    if y.size:
        blocks, count = blocks_for(y.size, THREADS * THREAD_ELEMENTS), np.int64(y.size)
        launch("elementwise.cu", f"{name}_{storage(y)}", blocks, THREADS, *arrays, y, count)
    return y.transpose(sorted(range(y.ndim), key=axes.__getitem__))


def _has_same_layout(array, first, axes):
    return (
        (array.shape, array.dtype) == (first.shape, first.dtype)
        and array.transpose(axes).flags.c_contiguous
        and array.data.ptr % (THREAD_ELEMENTS * array.itemsize) == 0
    )
