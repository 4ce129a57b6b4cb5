"""Matrix products, shared by the threads."""

import numpy as np

from minires.backend.cpu.memory import empty
from minires.backend.cpu.threads import cut, each

SMALL = 1 << 22  # multiplications that are over before a second thread has started


def matmul(a, b):
    """y = a b, where it is large a few rows or columns at a time, whichever there are more of."""
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype or a.size * b.shape[1] < SMALL:
        return a @ b
    y = empty((len(a), b.shape[1]), a.dtype)

    def rows(piece):
        np.matmul(a[slice(*piece)], b, out=y[slice(*piece)])

    def columns(piece):
        np.matmul(a, b[:, slice(*piece)], out=y[:, slice(*piece)])

    work = rows if len(y) >= y.shape[1] else columns
    each(work, cut(max(y.shape), max(y.shape), shared=True))
    return y
