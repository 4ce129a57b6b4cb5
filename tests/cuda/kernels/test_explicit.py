import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, few

from minires.backend import reference
from minires.backend.cuda import explicit
from minires.backend.window import Window

PAIRS = {most: st.tuples(st.integers(1, most), st.integers(1, most)) for most in (2, 3, 6)}


@st.composite
def layers(draw):
    """A window, groups, and the shapes of a map that it fits on and of a weight."""
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    window = Window(draw(PAIRS[3]), draw(PAIRS[3]), padding, draw(PAIRS[2]))
    groups, D, per_group = draw(st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 4]), st.integers(1, 3)))
    H, W = draw(PAIRS[6])
    assume(min(window.output_size(H, W)) >= 1)
    return window, groups, (draw(st.integers(1, 3)), groups * D, H, W), (groups * per_group, D, *window.size)


def drawn(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def rows(columns, groups, window):
    """The reference's columns, (C*KH*KW, pixels), as (G, pixels, KH*KW*C/G)."""
    columns = columns.reshape(groups, -1, *window.size, columns.shape[1])
    return columns.transpose(0, 4, 2, 3, 1).reshape(groups, columns.shape[-1], -1)


@few(30)
@given(layers(), SEEDS)
def test_im2col_and_col2im_are_adjoint(cupy, layer, seed):
    (window, groups, shape, _), maps = layer, Maps(cupy)
    (x,) = drawn(seed, shape)
    expected = rows(reference.im2col(x, window), groups, window)
    columns = explicit.im2col(maps.there(x), window, groups)
    np.testing.assert_array_equal(columns.get(), expected)
    (c,) = drawn(seed, expected.shape)
    back = maps.there(np.full(shape, np.nan))
    explicit.col2im(cupy.asarray(c), back, window)
    # <col(x), c> = <x, col^T(c)>
    assert (expected * c).sum() == pytest.approx(float((x * back.get()).sum()), rel=1e-4, abs=1e-3)


@few(40)
@given(layers(), STORAGE, st.booleans(), st.booleans(), SEEDS)
def test_convolution_and_its_gradients(cupy, layer, storage, channels_last, with_epilogue, seed):
    (window, groups, shape, weights), maps = layer, Maps(cupy, storage, channels_last)
    x, W = drawn(seed, shape, weights)
    x = maps.rounded(x)
    y = reference.convolution(x, W, window, groups)
    gy, z, b = drawn(seed + 1, y.shape, y.shape, y.shape[1])
    gy, z = maps.rounded(gy), maps.rounded(z)
    ours = explicit.convolution(maps.there(x), cupy.asarray(W), window, groups)
    maps.agree(ours, y)
    if with_epilogue:
        options = cupy.asarray(b), maps.there(z), True
        ours = explicit.convolution(maps.there(x), cupy.asarray(W), window, groups, *options)
        maps.agree(ours, reference.convolution(x, W, window, groups, b, z, True))
    gx = explicit.convolution_input_gradient(maps.there(gy), cupy.asarray(W), shape, window, groups)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, shape, window, groups))
    gW = explicit.convolution_weight_gradient(maps.there(gy), maps.there(x), weights, window, groups)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, weights, window, groups), 1e-5)
    assert gW.flags.c_contiguous


def test_images_in_chunks(cupy, monkeypatch, turns):
    window, maps = Window((3, 3), padding=(1, 1)), Maps(cupy)
    x, W, gy = drawn(0, (5, 4, 8, 8), (6, 4, 3, 3), (5, 6, 8, 8))
    monkeypatch.setattr(explicit, "WORKSPACE_BYTES", 2 * 4 * 9 * 4 * 64)  # bytes of the columns of two images
    assert len(explicit._chunks(x.shape, window)) == 3
    there = maps.there(x), cupy.asarray(W), maps.there(gy)
    maps.agree(explicit.convolution(*there[:2], window, 1), reference.convolution(x, W, window, 1))
    gx = explicit.convolution_input_gradient(there[2], there[1], x.shape, window, 1)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, x.shape, window, 1))
    gW = explicit.convolution_weight_gradient(there[2], there[0], W.shape, window, 1)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, window, 1))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_window_of_one_pixel_needs_no_columns(cupy, monkeypatch, groups):
    monkeypatch.setattr(explicit, "im2col", None)
    monkeypatch.setattr(explicit, "col2im", None)
    window, maps = Window((1, 1)), Maps(cupy)
    x, W, gy = drawn(0, (2, 4, 3, 3), (6, 4 // groups, 1, 1), (2, 6, 3, 3))
    there = maps.there(x), cupy.asarray(W), maps.there(gy)
    maps.agree(explicit.convolution(*there[:2], window, groups), reference.convolution(x, W, window, groups))
    gx = explicit.convolution_input_gradient(there[2], there[1], x.shape, window, groups)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, x.shape, window, groups))
    gW = explicit.convolution_weight_gradient(there[2], there[0], W.shape, window, groups)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, window, groups))


def test_no_image(cupy):
    window, W = Window((3, 3)), cupy.zeros((2, 4, 3, 3), "float32")
    x = cupy.empty((0, 4, 5, 5), "float32")
    y = explicit.convolution(x, W, window, 1, relu=True)
    assert y.shape == (0, 2, 3, 3)
    assert explicit.convolution_input_gradient(y, W, x.shape, window, 1).shape == x.shape
    assert not explicit.convolution_weight_gradient(y, x, W.shape, window, 1).get().any()
