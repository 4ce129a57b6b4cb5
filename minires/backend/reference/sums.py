"""Sums of many numbers that keep their digits.

NumPy adds in pairs along a contiguous axis, but one value after the other along any other axis; a sum of
thousands of float32 values then loses half of its digits. So these sums are taken in float64.
"""

import math

import numpy as np


def precise_sum(x, axis=None, keepdims=False):
    """x.sum(axis, keepdims=keepdims): float32 is added up in float64, the result is in x's dtype.

    Whole numbers and truth values add up to int64.
    """
    if x.dtype.kind == "f":
        return x.sum(axis=axis, dtype=np.float64, keepdims=keepdims).astype(x.dtype, copy=False)
    if x.dtype.kind in "biu":
        return x.sum(axis=axis, dtype=np.int64, keepdims=keepdims)
    return x.sum(axis=axis, dtype=np.float32, keepdims=keepdims).astype(x.dtype)  # bfloat16


def precise_mean(x, axis, keepdims=False):
    """The mean over a tuple of axes, of float32 or float64; NaN where there is nothing."""
    n = math.prod(x.shape[i] for i in axis)
    total = x.sum(axis=axis, dtype=np.float64, keepdims=keepdims)
    return (total / n if n else total * math.nan).astype(x.dtype)
