"""Sums of many numbers that keep their digits.

NumPy adds in pairs along a contiguous axis, but one value after the other along any other axis; a sum of
thousands of float32 values then loses half of its digits. So these sums are taken in float64.
"""

import math

import numpy as np


def precise_sum(x, axis=None, keepdims=False, dtype=None):
    """x.sum(axis, keepdims=keepdims): float32 is added up in float64, bfloat16 in float32.

    dtype: that of the result; if left out, x's own, but int64 for whole numbers and truth values.
    """
    if x.dtype.kind in "biu":
        return x.sum(axis=axis, dtype=np.int64, keepdims=keepdims)
    total = x.sum(axis=axis, dtype=np.float64 if x.dtype.kind == "f" else np.float32, keepdims=keepdims)
    return total.astype(x.dtype if dtype is None else dtype)


def precise_mean(x, axis, keepdims=False):
    """The mean over a tuple of axes, of float32 or float64; NaN where there is nothing."""
    n = math.prod(x.shape[i] for i in axis)
    total = x.sum(axis=axis, dtype=np.float64, keepdims=keepdims)
    return (total / n if n else total * math.nan).astype(x.dtype)
