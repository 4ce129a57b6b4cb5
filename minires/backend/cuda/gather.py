"""How convolutions read their maps, axis by axis: the numbers that gather.cuh explains."""

from math import gcd
from typing import NamedTuple

from minires.backend.cuda import ladder
from minires.backend.cuda.launch import blocks_for
from minires.backend.cuda.maps import storage

TILE_COLUMNS = 8
MOST_SHARED = 96 << 10  # bytes of shared memory that a block may take: what all cards with TF32 have
BLOCKS_WANTED = 256  # about two for each multiprocessor of a large card


class Axis(NamedTuple):
    """struct Axis of gather.cuh. Pixel phases*q + r of the target reads, for each tap i, pixel
    stride*q + (start + r + i*dilation) / phases of the source, where the division leaves no remainder.
    """

    source: int
    target: int
    taps: int
    phases: int
    start: int
    dilation: int
    period: int
    step: int
    spacing: int
    grain: int

    @property
    def most_taps(self):
        """How many taps a phase uses, at most."""
        return blocks_for(self.taps, self.period)

    @property
    def pixels(self):
        """How many pixels of the target are of one phase, at most."""
        return blocks_for(self.target, self.phases)

    def reach(self, tile):
        """How many pixels the halo of `tile` pixels has, at most."""
        return (tile - 1) * self.step + (self.most_taps - 1) * self.spacing + 1


def axis(source, target, taps, phases, stride, start, dilation):
    """An Axis, with what follows from its definition."""
    period = phases // gcd(phases, dilation)
    spacing = dilation * period // phases if taps > period else 0
    grain = gcd(stride, spacing)  # the stride itself where there is a single tap
    return Axis(
        source, target, taps, phases, start, dilation, period, stride // grain, spacing // grain, grain
    )


def forward_axes(shape, window):
    """The rows and the columns of a convolution of a map (N, C, H, W) = shape."""
    sizes = shape[2:], window.output_size(*shape[2:]), window.size
    return tuple(
        axis(n, out, k, 1, s, -p, d)
        for n, out, k, s, p, d in zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
    )


def backward_axes(shape, window):
    """Those of its gradient with respect to that map."""
    sizes = shape[2:], window.output_size(*shape[2:]), window.size
    return tuple(
        axis(out, n, k, s, 1, p - (k - 1) * d, d)
        for n, out, k, s, p, d in zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
    )


def as_large_as(window):
    """The shape of the smallest map that a window fits on."""
    return 1, 1, *(d * (k - 1) + 1 for k, d in zip(window.size, window.dilation, strict=True))


def variant(x):
    """Which version of a kernel reads the map x: how it is stored, and how precisely products are computed.

    Of bfloat16, which TF32 holds without loss, nothing is won by more precision.
    """
    return f"{storage(x)}_{'tf32' if storage(x) == 'bfloat16' else ladder.products()}"
