"""Checks of what the constructors of layers take; each error names the layer and the argument."""

from numbers import Real

from minires.errors import OptionError
from minires.ops.checks import checked_window, pair


def check_real(layer, **numbers):
    """OptionError unless all are real numbers."""
    for name, number in numbers.items():
        if not isinstance(number, Real):
            raise OptionError(f"{layer}: {name} must be a number, not {number!r}")


def check_window(layer, kernel_size, stride, padding, dilation=1):
    """OptionError unless the arguments of a window are whole numbers, or pairs of them, in range."""
    sizes = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    pairs = [pair(value, f"{layer}: {name}") for name, value in sizes.items()]
    checked_window(layer, *pairs, False)
