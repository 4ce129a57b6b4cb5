import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import CHANNELS, SEEDS, STORAGE, Maps, map_shapes, with_examples

from minires.backend import cuda, reference
from minires.backend.window import Window


@st.composite
def pools(draw):
    """A window, and the shape of a map on which it fits."""
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    stride, dilation = (draw(st.tuples(st.integers(1, most), st.integers(1, most))) for most in (3, 2))
    window = Window(size, stride, padding, dilation, draw(st.booleans()))
    H, W = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    assume(min(window.output_size(H, W)) >= 1)
    return window, (draw(st.integers(1, 2)), draw(CHANNELS), H, W)


@with_examples(30)
@given(pools(), STORAGE, st.booleans(), SEEDS)
def test_max_pool_and_its_gradient(cupy, pool, storage, channels_last, seed):
    (window, shape), maps = pool, Maps(cupy, storage, channels_last)
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 2, shape).astype(np.float32)  # only four values, so that maxima occur several times
    x[rng.random(shape) < 0.1] = -np.inf  # the value of the padding
    y = cuda.max_pool(maps.to_gpu(x), window)
    expected = reference.max_pool(x, window)
    np.testing.assert_array_equal(maps.to_cpu(y), expected)
    gy = maps.rounded(rng.standard_normal(expected.shape).astype(np.float32))
    gx = cuda.max_pool_gradient(maps.to_gpu(gy), maps.to_gpu(x), y, window)
    maps.agree(gx, reference.max_pool_gradient(gy, x, expected, window))


def test_the_largest_may_be_a_nan(cupy):
    for position in range(4):
        x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
        x.flat[position] = np.nan
        assert np.isnan(cuda.max_pool(cupy.asarray(x), Window((2, 2))).get()).all()


@with_examples(30)
@given(pools(), STORAGE, st.booleans(), SEEDS)
def test_sum_pool_and_its_gradient(cupy, pool, storage, channels_last, seed):
    (window, shape), maps = pool, Maps(cupy, storage, channels_last)
    rng = np.random.default_rng(seed)
    x = maps.rounded(rng.standard_normal(shape).astype(np.float32))
    expected = reference.sum_pool(x, window)
    maps.agree(cuda.sum_pool(maps.to_gpu(x), window), expected)
    gy = maps.rounded(rng.standard_normal(expected.shape).astype(np.float32))
    gx = cuda.sum_pool_gradient(maps.to_gpu(gy), shape, window)
    maps.agree(gx, reference.sum_pool_gradient(gy, shape, window))


@with_examples(30)
@given(map_shapes(largest=7, axes=(2,)), STORAGE, st.booleans(), SEEDS)
def test_global_mean_and_its_gradient(cupy, shape, storage, channels_last, seed):
    maps, rng = Maps(cupy, storage, channels_last), np.random.default_rng(seed)
    x = maps.rounded(rng.standard_normal(shape).astype(np.float32))
    maps.agree(cuda.global_mean(maps.to_gpu(x)), reference.global_mean(x), 1e-6)
    gy = rng.standard_normal(shape[:2]).astype(np.float32)
    gx = cuda.global_mean_gradient(cupy.asarray(gy), shape, storage)
    maps.agree(gx, reference.global_mean_gradient(gy, shape))


def test_more_than_one_block(cupy, turns):
    maps, x = Maps(cupy), np.random.default_rng(0).standard_normal((2, 260, 9, 9)).astype(np.float32)
    window = Window((3, 3), (2, 2), (1, 1))
    y = cuda.max_pool(maps.to_gpu(x), window)
    expected = reference.max_pool(x, window)
    np.testing.assert_array_equal(y.get(), expected)
    gx = cuda.max_pool_gradient(y, maps.to_gpu(x), y, window)
    maps.agree(gx, reference.max_pool_gradient(expected, x, expected, window))
    maps.agree(cuda.global_mean(maps.to_gpu(x)), x.mean(axis=(2, 3)), 1e-6)
    mean = x.mean(axis=(2, 3))
    maps.agree(
        cuda.global_mean_gradient(cupy.asarray(mean), x.shape), reference.global_mean_gradient(mean, x.shape)
    )


@pytest.mark.parametrize("shape", [(0, 4, 5, 5), (2, 0, 5, 5)])
def test_nothing_to_pool(cupy, shape):
    window, x = Window((2, 2)), cupy.empty(shape, "float32")
    y = cuda.max_pool(x, window)
    assert y.shape == cuda.sum_pool(x, window).shape == (*shape[:2], 4, 4)
    assert cuda.max_pool_gradient(y, x, y, window).shape == shape
    assert cuda.sum_pool_gradient(y, shape, window).shape == shape
    assert cuda.global_mean_gradient(cuda.global_mean(x), shape).shape == shape
