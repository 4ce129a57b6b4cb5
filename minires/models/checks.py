"""What networks ask of their options before anything is built."""

from numbers import Integral

from minires.errors import OptionError


def check_sizes(**sizes):
    """OptionError unless all are positive whole numbers, or lists of them."""
    for name, size in sizes.items():
        numbers = size if isinstance(size, (tuple, list)) else [size]
        if not all(isinstance(number, Integral) and number > 0 for number in numbers):
            what = "positive whole numbers" if numbers is size else "a positive whole number"
            raise OptionError(f"{name} must be {what}, not {size!r}")


def check_choice(name, value, choices):
    """OptionError unless `value` is one of `choices`."""
    if value not in list(choices):  # a list has no quarrel with values that cannot be hashed
        raise OptionError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}")


def check_widths(widths, count):
    """OptionError unless `widths` are `count` positive whole numbers."""
    check_sizes(widths=widths)
    if not isinstance(widths, (tuple, list)) or len(widths) != count:
        raise OptionError(f"widths must be {count} numbers, one for each stage, not {widths!r}")


def check_flags(**flags):
    """OptionError unless all are True or False."""
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise OptionError(f"{name} must be true or false, not {flag!r}")
