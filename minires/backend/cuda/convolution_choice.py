"""Convolutions on the rung of the ladder in use; see backend/reference.py for what they compute.

Windows that are too large for the implicit kernels take the explicit ones on every rung.
"""

from minires.backend.cuda import explicit, implicit, ladder
from minires.backend.cuda.batch_norm import batch_norm_gradient, batch_statistics, scale_and_shift


def _is_implicit(window):
    return ladder.rung() != "explicit" and implicit.fits(window)


def _kernels(window):
    return implicit if _is_implicit(window) else explicit


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    return _kernels(window).convolution(x, W, window, groups, b, z, relu)


def convolution_input_gradient(gy, W, shape, window, groups):
    return _kernels(window).convolution_input_gradient(gy, W, shape, window, groups)


def convolution_weight_gradient(gy, x, shape, window, groups):
    return _kernels(window).convolution_weight_gradient(gy, x, shape, window, groups)


def convolution_and_statistics(x, W, window, groups):
    if _is_implicit(window):
        return implicit.convolution(x, W, window, groups, statistics=True)
    y = explicit.convolution(x, W, window, groups)
    return y, batch_statistics(y)


def normalized_convolution(u, norm, W, window, groups):
    if _is_implicit(window):
        prologue = norm.scale, norm.shift
        return implicit.convolution(u, W, window, groups, prologue=prologue, statistics=True)
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_and_statistics(a, W, window, groups)


def normalized_convolution_input_gradient(gy, W, u, norm, window, groups):
    if _is_implicit(window):
        return implicit.normalized_convolution_input_gradient(gy, W, u, norm, window, groups)
    ga = explicit.convolution_input_gradient(gy, W, u.shape, window, groups)
    return batch_norm_gradient(ga, u, norm, relu=True)


def normalized_convolution_weight_gradient(gy, u, norm, shape, window, groups):
    if _is_implicit(window):
        prologue = norm.scale, norm.shift
        return implicit.convolution_weight_gradient(gy, u, shape, window, groups, prologue=prologue)
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return explicit.convolution_weight_gradient(gy, a, shape, window, groups)
