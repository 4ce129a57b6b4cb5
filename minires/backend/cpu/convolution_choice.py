"""Convolution and its gradients: which of three ways is the fastest for these shapes.

winograd.py for the 3 x 3 filters that nearly all layers have, rows.py for other small ones, columns.py for
many channels, for groups and for everything else. The gradient of the input needs no way of its own: it is a
convolution of gy, or as many of them as there are pixels in a stride.
"""

from itertools import product

from minires.backend.cpu import columns, rows, winograd
from minires.backend.cpu.buffers import empty_map
from minires.backend.cpu.epilogue import epilogue
from minires.backend.layout import pixels_first
from minires.backend.reference import convolution_input_gradient as plain_input_gradient
from minires.backend.window import Window

# Of a map: with fewer, Winograd's extra steps take longer than what they save.
WINOGRAD_ABOVE_ELEMENTS = 1 << 16
SMALL_BATCH_IMAGES = 32  # images for which the products of single pixels are too small


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    """y = W col(x) + b, group by group: (N, C, H, W), (O, C/G, KH, KW), (O,) -> (N, O, OH, OW).

    z: a map of the same shape to be added to it; relu: whether to end with max(y, 0).
    """
    OH, OW = window.output_size(*x.shape[2:])
    finish = epilogue((OH, OW, len(W), len(x)), x.dtype, b, z, relu)
    if winograd.fits(window, W.shape, groups) and x.size > WINOGRAD_ABOVE_ELEMENTS:
        return winograd.convolution(x, W, window.padding, finish)
    if rows.fits(window, W.shape, groups):
        return rows.convolution(x, W, window, finish)
    return columns.convolution(x, W, window, groups, finish)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    small = len(x) <= SMALL_BATCH_IMAGES or x.size <= WINOGRAD_ABOVE_ELEMENTS
    if small and window.stride == window.dilation == (1, 1) and rows.fits(window, shape, groups):
        return rows.weight_gradient_of_small_batch(gy, x, shape, window)
    if winograd.fits(window, shape, groups):
        return winograd.weight_gradient(gy, x, window.padding)
    if rows.fits(window, shape, groups):
        return rows.weight_gradient(gy, x, shape, window)
    return columns.weight_gradient(gy, x, shape, window, groups)


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape.

    With stride 1 it is the convolution of gy with the filter turned around. With stride s, the pixels s apart
    see every s-th tap of the filter, and only those: each such phase is a convolution with a part of it.
    """
    if window.stride == (1, 1):
        reach = (d * (k - 1) for k, d in zip(window.size, window.dilation, strict=True))
        padding = tuple(r - p for r, p in zip(reach, window.padding, strict=True))
        if min(padding) >= 0:
            turned = Window(window.size, (1, 1), padding, window.dilation)
            return convolution(gy, turned_weights(W, groups), turned, groups)
    if window.dilation != (1, 1):
        return plain_input_gradient(gy, W, shape, window, groups)
    gx = empty_map(*shape, gy.dtype)
    pixels_first(gx)[...] = 0
    for phase in product(*map(range, window.stride)):
        part = W[:, :, phase[0] :: window.stride[0], phase[1] :: window.stride[1]]
        if part.size:
            full = Window(part.shape[2:], padding=tuple(k - 1 for k in part.shape[2:]))
            g = convolution(gy, turned_weights(part, groups), full, groups)
            there, here = zip(
                *map(matching, shape[2:], g.shape[2:], phase, window.stride, window.padding), strict=True
            )
            gx[:, :, *there] = g[:, :, *here]
    return gx


def matching(length, count, phase, stride, padding):
    """Slices: which of `length` pixels are in this phase, which of its `count` gradients belong to them."""
    first = max(0, -((phase - padding) // stride))
    start = stride * first + phase - padding
    count = max(0, min(count - first, -((start - length) // stride)))
    return slice(start, start + stride * count, stride), slice(first, first + count)


def turned_weights(W, groups):
    """Each filter turned by half a turn, inputs and outputs exchanged: (O, C/G, ...) -> (C, O/G, ...)."""
    O, C, KH, KW = W.shape
    W = W.reshape(groups, O // groups, C, KH, KW)[..., ::-1, ::-1]
    return W.swapaxes(1, 2).reshape(groups * C, O // groups, KH, KW)
