"""Convolutions on tensor cores, whose columns exist in shared memory only: the rungs "implicit" and "fused".

The functions of explicit_gemm.py, and one that only the rung "fused" needs. GEMM stands for the
multiplication of matrices; it is implicit where the matrix of columns is never written to memory.
"""

from functools import cache

from minires.backend.cuda.convolution import (
    convolution,
    convolution_fits,
    convolution_input_gradient,
    normalized_convolution_input_gradient,
)
from minires.backend.cuda.weight_gradient import convolution_weight_gradient, weight_gradient_fits

__all__ = [
    "convolution",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "fits",
    "normalized_convolution_input_gradient",
]


@cache
def fits(window):
    """Whether the kernels can compute a convolution with this window, on maps of any size.

    Windows with more than 7 x 7 = 49 taps are left to explicit_gemm.py, which needs no tiles with a halo.
    """
    return window.size[0] * window.size[1] <= 49 and convolution_fits(window) and weight_gradient_fits(window)
