"""What follows a convolution, done to each block of its result while that is still in the cache."""

import numpy as np

from minires.backend.cpu.buffers import in_pixel_order
from minires.backend.cpu.normalization import over_rows, row_length


def epilogue(shape, dtype, b=None, z=None, relu=False):
    """A function finish(y, top) that makes max(y + b + z, 0) of y, some rows of the result from `top` on.

    shape: (OH, OW, O, N) of the whole result; y: (rows, OW, O, N); b: (O,); z: (N, O, OH, OW). Where there is
    nothing to do the function is None.
    """
    if b is None and z is None and not relu:
        return None
    _, OW, O, N = shape
    length = row_length(OW, O * N)
    b = None if b is None else over_rows([b], length, N, dtype)
    z = None if z is None else in_pixel_order(z)
    zeros = np.zeros(length, dtype)  # NumPy compares with a single number three times as slowly

    def finish(y, top):
        rows = y.reshape(-1, length)
        if b is not None:
            rows += b
        if z is not None:
            rows += z[top : top + len(y)].reshape(-1, length)
        if relu:
            np.maximum(rows, zeros, out=rows)

    return finish
