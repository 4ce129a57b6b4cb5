"""Checks of options: what the constructor of a network accepts."""

from numbers import Integral

from minires.errors import OptionError


def check_sizes(**sizes):
    """OptionError unless all are positive whole numbers, or lists of them."""
    for name, size in sizes.items():
        numbers = size if isinstance(size, (tuple, list)) else [size]
        if not all(isinstance(number, Integral) and number > 0 for number in numbers):
            expected = "positive whole numbers" if numbers is size else "a positive whole number"
            raise OptionError(f"{name} must be {expected}, not {size!r}")


def check_choice(name, value, choices):
    """OptionError unless `value` is one of `choices`."""
    if value not in list(choices):  # a list compares, and so takes values that cannot be hashed
        raise OptionError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


def check_flags(**flags):
    """OptionError unless all are True or False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise OptionError(f"{name} must be true or false, not {flag!r}")
