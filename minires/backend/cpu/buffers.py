"""Reused memory for arrays.

Fresh memory is slow: the system hands it out in pages of 4 KiB and clears each page when it is first touched,
which takes longer than most kernels' work on it. A training step asks for the same sizes again and again, so
large arrays are made on buffers, which return to the pool here when the last array on them is gone.
"""

from contextlib import suppress
from functools import partial
from math import prod
from threading import get_ident

import numpy as np

from minires.backend.cpu.forks import state_lock
from minires.backend.layout import images_first, pixels_first

REUSED_FROM_BYTES = 1 << 16  # bytes of an array; for smaller arrays NumPy's own allocation is fast
CACHE_LINE_BYTES = 64  # bytes; arrays start with a line, so that threads with neighbouring blocks share none


class Memory(np.ndarray):
    """Bytes that the pool owns.

    It has a class of its own so that an array on a Buffer refers to that Buffer: if the memory below were a
    plain array like this one, NumPy would let the array refer to the memory directly.
    """


class Buffer(np.ndarray):
    """Memory in use: it returns to the pool when no array refers to the Buffer any more.

    Python then calls the Buffer's __del__. That is no method but a C function, the append of a list: in a
    method of Python code an interrupt (Ctrl-C) could arrive, and Python ignores errors raised in __del__.
    """

    __slots__ = ("__del__",)


# (thread, size in bytes) -> unused memory. Each thread has its own, which may still be in the cache of its
# core. Memory returns to the thread that asked for it, even if another thread drops the last array on it:
# otherwise the first thread would need new memory again and again. A list stays once it is here, because
# Buffers refer to it. The lists' append and pop need no lock.
_unused = {}
_owned_bytes = 0  # of all memory of the pool, in use or not
_most_used_bytes = 0  # the most that were in use when new memory was needed


def empty(shape, dtype):
    """An uninitialized C-contiguous array, like np.empty, on unused memory of the pool if there is any."""
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    if nbytes < REUSED_FROM_BYTES:
        return np.empty(shape, dtype)
    step = 1 << (nbytes.bit_length() - 4)  # sizes that differ by less than an eighth share their buffers
    nbytes = -(-nbytes // step) * step
    unused = _unused.get((get_ident(), nbytes))
    if unused is None:
        with state_lock:
            unused = _unused.setdefault((get_ident(), nbytes), [])
    try:
        memory = unused.pop()
    except IndexError:
        memory = _allocate(nbytes)
    buffer = memory.view(Buffer)
    buffer.__del__ = partial(unused.append, memory)
    return np.ndarray(shape, dtype, buffer)


def empty_map(N, C, H, W, dtype):
    """An uninitialized feature map (N, C, H, W), in memory H, W, C, N."""
    return images_first(empty((H, W, C, N), dtype))


def overlapping_view(x, shape, strides, start=0):
    """A view of the contiguous x, from its row `start` on, in which numbers may appear more than once."""
    # numpy.lib.stride_tricks.as_strided does the same, but takes ten times as long.
    return np.ndarray(shape, x.dtype, x, start * x.strides[0], strides)


def in_pixel_order(x):
    """(N, C, ...) -> (..., C, N), contiguous: a view if x is in this order already, else a copy."""
    x = pixels_first(x)
    if x.flags.c_contiguous:
        return x
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def release_unused():
    """Give the memory that is not in use back to the system."""
    global _owned_bytes
    with state_lock:
        for (_, nbytes), memories in list(_unused.items()):
            with suppress(IndexError):  # the list is empty
                while True:  # not clear(): its thread may take memory at the same time
                    memories.pop()
                    _owned_bytes -= nbytes


def unused_bytes():
    """The bytes that the pool keeps for later."""
    return sum(nbytes * len(memories) for (_, nbytes), memories in list(_unused.items()))


def _allocate(nbytes):
    """New memory. The pool gives up its unused memory if it has more than three times the most ever in use.

    A network whose maps have several sizes needs as much; memory for other batch sizes does not pile up.
    """
    global _owned_bytes, _most_used_bytes
    with state_lock:
        _owned_bytes += nbytes
        _most_used_bytes = max(_most_used_bytes, _owned_bytes - unused_bytes())
    if _owned_bytes > 3 * _most_used_bytes:
        release_unused()
    memory = Memory(nbytes + CACHE_LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE_BYTES
    return memory[start : start + nbytes]
