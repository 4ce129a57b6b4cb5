"""The plain kernels against the definition of each operation, written as plain loops."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ORDERS, SEEDS, windows

from minires.backend import reference
from minires.backend.window import Window

BATCHES = st.tuples(st.integers(1, 3), st.integers(1, 3))


def pixels(window, H, W, p, q):
    """The pairs (window element, pixel) of the window at output position (p, q), without the padding's."""
    for i, j in product(range(window.size[0]), range(window.size[1])):
        h = p * window.stride[0] - window.padding[0] + i * window.dilation[0]
        w = q * window.stride[1] - window.padding[1] + j * window.dilation[1]
        if 0 <= h < H and 0 <= w < W:
            yield (i, j), (h, w)


def positions(array):
    return product(*map(range, array.shape))


def convolution_by_loops(x, W, window, groups):
    (N, _, *size), (O, CG) = x.shape, W.shape[:2]
    y = np.zeros((N, O, *window.output_size(*size)))
    for n, o, p, q in positions(y):
        group = o // (O // groups)
        for (i, j), (h, w) in pixels(window, *size, p, q):
            for c in range(CG):
                y[n, o, p, q] += W[o, c, i, j] * x[n, group * CG + c, h, w]
    return y


def pool_by_loops(x, window, reduce):
    N, C, H, W = x.shape
    y = np.zeros((N, C, *window.output_size(H, W)))
    for n, c, p, q in positions(y):
        y[n, c, p, q] = reduce(x[n, c, h, w] for _, (h, w) in pixels(window, H, W, p, q))
    return y


def max_pool_gradient_by_loops(gy, x, window):
    gx = np.zeros(x.shape)
    for n, c, p, q in positions(gy):
        under = [(h, w) for _, (h, w) in pixels(window, *x.shape[2:], p, q)]
        first = max(under, key=lambda pixel: x[n, c, *pixel])  # of equal ones, max returns the first
        gx[n, c, *first] += gy[n, c, p, q]
    return gx


def assert_close(result, expected):
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def inner_product(a, b):
    return float((a * b).sum())


@given(windows(), BATCHES, st.integers(1, 3), st.integers(1, 2), ORDERS, SEEDS)
def test_convolution_is_its_definition(
    in_memory_order, window_and_size, batch, groups, per_group, order, seed
):
    (window, H, W), (N, C), rng = window_and_size, batch, np.random.default_rng(seed)
    x = rng.standard_normal((N, C * groups, H, W))
    weight = rng.standard_normal((per_group * groups, C, *window.size))
    y = reference.convolution(in_memory_order(x, order), weight, window, groups)
    assert_close(y, convolution_by_loops(x, weight, window, groups))


@given(windows(), BATCHES, st.integers(1, 3), ORDERS, SEEDS)
def test_convolution_gradients_are_its_adjoints(in_memory_order, window_and_size, batch, groups, order, seed):
    """Convolution is linear in x and in W, so <gy, y> = <gx, x> = <gW, W> for every gy."""
    (window, H, W), (N, C), rng = window_and_size, batch, np.random.default_rng(seed)
    x = in_memory_order(rng.standard_normal((N, C * groups, H, W)), order)
    weight = rng.standard_normal((2 * groups, C, *window.size))
    y = reference.convolution(x, weight, window, groups)
    gy = in_memory_order(rng.standard_normal(y.shape), order)
    gx = reference.convolution_input_gradient(gy, weight, x.shape, window, groups)
    gW = reference.convolution_weight_gradient(gy, x, weight.shape, window, groups)
    assert (gx.shape, gW.shape) == (x.shape, weight.shape)
    assert inner_product(gx, x) == pytest.approx(inner_product(gy, y), rel=1e-11, abs=1e-11)
    assert inner_product(gW, weight) == pytest.approx(inner_product(gy, y), rel=1e-11, abs=1e-11)


@given(windows(), BATCHES, ORDERS, SEEDS)
def test_im2col_and_col2im_are_adjoint(in_memory_order, window_and_size, batch, order, seed):
    (window, H, W), rng = window_and_size, np.random.default_rng(seed)
    x = in_memory_order(rng.standard_normal((*batch, H, W)), order)
    columns = reference.im2col(x, window)
    c = rng.standard_normal(columns.shape)
    gx = reference.col2im(c, x.shape, window)
    assert gx.shape == x.shape
    assert inner_product(columns, c) == pytest.approx(inner_product(x, gx), rel=1e-11, abs=1e-11)


@given(windows(), BATCHES)
def test_every_column_is_one_window(window_and_size, batch):
    """Rows run over (C, KH, KW), columns over (N, OH, OW); padding is zero."""
    (window, H, W), (N, C) = window_and_size, batch
    x = np.arange(1.0, N * C * H * W + 1).reshape(N, C, H, W)
    OH, OW = window.output_size(H, W)
    expected = np.zeros((C, *window.size, N, OH, OW))
    for n, c, p, q in product(range(N), range(C), range(OH), range(OW)):
        for (i, j), (h, w) in pixels(window, H, W, p, q):
            expected[c, i, j, n, p, q] = x[n, c, h, w]
    np.testing.assert_array_equal(reference.im2col(x, window), expected.reshape(-1, N * OH * OW))


@given(windows(pooling=True), BATCHES, ORDERS, SEEDS)
def test_max_pool_is_its_definition(in_memory_order, window_and_size, batch, order, seed):
    (window, H, W), rng = window_and_size, np.random.default_rng(seed)
    x = rng.integers(-3, 3, (*batch, H, W)).astype(float)  # few values, so that some maxima are equal
    reordered = in_memory_order(x, order)
    y = reference.max_pool(reordered, window)
    assert_close(y, pool_by_loops(x, window, max))
    gy = rng.standard_normal(y.shape)
    assert_close(
        reference.max_pool_gradient(gy, reordered, y, window), max_pool_gradient_by_loops(gy, x, window)
    )


@given(windows(pooling=True), BATCHES, ORDERS, SEEDS)
def test_sum_pool_is_its_definition_and_its_gradient_the_adjoint(
    in_memory_order, window_and_size, batch, order, seed
):
    (window, H, W), rng = window_and_size, np.random.default_rng(seed)
    x = rng.standard_normal((*batch, H, W))
    y = reference.sum_pool(in_memory_order(x, order), window)
    assert_close(y, pool_by_loops(x, window, sum))
    gy = rng.standard_normal(y.shape)
    gx = reference.sum_pool_gradient(in_memory_order(gy, order), x.shape, window)
    assert gx.shape == x.shape
    assert inner_product(gx, x) == pytest.approx(inner_product(gy, y), rel=1e-11, abs=1e-11)


@given(windows(pooling=True))
def test_pooling_windows_always_cover_a_pixel(window_and_size):
    window, H, W = window_and_size
    OH, OW = window.output_size(H, W)
    assert all(any(pixels(window, H, W, p, q)) for p, q in product(range(OH), range(OW)))


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [
        (Window((3, 3), padding=(1, 1)), (32, 32), (32, 32)),
        (Window((3, 3), (2, 2), (1, 1)), (32, 32), (16, 16)),
        (Window((7, 7), (2, 2), (3, 3)), (224, 224), (112, 112)),
        (Window((3, 3), (2, 2), (1, 1)), (112, 112), (56, 56)),
        (Window((3, 3), (2, 2)), (55, 55), (27, 27)),
        (Window((3, 3), (2, 2), ceil_mode=True), (112, 112), (56, 56)),
        (
            Window((2, 2), (2, 2), (1, 1), ceil_mode=True),
            (3, 3),
            (2, 2),
        ),  # a third would start in the padding
        (Window((3, 2), (1, 2), (0, 1), (2, 1)), (9, 6), (5, 4)),
    ],
)
def test_output_sizes_of_known_layers(window, size, expected):
    assert window.output_size(*size) == expected
