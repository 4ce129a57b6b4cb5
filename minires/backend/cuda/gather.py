"""How convolutions read their maps, axis by axis. gather.cuh explains the numbers."""

from math import gcd
from typing import NamedTuple

from minires.backend.cuda import kernel_settings
from minires.backend.cuda.launch import blocks_for
from minires.backend.cuda.maps import storage

TILE_COLUMNS = 8
MOST_SHARED_BYTES = 96 << 10  # of shared memory for a block: all cards that multiply TF32 have so much
BUSY_CARD_BLOCKS = 256  # blocks that keep a large card busy: about two for each of its multiprocessors


class Axis(NamedTuple):
    """struct Axis of gather.cuh. Pixel phases*q + r of the target reads, for each tap i, pixel
    stride*q + (start + r + i*dilation) / phases of the source, if the division leaves no remainder. The
    stride is step * grain.
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
        """How many pixels of the target belong to one phase, at most."""
        return blocks_for(self.target, self.phases)

    def reach(self, tile):
        """How many pixels the halo of `tile` pixels has, at most."""
        return (tile - 1) * self.step + (self.most_taps - 1) * self.spacing + 1


def axis(source, target, taps, phases, stride, start, dilation):
    """An Axis with these numbers, and those that follow from them."""
    period = phases // gcd(phases, dilation)
    spacing = dilation * period // phases if taps > period else 0
    grain = gcd(stride, spacing)  # the stride itself if each phase uses one tap at most
    return Axis(
        source, target, taps, phases, start, dilation, period, stride // grain, spacing // grain, grain
    )


def forward_axes(shape, window):
    """The two Axes, rows and columns, of a convolution of a map (N, C, H, W) = shape."""
    sizes = shape[2:], window.output_size(*shape[2:]), window.size
    return tuple(
        axis(n, out, k, 1, s, -p, d)
        for n, out, k, s, p, d in zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
    )


def backward_axes(shape, window):
    """The two Axes of the gradient of that convolution with respect to its input."""
    sizes = shape[2:], window.output_size(*shape[2:]), window.size
    return tuple(
        axis(out, n, k, s, 1, p - (k - 1) * d, d)
        for n, out, k, s, p, d in zip(*sizes, window.stride, window.padding, window.dilation, strict=True)
    )


def smallest_map_shape(window):
    """The shape of the smallest map that contains the whole window."""
    return 1, 1, *(d * (k - 1) + 1 for k, d in zip(window.size, window.dilation, strict=True))


def kernel_suffix(x):
    """The part of a kernel's name that says how the map x is stored, and how precisely products are computed.

    Maps in bfloat16 are always multiplied in TF32, which holds every bfloat16 number exactly.
    """
    return f"{storage(x)}_{'tf32' if storage(x) == 'bfloat16' else kernel_settings.product_precision()}"
