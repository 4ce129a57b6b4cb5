"""Memory for arrays that is used again.

Fresh memory is slow: the system hands it out in pages of 4 KiB and clears each one when it is touched, which
takes longer than what most kernels then do with it. A training step asks for the same sizes again and again,
so large arrays are cut from buffers that come back here when the last array on them is gone.
"""

from collections import defaultdict
from math import prod
from threading import Lock, get_ident

import numpy as np

from minires.backend.layout import images_first, pixels_first

KEPT_FROM_BYTES = 1 << 16  # bytes; below this NumPy's own allocation is fast
CACHE_LINE = 64  # bytes; arrays start with one, so that threads with neighbouring images share none


class Memory(np.ndarray):
    """Bytes that the pool owns. A class of its own, because NumPy looks through a view to what lies below
    only while the classes are the same, and an array on a Buffer must hold on to that Buffer.
    """


class Buffer(np.ndarray):
    """Memory on loan: it returns to the pool when no array refers to it any more."""

    def __del__(self):
        if _free is not None:  # None when Python is shutting down
            _free[self.thread, self.nbytes].append(self.base)


# (thread, size in bytes) -> raw memory that nobody uses. Each thread has its own, which may still be in the
# cache of its core. It gets them back whoever drops them, or one thread would ask for ever more.
_free = defaultdict(list)
_owned = 0  # bytes of all buffers, used or not
_most_used = 0  # the most bytes that were in use when new memory was asked for
_lock = Lock()


def empty(shape, dtype):
    """An uninitialized C-contiguous array, as np.empty, on memory that was used before if there is any."""
    nbytes = prod(shape) * np.dtype(dtype).itemsize
    if nbytes < KEPT_FROM_BYTES:
        return np.empty(shape, dtype)
    step = 1 << (nbytes.bit_length() - 4)  # sizes that differ by less than an eighth share their buffers
    nbytes = -(-nbytes // step) * step
    try:
        memory = _free[get_ident(), nbytes].pop()
    except IndexError:
        memory = _allocate(nbytes)
    buffer = memory.view(Buffer)
    buffer.thread = get_ident()
    return np.ndarray(shape, dtype, buffer)


def empty_map(N, C, H, W, dtype):
    """An uninitialized feature map (N, C, H, W), in memory H, W, C, N."""
    return images_first(empty((H, W, C, N), dtype))


def overlapping(x, shape, strides, start=0):
    """A view of the contiguous x, from its row `start` on, in which numbers may appear more than once."""
    # as numpy.lib.stride_tricks.as_strided, which takes ten times as long
    return np.ndarray(shape, x.dtype, x, start * x.strides[0], strides)


def in_pixel_order(x):
    """(N, C, ...) -> (..., C, N), contiguous: a view of what the kernels made, else a copy."""
    x = pixels_first(x)
    if x.flags.c_contiguous:
        return x
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def release():
    """Give the memory that nobody uses back to the system."""
    global _owned
    with _lock:
        _owned -= unused()
        _free.clear()


def unused():
    """Bytes that are kept for later."""
    return sum(nbytes * len(buffers) for (_, nbytes), buffers in list(_free.items()))


def reset():
    """For the child of a fork: the lock is free."""
    global _lock
    _lock = Lock()


def _allocate(nbytes):
    """New memory; but the pool never keeps more than three times what was once in use. So much has a net use
    for, whose maps have several sizes; those of other batches do not pile up.
    """
    global _owned, _most_used
    with _lock:
        _owned += nbytes
        _most_used = max(_most_used, _owned - unused())
    if _owned > 3 * _most_used:
        release()
    memory = Memory(nbytes + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + nbytes]
