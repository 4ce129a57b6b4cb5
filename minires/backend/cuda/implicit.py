"""Convolutions whose columns exist in shared memory only: the kernels of the rungs "implicit" and "fused".

The same names as in explicit.py, and what only the rung "fused" needs.
"""

from functools import cache

from minires.backend.cuda.convolution import (
    convolution,
    convolution_input_gradient,
    gathers,
    normalized_convolution_input_gradient,
)
from minires.backend.cuda.weight_gradient import convolution_weight_gradient, sums_up

__all__ = [
    "convolution",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "fits",
    "normalized_convolution_input_gradient",
]


@cache
def fits(window):
    """Whether the kernels can take a window, whatever the map. Those with more than 7 x 7 taps are left to
    the explicit ones, which cut none of their work into tiles.
    """
    return window.size[0] * window.size[1] <= 49 and gathers(window) and sums_up(window)
