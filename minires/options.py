"""Checks of options: what a function or the constructor of a layer or a network accepts."""

import math
from numbers import Integral, Real

from minires.errors import OptionError


def check_sizes(**sizes):
    """OptionError unless all are positive whole numbers, or lists of them."""
    for name, size in sizes.items():
        numbers = size if isinstance(size, (tuple, list)) else [size]
        if not all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in numbers):
            expected = "positive whole numbers" if numbers is size else "a positive whole number"
            raise OptionError(f"{name} must be {expected}, not {size!r}")


def check_whole(where, **numbers):
    """OptionError unless all are positive whole numbers. where: the function or class to name."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
            raise OptionError(f"{where}: {name} must be a positive whole number, not {number!r}")


def check_choice(name, value, choices):
    """OptionError unless `value` is one of `choices`."""
    if value not in list(choices):  # a list compares, and so takes values that cannot be hashed
        raise OptionError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


def check_not_negative(where, **numbers):
    """OptionError unless all are finite numbers of at least 0. where: the function or class to name."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, Real):
            raise OptionError(f"{where}: {name} must be a number, not {number!r}")
        if not number >= 0:
            raise OptionError(f"{where}: {name} must be at least 0, not {number}")
        if number == math.inf:
            raise OptionError(f"{where}: {name} must be finite, not {number}")


def check_flags(**flags):
    """OptionError unless all are True or False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise OptionError(f"{name} must be true or false, not {flag!r}")


def refuse_unless_default(where, **arguments):
    """OptionError for an argument of PyTorch's that is not built here and has another value than its default.

    where: the function or class to name. arguments: name=(value, default).
    """
    for name, (value, default) in arguments.items():
        same_type = isinstance(value, bool) == isinstance(default, bool)  # True == 1, but is no dilation
        is_same = value is default or (same_type and isinstance(value, (Real, str)) and value == default)
        if not is_same:
            raise OptionError(f"{where}: {name}={value!r} is not built here; leave it out, it is {default!r}")
