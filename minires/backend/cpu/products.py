"""Matrix products, shared by the threads."""

import numpy as np

from minires.backend.cpu.buffers import empty
from minires.backend.cpu.threads import chunk_ranges, parallel_map

SERIAL_BELOW_MULTIPLICATIONS = 1 << 22  # multiplications that are over before a second thread has started


def matmul(a, b):
    """y = a b, where it is large a few rows or columns at a time, whichever there are more of."""
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype or a.size * b.shape[1] < SERIAL_BELOW_MULTIPLICATIONS:
        return a @ b
    y = empty((len(a), b.shape[1]), a.dtype)

    def rows(chunk):
        np.matmul(a[slice(*chunk)], b, out=y[slice(*chunk)])

    def columns(chunk):
        np.matmul(a, b[:, slice(*chunk)], out=y[:, slice(*chunk)])

    work = rows if len(y) >= y.shape[1] else columns
    parallel_map(work, chunk_ranges(max(y.shape), max(y.shape), shared=True))
    return y
