"""Convolutions by the kernels of the rung in use. backend/reference/ says what they compute.

A window that is too large for the kernels of implicit_gemm.py takes those of explicit_gemm.py on every rung.
"""

from minires.backend.cuda import explicit_gemm, implicit_gemm, kernel_settings
from minires.backend.cuda.batch_norm import batch_norm_gradient, batch_statistics, scale_and_shift


def _is_implicit(window):
    return kernel_settings.rung() != "explicit" and implicit_gemm.fits(window)


def _kernels(window):
    return implicit_gemm if _is_implicit(window) else explicit_gemm


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    return _kernels(window).convolution(x, W, window, groups, b, z, relu)


def convolution_input_gradient(gy, W, shape, window, groups):
    return _kernels(window).convolution_input_gradient(gy, W, shape, window, groups)


def convolution_weight_gradient(gy, x, shape, window, groups):
    return _kernels(window).convolution_weight_gradient(gy, x, shape, window, groups)


def convolution_and_statistics(x, W, window, groups):
    if _is_implicit(window):
        return implicit_gemm.convolution(x, W, window, groups, statistics=True)
    y = explicit_gemm.convolution(x, W, window, groups)
    return y, batch_statistics(y)


def normalized_convolution(u, norm, W, window, groups):
    if _is_implicit(window):
        prologue = norm.scale, norm.shift
        return implicit_gemm.convolution(u, W, window, groups, prologue=prologue, statistics=True)
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_and_statistics(a, W, window, groups)


def normalized_convolution_input_gradient(gy, W, u, norm, window, groups):
    if _is_implicit(window):
        return implicit_gemm.normalized_convolution_input_gradient(gy, W, u, norm, window, groups)
    ga = explicit_gemm.convolution_input_gradient(gy, W, u.shape, window, groups)
    return batch_norm_gradient(ga, u, norm, relu=True)


def normalized_convolution_weight_gradient(gy, u, norm, shape, window, groups):
    if _is_implicit(window):
        prologue = norm.scale, norm.shift
        return implicit_gemm.convolution_weight_gradient(gy, u, shape, window, groups, prologue=prologue)
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return explicit_gemm.convolution_weight_gradient(gy, a, shape, window, groups)
