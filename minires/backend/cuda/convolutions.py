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


def normalized_convolution(u, scale, shift, W, window, groups):
    if _is_implicit(window):
        return implicit.convolution(u, W, window, groups, prologue=(scale, shift), statistics=True)
    return convolution_and_statistics(scale_and_shift(u, scale, shift, relu=True), W, window, groups)


def normalized_convolution_input_gradient(gy, W, u, gamma, mean, var, eps, scale, shift, window, groups):
    where = window, groups
    if _is_implicit(window):
        statistics = gamma, mean, var, eps, scale, shift
        return implicit.normalized_convolution_input_gradient(gy, W, u, *statistics, *where)
    ga = explicit.convolution_input_gradient(gy, W, u.shape, *where)
    return batch_norm_gradient(ga, u, gamma, mean, var, eps, mask=(scale, shift))


def normalized_convolution_weight_gradient(gy, u, scale, shift, shape, window, groups):
    if _is_implicit(window):
        return implicit.convolution_weight_gradient(gy, u, shape, window, groups, prologue=(scale, shift))
    a = scale_and_shift(u, scale, shift, relu=True)
    return explicit.convolution_weight_gradient(gy, a, shape, window, groups)
