"""Convolution by im2col and one matrix product, its gradients, and its forms with batch norm beside it."""

import math

from minires.backend.device import library
from minires.backend.reference.batch_norm import batch_norm_gradient, batch_statistics, scale_and_shift


def padded(x, window, value=0):
    """(N, C, H, W) -> (N, C, HP, WP) with a border of `value`."""
    (N, C, H, W), (top, left) = x.shape, window.padding
    y = library(x).full_like(x, value, shape=(N, C, *window.padded_size(H, W)))
    y[:, :, top : top + H, left : left + W] = x
    return y


def cropped(y, window, H, W):
    """(N, C, HP, WP) -> (N, C, H, W): the adjoint of `padded`."""
    top, left = window.padding
    return y[:, :, top : top + H, left : left + W]


def im2col(x, window):
    """Every position's window as one column: (N, C, H, W) -> (C*KH*KW, N*OH*OW).

    A view with one axis per coordinate picks the windows out of the padded map without moving anything; the
    reshape at the end is the one copy.
    """
    (N, C, *size), (KH, KW) = x.shape, window.size
    OH, OW = window.output_size(*size)
    x = padded(x, window)
    sN, sC, sH, sW = x.strides
    (SH, SW), (DH, DW) = window.stride, window.dilation
    columns = library(x).lib.stride_tricks.as_strided(
        x,
        shape=(C, KH, KW, N, OH, OW),
        strides=(sC, DH * sH, DW * sW, sN, SH * sH, SW * sW),
    )
    return columns.reshape(C * KH * KW, N * OH * OW)


def col2im(columns, shape, window):
    """Add every column back to where im2col took it from: the adjoint of im2col.

    columns: (C*KH*KW, N*OH*OW); shape: (N, C, H, W) of the result.
    """
    (N, C, H, W), (OH, OW) = shape, window.output_size(*shape[2:])
    columns = columns.reshape(C, *window.size, N, OH, OW)
    x = library(columns).zeros((N, C, *window.padded_size(H, W)), columns.dtype)
    for i, j, covered in window.taps(H, W):
        x[covered] += columns[:, i, j].swapaxes(0, 1)
    return cropped(x, window, H, W)


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    """y = W col(x) + b, group by group: (N, C, H, W), (O, C/G, KH, KW), (O,) -> (N, O, OH, OW).

    z: a map of y's shape that is added; relu: whether to end with max(y, 0).
    """
    (N, _, *size), O = x.shape, W.shape[0]
    columns = im2col(x, window).reshape(groups, W[0].size, -1)  # (G, C/G*KH*KW, N*OH*OW)
    y = W.reshape(groups, O // groups, -1) @ columns  # (G, O/G, N*OH*OW)
    y = y.reshape(O, N, *window.output_size(*size)).swapaxes(0, 1)
    y = y if b is None else y + b[:, None, None]
    y = y if z is None else y + z
    return library(y).maximum(y, 0) if relu else y


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape."""
    O = W.shape[0]
    gy = gy.swapaxes(0, 1).reshape(groups, O // groups, -1)  # (G, O/G, N*OH*OW)
    columns = W.reshape(groups, O // groups, -1).swapaxes(1, 2) @ gy  # (G, C/G*KH*KW, N*OH*OW)
    return col2im(columns, shape, window)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    O, *receptive = shape
    gy = gy.swapaxes(0, 1).reshape(groups, O // groups, -1)  # (G, O/G, N*OH*OW)
    columns = im2col(x, window).reshape(groups, math.prod(receptive), -1)  # (G, C/G*KH*KW, N*OH*OW)
    return (gy @ columns.swapaxes(1, 2)).reshape(O, *receptive)


def convolution_and_statistics(x, W, window, groups):
    """y = W col(x), and the statistics of y's channels, as of batch_statistics."""
    y = convolution(x, W, window, groups)
    return y, batch_statistics(y)


def normalized_convolution(u, norm, W, window, groups):
    """y = W col(a), a = max(scale u + shift, 0), and the statistics of y's channels."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_and_statistics(a, W, window, groups)


def normalized_convolution_input_gradient(gy, W, u, norm, window, groups):
    """gu, ggamma, gbeta: back through normalized_convolution's convolution, ReLU and batch norm."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    ga = convolution_input_gradient(gy, W, u.shape, window, groups)
    return batch_norm_gradient(ga, u, norm, y=a)


def normalized_convolution_weight_gradient(gy, u, norm, shape, window, groups):
    """gW = gy col(a)^T, a = max(scale u + shift, 0)."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_weight_gradient(gy, a, shape, window, groups)
