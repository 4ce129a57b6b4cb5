"""The steps after a convolution, applied to each block of its result while the block is in the cache."""

import numpy as np

from minires.backend.cpu.batch_norm import repeated_over_row, row_length
from minires.backend.cpu.buffers import in_pixel_order


def epilogue(shape, dtype, b=None, z=None, relu=False):
    """A function finish(y, top), which adds b and z to y in place, and ends with max(y, 0) if `relu`.

    y: (rows, OW, O, N), rows of the result from row `top` on; shape: (OH, OW, O, N) of the whole result;
    b: (O,); z: (N, O, OH, OW). If there is nothing to do, None is returned instead of a function.
    """
    if b is None and z is None and not relu:
        return None
    _, OW, O, N = shape
    length = row_length(OW, O * N)
    b = None if b is None else repeated_over_row([b], length, N, dtype)
    z = None if z is None else in_pixel_order(z)
    zeros = np.zeros(length, dtype)  # NumPy takes twice as long to compare with a single number

    def finish(y, top):
        rows = y.reshape(-1, length)
        if b is not None:
            rows += b
        if z is not None:
            rows += z[top : top + len(y)].reshape(-1, length)
        if relu:
            np.maximum(rows, zeros, out=rows)

    return finish
