"""Pooling: one number for all pixels under a window.

The stride is the window's size unless given; with a smaller one windows overlap (AlexNet's 3 x 3, stride 2).
"""

import math

from minires.backend import floating_dtype, kernels, reference
from minires.engine import Function
from minires.errors import OptionError, ShapeError
from minires.ops.checks import as_tensors, check_same_float, pair, sliding_window
from minires.ops.shape import reshape
from minires.options import check_flags, refuse_unless_default


class MaxPool2d(Function):
    """y = max of x under the window        gx = sum of gy over the windows whose first maximum is this pixel

    Padding counts as minus infinity. Where a window holds NaN, its last NaN is the maximum. x: (N, C, H, W),
    y: (N, C, OH, OW).
    """

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        y = kernels.max_pool(x, self.window)
        self.saved = x, y
        return y

    def backward(self, gy):
        return kernels.max_pool_gradient(gy, *self.saved, self.window)


class AvgPool2d(Function):
    """y = (sum of x under the window) / d        gx = sum of gy / d over the windows that cover this pixel

    d: how many pixels the window covers, (OH, OW). x: (N, C, H, W), y: (N, C, OH, OW).
    """

    def __init__(self, window, count_include_pad):
        self.window, self.count_include_pad = window, count_include_pad

    def forward(self, x):
        d = self.xp.asarray(self._pixel_counts(*x.shape[2:]), x.dtype)
        self.saved = x.shape, d
        return kernels.sum_pool(x, self.window) / d

    def backward(self, gy):
        shape, d = self.saved
        return kernels.sum_pool_gradient(gy / d, shape, self.window)

    def _pixel_counts(self, H, W):
        """(OH, OW) nested lists: pixels under each window, with or without padding, but none beyond it."""
        lengths = []
        for axis, n in enumerate((H, W)):
            p = self.window.padding[axis]
            low, high = (0, n + 2 * p) if self.count_include_pad else (p, n + p)
            starts = range(
                0, self.window.output_size(H, W)[axis] * self.window.stride[axis], self.window.stride[axis]
            )
            lengths.append([min(s + self.window.size[axis], high) - max(s, low) for s in starts])
        return [[h * w for w in lengths[1]] for h in lengths[0]]


class AdaptiveAvgPool2d(Function):
    """y = mean of x under the window        gx = sum of gy / d over the windows that cover this pixel

    The windows have several sizes; d: how many pixels the window has. x: (N, C, H, W), y: (N, C, OH, OW).
    """

    def __init__(self, size):
        self.size = size

    def windows(self, *lengths):
        """((i, j), rows, columns) of each window, slices of a map with these two side lengths."""
        rows, columns = (
            [slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
            for n, m in zip(lengths, self.size, strict=True)
        )
        return [((i, j), row, column) for i, row in enumerate(rows) for j, column in enumerate(columns)]

    def forward(self, x):
        self.saved = x.shape
        y = self.xp.empty((*x.shape[:2], *self.size), x.dtype)
        for place, rows, columns in self.windows(*x.shape[2:]):
            y[:, :, *place] = reference.precise_mean(x[:, :, rows, columns], (2, 3))
        return y

    def backward(self, gy):
        gx = self.xp.zeros(self.saved, gy.dtype)
        for place, rows, columns in self.windows(*self.saved[2:]):
            window = gx[:, :, rows, columns]
            window += (gy[:, :, *place] / math.prod(window.shape[2:]))[..., None, None]
        return gx


class GlobalAvgPool2d(Function, computes_in=floating_dtype):
    """y = (sum of x over the map) / (H W)        gx = gy / (H W)

    x: (N, C, H, W), y: (N, C).
    """

    def forward(self, x):
        self.saved = x.shape, x.dtype
        return kernels.global_mean(x)

    def backward(self, gy):
        return kernels.global_mean_gradient(gy, *self.saved)


def _pooling_window(op, x, kernel_size, stride, padding, ceil_mode):
    check_same_float(op, x)
    window = sliding_window(
        op, x.shape, kernel_size, kernel_size if stride is None else stride, padding, 1, ceil_mode
    )
    if any(2 * p > k for p, k in zip(window.padding, window.size, strict=True)):
        raise OptionError(f"{op}: padding {window.padding} is more than half of the window {window.size}")
    return window


def max_pool2d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):  # fmt: skip
    """The largest pixel under each window: (N, C, H, W) -> (N, C, OH, OW).

    dilation and return_indices are PyTorch's; OptionError for another value than the default.
    """
    check_flags(ceil_mode=ceil_mode)
    refuse_unless_default("max_pool2d", dilation=(dilation, 1), return_indices=(return_indices, False))
    (x,) = as_tensors("max_pool2d", input)
    return MaxPool2d(_pooling_window("max_pool2d", x, kernel_size, stride, padding, ceil_mode))(x)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):  # fmt: skip
    """The mean of the pixels under each window: (N, C, H, W) -> (N, C, OH, OW).

    divisor_override is PyTorch's; OptionError for another value than None.
    """
    check_flags(ceil_mode=ceil_mode, count_include_pad=count_include_pad)
    refuse_unless_default("avg_pool2d", divisor_override=(divisor_override, None))
    (x,) = as_tensors("avg_pool2d", input)
    window = _pooling_window("avg_pool2d", x, kernel_size, stride, padding, ceil_mode)
    return AvgPool2d(window, count_include_pad)(x)


def global_avg_pool2d(input):
    """The mean over each whole map: (N, C, H, W) -> (N, C)."""
    (x,) = as_tensors("global_avg_pool2d", input)
    if x.ndim != 4:
        raise ShapeError(f"global_avg_pool2d: the input must be (N, C, H, W), not {x.shape}")
    return GlobalAvgPool2d()(x)


def adaptive_avg_pool2d(input, output_size):
    """The means over OH x OW windows that cover the map: (N, C, H, W) -> (N, C, OH, OW).

    output_size: one number, or (OH, OW). Window i begins at floor(i H / OH) and ends before
    ceil((i + 1) H / OH), and likewise along the width.
    """
    (x,) = as_tensors("adaptive_avg_pool2d", input)
    check_same_float("adaptive_avg_pool2d", x)
    size = pair(output_size, "adaptive_avg_pool2d: output_size")
    if min(size) < 1:
        raise OptionError(f"adaptive_avg_pool2d: output_size must be positive, not {size}")
    if x.ndim != 4 or min(x.shape[2:]) < 1:
        raise ShapeError(f"adaptive_avg_pool2d: the input must be (N, C, H, W) with pixels, not {x.shape}")
    if size == (1, 1):
        return reshape(global_avg_pool2d(x), *x.shape[:2], 1, 1)
    if all(n % m == 0 for n, m in zip(x.shape[2:], size, strict=True)):  # then all windows are of one size
        return avg_pool2d(x, tuple(n // m for n, m in zip(x.shape[2:], size, strict=True)))
    return AdaptiveAvgPool2d(size)(x)
