import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, with_examples

from minires.backend import reference
from minires.backend.cuda import explicit_gemm
from minires.backend.window import Window

PAIRS = {most: st.tuples(st.integers(1, most), st.integers(1, most)) for most in (2, 3, 6)}


@st.composite
def layers(draw):
    """A window, groups, the shape of a map on which the window fits, and the shape of the weights."""
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    window = Window(draw(PAIRS[3]), draw(PAIRS[3]), padding, draw(PAIRS[2]))
    groups, D, per_group = draw(st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 4]), st.integers(1, 3)))
    H, W = draw(PAIRS[6])
    assume(min(window.output_size(H, W)) >= 1)
    return window, groups, (draw(st.integers(1, 3)), groups * D, H, W), (groups * per_group, D, *window.size)


def random_arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def rows(columns, groups, window):
    """The reference's columns, (C*KH*KW, pixels), as explicit_gemm.py orders them: (G, pixels, KH*KW*C/G)."""
    columns = columns.reshape(groups, -1, *window.size, columns.shape[1])
    return columns.transpose(0, 4, 2, 3, 1).reshape(groups, columns.shape[-1], -1)


@with_examples(30)
@given(layers(), SEEDS)
def test_im2col_and_col2im_are_adjoint(cupy, layer, seed):
    (window, groups, shape, _), maps = layer, Maps(cupy)
    (x,) = random_arrays(seed, shape)
    expected = rows(reference.im2col(x, window), groups, window)
    columns = explicit_gemm.im2col(maps.to_gpu(x), window, groups)
    np.testing.assert_array_equal(columns.get(), expected)
    (c,) = random_arrays(seed, expected.shape)
    x_of_c = maps.to_gpu(np.full(shape, np.nan))
    explicit_gemm.col2im(cupy.asarray(c), x_of_c, window)
    # <col(x), c> = <x, col^T(c)>
    assert (expected * c).sum() == pytest.approx(float((x * x_of_c.get()).sum()), rel=1e-4, abs=1e-3)


@with_examples(40)
@given(layers(), STORAGE, st.booleans(), st.booleans(), SEEDS)
def test_convolution_and_its_gradients(cupy, layer, storage, channels_last, with_epilogue, seed):
    (window, groups, shape, weights), maps = layer, Maps(cupy, storage, channels_last)
    x, W = random_arrays(seed, shape, weights)
    x = maps.rounded(x)
    y = reference.convolution(x, W, window, groups)
    gy, z, b = random_arrays(seed + 1, y.shape, y.shape, y.shape[1])
    gy, z = maps.rounded(gy), maps.rounded(z)
    result = explicit_gemm.convolution(maps.to_gpu(x), cupy.asarray(W), window, groups)
    maps.agree(result, y)
    if with_epilogue:
        options = cupy.asarray(b), maps.to_gpu(z), True
        result = explicit_gemm.convolution(maps.to_gpu(x), cupy.asarray(W), window, groups, *options)
        maps.agree(result, reference.convolution(x, W, window, groups, b, z, True))
    gx = explicit_gemm.convolution_input_gradient(maps.to_gpu(gy), cupy.asarray(W), shape, window, groups)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, shape, window, groups))
    gW = explicit_gemm.convolution_weight_gradient(maps.to_gpu(gy), maps.to_gpu(x), weights, window, groups)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, weights, window, groups), 1e-5)
    assert gW.flags.c_contiguous


def test_images_in_chunks(cupy, monkeypatch, turns):
    window, maps = Window((3, 3), padding=(1, 1)), Maps(cupy)
    x, W, gy = random_arrays(0, (5, 4, 8, 8), (6, 4, 3, 3), (5, 6, 8, 8))
    monkeypatch.setattr(explicit_gemm, "WORKSPACE_BYTES", 2 * 4 * 9 * 4 * 64)  # the columns of two images
    assert len(explicit_gemm._image_chunks(x.shape, window)) == 3
    on_gpu = maps.to_gpu(x), cupy.asarray(W), maps.to_gpu(gy)
    maps.agree(explicit_gemm.convolution(*on_gpu[:2], window, 1), reference.convolution(x, W, window, 1))
    gx = explicit_gemm.convolution_input_gradient(on_gpu[2], on_gpu[1], x.shape, window, 1)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, x.shape, window, 1))
    gW = explicit_gemm.convolution_weight_gradient(on_gpu[2], on_gpu[0], W.shape, window, 1)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, window, 1))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_window_of_one_pixel_needs_no_columns(cupy, monkeypatch, groups):
    monkeypatch.setattr(explicit_gemm, "im2col", None)
    monkeypatch.setattr(explicit_gemm, "col2im", None)
    window, maps = Window((1, 1)), Maps(cupy)
    x, W, gy = random_arrays(0, (2, 4, 3, 3), (6, 4 // groups, 1, 1), (2, 6, 3, 3))
    on_gpu = maps.to_gpu(x), cupy.asarray(W), maps.to_gpu(gy)
    maps.agree(
        explicit_gemm.convolution(*on_gpu[:2], window, groups), reference.convolution(x, W, window, groups)
    )
    gx = explicit_gemm.convolution_input_gradient(on_gpu[2], on_gpu[1], x.shape, window, groups)
    maps.agree(gx, reference.convolution_input_gradient(gy, W, x.shape, window, groups))
    gW = explicit_gemm.convolution_weight_gradient(on_gpu[2], on_gpu[0], W.shape, window, groups)
    maps.agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, window, groups))


def test_no_image(cupy):
    window, W = Window((3, 3)), cupy.zeros((2, 4, 3, 3), "float32")
    x = cupy.empty((0, 4, 5, 5), "float32")
    y = explicit_gemm.convolution(x, W, window, 1, relu=True)
    assert y.shape == (0, 2, 3, 3)
    assert explicit_gemm.convolution_input_gradient(y, W, x.shape, window, 1).shape == x.shape
    assert not explicit_gemm.convolution_weight_gradient(y, x, W.shape, window, 1).get().any()
