"""How blocks are stacked: stages, and the depth that they add up to."""

from minires.errors import OptionError
from minires.models.checks import check_sizes
from minires.nn import Sequential


def stage(block, n, in_channels, channels, stride, first=None):
    """n blocks of one width; the first of them changes the size and the number of channels.

    block: called as block(in_channels, channels, stride); the result knows its `out_channels`.
    first: likewise, for the first one; `block` if left out.
    """
    begin = (first or block)(in_channels, channels, stride)
    return Sequential(begin, *(block(begin.out_channels, channels, 1) for _ in range(n - 1)))


def stages(block, counts, in_channels, widths, first=None):
    """One stage for each width; the first keeps the size, each of the others halves it.

    block, first: as for a stage; `first` is for the first block of all.
    """
    made = []
    for i, (n, channels) in enumerate(zip(counts, widths, strict=True)):
        entry = {"stride": 1, "first": first} if i == 0 else {"stride": 2}
        made.append(stage(block, n, in_channels, channels, **entry))
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
        examples = ", ".join(str(layers * n + rest) for n in (1, 2, 3))
        raise OptionError(
            f"depth {depth} is not {layers}n + {rest} ({examples}, ...); "
            f"the nearest are {lower} and {lower + layers}"
        )
    return n
