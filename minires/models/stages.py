"""How blocks are stacked: stages, and the depth that they add up to."""

from numbers import Integral

from minires.errors import OptionError
from minires.nn import Sequential


def stage(block, n, in_channels, channels, stride):
    """n blocks of one width; the first of them changes the size and the number of channels.

    block: called as block(in_channels, channels, stride); the result knows its `out_channels`.
    """
    first = block(in_channels, channels, stride)
    return Sequential(first, *(block(first.out_channels, channels, 1) for _ in range(n - 1)))


def stages(block, counts, in_channels, widths):
    """One stage for each width; the first keeps the size, each of the others halves it."""
    made = []
    for i, (n, channels) in enumerate(zip(counts, widths, strict=True)):
        made.append(stage(block, n, in_channels, channels, 1 if i == 0 else 2))
        in_channels = made[-1][-1].out_channels
    return made


def blocks_per_stage(depth, layers, rest=2):
    """n of depth = layers * n + rest; OptionError that names the nearest depths if there is none.

    layers: weighted layers that one more block in every stage adds; rest: those outside of the blocks.
    """
    check_sizes(depth=depth)
    n, over = divmod(depth - rest, layers)
    if over or n < 1:
        lower = max(layers + rest, depth - over)
        few = ", ".join(str(layers * n + rest) for n in (1, 2, 3))
        raise OptionError(
            f"depth {depth} is not {layers}n + {rest} ({few}, ...); "
            f"the nearest are {lower} and {lower + layers}"
        )
    return n


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
