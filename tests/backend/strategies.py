"""Hypothesis strategies for the kernels' tests."""

from hypothesis import assume
from hypothesis import strategies as st

from minires.backend.window import Window

SEEDS = st.integers(0, 2**32 - 1)
ORDERS = st.sampled_from(["NCHW", "HWCN"])


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def windows(draw, pooling=False, largest=4, map_size=6):
    """A window of up to `largest` x `largest` elements and a map (H, W) that it fits on."""
    size = draw(pairs(1, largest))
    padding = draw(pairs(0, largest // 2))
    if pooling:
        padding = tuple(min(p, k // 2) for p, k in zip(padding, size, strict=True))
    dilation = (1, 1) if pooling else draw(pairs(1, 3))
    window = Window(size, draw(pairs(1, 4)), padding, dilation, pooling and draw(st.booleans()))
    H, W = draw(pairs(1, map_size))
    assume(min(window.output_size(H, W)) >= 1)
    return window, H, W
