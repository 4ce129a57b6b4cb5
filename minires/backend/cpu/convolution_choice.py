"""Convolution and its gradients: which of three algorithms is the fastest for the given shapes.

winograd.py is for the 3 x 3 filters that nearly all layers have, direct_convolution.py for other small
filters, im2col_convolution.py for many channels, for groups and for everything else. The gradient of the
input needs no algorithm of its own: it is one convolution of gy, or with stride (SH, SW) up to SH*SW of them.
"""

from itertools import product

from minires.backend.cpu import direct_convolution, im2col_convolution, winograd
from minires.backend.cpu.buffers import empty_map
from minires.backend.cpu.epilogue import epilogue
from minires.backend.layout import pixels_first
from minires.backend.reference import convolution_input_gradient as plain_input_gradient
from minires.backend.window import Window

# Elements of x; with fewer, Winograd's extra steps take longer than the multiplications they save.
WINOGRAD_ABOVE_ELEMENTS = 1 << 16
SMALL_BATCH_IMAGES = 32  # images; up to so many, the products of single pixels are too small to be fast


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    """y = W col(x) + b, group by group: (N, C, H, W), (O, C/G, KH, KW), (O,) -> (N, O, OH, OW).

    z: a map of y's shape that is added; relu: whether to end with max(y, 0).
    """
    OH, OW = window.output_size(*x.shape[2:])
    finish = epilogue((OH, OW, len(W), len(x)), x.dtype, b, z, relu)
    if winograd.is_fastest_for(window, W.shape, groups) and x.size > WINOGRAD_ABOVE_ELEMENTS:
        return winograd.convolution(x, W, window.padding, finish)
    if direct_convolution.is_fastest_for(window, W.shape, groups):
        return direct_convolution.convolution(x, W, window, finish)
    return im2col_convolution.convolution(x, W, window, groups, finish)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    is_small = len(x) <= SMALL_BATCH_IMAGES or x.size <= WINOGRAD_ABOVE_ELEMENTS
    if (
        is_small
        and window.stride == window.dilation == (1, 1)
        and direct_convolution.is_fastest_for(window, shape, groups)
    ):
        return direct_convolution.weight_gradient_of_small_batch(gy, x, shape, window)
    if winograd.is_fastest_for(window, shape, groups):
        return winograd.weight_gradient(gy, x, window.padding)
    if direct_convolution.is_fastest_for(window, shape, groups):
        return direct_convolution.weight_gradient(gy, x, shape, window)
    return im2col_convolution.weight_gradient(gy, x, shape, window, groups)


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape.

    With stride 1 it is the convolution of gy with the filter turned by half a turn. With stride s, the pixels
    that are s apart form a phase. Only every s-th tap of the filter covers them, so the gradient of a phase
    is a convolution of gy with this part of the filter. With stride and dilation it is the plain kernel's.
    """
    if window.stride == (1, 1):
        reach = (d * (k - 1) for k, d in zip(window.size, window.dilation, strict=True))
        padding = tuple(r - p for r, p in zip(reach, window.padding, strict=True))
        if min(padding) >= 0:
            turned_window = Window(window.size, (1, 1), padding, window.dilation)
            return convolution(gy, turned_weights(W, groups), turned_window, groups)
    if window.dilation != (1, 1):
        return plain_input_gradient(gy, W, shape, window, groups)
    gx = empty_map(*shape, gy.dtype)
    pixels_first(gx)[...] = 0
    for phase in product(*map(range, window.stride)):
        part = W[:, :, phase[0] :: window.stride[0], phase[1] :: window.stride[1]]
        if part.size:
            full_window = Window(part.shape[2:], padding=tuple(k - 1 for k in part.shape[2:]))
            g = convolution(gy, turned_weights(part, groups), full_window, groups)
            gx_slices, g_slices = zip(
                *map(phase_slices, shape[2:], g.shape[2:], phase, window.stride, window.padding), strict=True
            )
            gx[:, :, *gx_slices] = g[:, :, *g_slices]
    return gx


def phase_slices(length, count, phase, stride, padding):
    """Two slices: which of `length` pixels are in this phase, and which of `count` gradients are theirs."""
    first = max(0, -((phase - padding) // stride))
    start = stride * first + phase - padding
    count = max(0, min(count - first, -((start - length) // stride)))
    return slice(start, start + stride * count, stride), slice(first, first + count)


def turned_weights(W, groups):
    """Each filter turned by half a turn, inputs and outputs exchanged: (O, C/G, ...) -> (C, O/G, ...)."""
    O, C, KH, KW = W.shape
    W = W.reshape(groups, O // groups, C, KH, KW)[..., ::-1, ::-1]
    return W.swapaxes(1, 2).reshape(groups * C, O // groups, KH, KW)
