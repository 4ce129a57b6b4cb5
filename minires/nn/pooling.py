"""Layers that pool: one number for all pixels under a window. See ops/pool.py."""

from minires.nn import functional as F
from minires.nn.arguments import check_window
from minires.nn.module import Module
from minires.ops.checks import pair
from minires.options import check_flags, check_whole, refuse_unless_default


class Pool2d(Module):
    """A layer with a window. The stride is the window's size unless given."""

    def __init__(self, kernel_size, stride, padding, ceil_mode):
        stride = kernel_size if stride is None else stride
        check_window(type(self).__name__, kernel_size, stride, padding)
        check_flags(ceil_mode=ceil_mode)
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Pool2d):
    """The largest pixel under each window: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        refuse_unless_default("MaxPool2d", dilation=(dilation, 1), return_indices=(return_indices, False))
        super().__init__(kernel_size, stride, padding, ceil_mode)

    def forward(self, input):
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)


class AvgPool2d(Pool2d):
    """The mean of the pixels under each window: (N, C, H, W) -> (N, C, OH, OW).

    count_include_pad: whether the padding's zeros count as pixels.
    """

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        refuse_unless_default("AvgPool2d", divisor_override=(divisor_override, None))
        check_flags(count_include_pad=count_include_pad)
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, input):
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AdaptiveAvgPool2d(Module):
    """The means over OH x OW windows, `output_size`: (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, output_size):
        height, width = pair(output_size, "AdaptiveAvgPool2d: output_size")
        check_whole("AdaptiveAvgPool2d", output_size=min(height, width))
        self.output_size = output_size

    def forward(self, input):
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class GlobalAvgPool2d(Module):
    """The mean over each whole map: (N, C, H, W) -> (N, C)."""

    def forward(self, input):
        return F.global_avg_pool2d(input)
