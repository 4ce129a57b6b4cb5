"""Helpers for the tests of convolutions: random and fixed layers, and how exact results must be."""

from dataclasses import dataclass

import emulator
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from minires.backend import reference
from minires.backend.cuda import implicit_gemm
from minires.backend.window import Window

PRECISIONS = st.sampled_from(["fp32", "tf32"])
# (precision of products, storage of maps)
VARIANTS = st.sampled_from([("fp32", "float32"), ("tf32", "float32"), ("tf32", "bfloat16")])
LIMIT = {"fp32": 1e-5, "tf32": 2e-3}  # of an error, relative to the largest entry
STORED = {"float32": 0, "bfloat16": 2**-8}  # the additional error of a stored result


@dataclass(frozen=True)
class Layer:
    """A convolution, and random arrays for it. Every call returns the same arrays."""

    shape: tuple  # of x: N, C, H, W
    filters: tuple  # of W: O, C/G, KH, KW
    window: Window
    groups: int = 1
    seed: int = 0

    @property
    def output(self):
        return self.shape[0], self.filters[0], *self.window.output_size(*self.shape[2:])

    def draw(self, *shapes):
        rng = np.random.default_rng(self.seed)
        return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]

    def x_and_weights(self):
        return self.draw(self.shape, self.filters)

    def gy_and_weights(self):
        return self.draw(self.output, self.filters)


def layer(C, O, kernel, size=(5, 6), N=1, stride=1, padding=0, dilation=1, groups=1):
    """A Layer with a square window."""
    window = Window(*((n, n) for n in (kernel, stride, padding, dilation)))
    return Layer((N, C, *size), (O, C // groups, kernel, kernel), window, groups)


@st.composite
def axes(draw):
    """Along one axis: kernel, stride, padding, dilation, and the size of a map on which the window fits."""
    kernel, stride = draw(st.sampled_from([1, 2, 3, 4, 5, 7])), draw(st.integers(1, 3))
    padding, dilation = draw(st.integers(0, kernel)), draw(st.integers(1, 3 if kernel < 5 else 1))
    # How much larger the map is than for a single position of the window.
    excess = stride * draw(st.integers(0, 9)) + draw(st.integers(0, stride - 1))
    return kernel, stride, padding, dilation, max(1, dilation * (kernel - 1) + 1 - 2 * padding + excess)


@st.composite
def layers(draw):
    """Tiny layers that the kernels of implicit_gemm.py can compute."""
    *pairs, size = zip(draw(axes()), draw(axes()), strict=True)
    window = Window(*pairs)
    assume(implicit_gemm.fits(window))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    C, O = draw(st.tuples(st.sampled_from([1, 3, 4, 8, 9, 20]), st.sampled_from([1, 4, 5, 17])))
    shape = draw(st.integers(1, 3)), groups * C, *size
    return Layer(shape, (groups * O, C, *window.size), window, groups, draw(st.integers(0, 99)))


# Maps that are larger than a tile, by a little or by a lot, and channels that do not fill a block.
ACROSS_TILES = {
    "3x3": layer(20, 24, 3, (17, 9), padding=1),
    "wide": layer(3, 40, 3, (5, 33), padding=1),
    "stride": layer(16, 16, 3, (18, 10), N=2, stride=2, padding=1),
    "1x1": layer(48, 16, 1, (9, 5)),
    "strided 1x1": layer(8, 20, 1, (9, 11), stride=2),
    "7x7": layer(3, 16, 7, (16, 18), stride=2, padding=3),
    "groups": layer(16, 8, 3, (9, 9), padding=1, groups=4),
    "dilated": layer(5, 6, 3, (9, 12), padding=2, dilation=2),
    "5x5": layer(40, 4, 5, (6, 9), padding=2),
}


def double(*arrays):
    """The arrays in float64, as input for the reference kernels."""
    return [None if x is None else x.astype(np.float64) for x in arrays]


def outputs(layer, x, W, *more, **options):
    return reference.convolution(*double(x, W), layer.window, layer.groups, *more, **options)


def error(result, expected):
    """The largest difference, relative to the largest entry."""
    assert result.shape == expected.shape
    return np.abs(result - expected).max() / (np.abs(expected).max() or 1)


def same_twice(compute):
    """The arrays of compute(); asserts that a second run, with the threads in the other order, gives the same
    bits.
    """
    with emulator.turns("forward"):
        first = [array.get() for array in compute()]
    with emulator.turns("reversed"):
        second = [array.get() for array in compute()]
    assert [array.tobytes() for array in first] == [array.tobytes() for array in second]
    return first
