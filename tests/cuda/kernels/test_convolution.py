import importlib
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import ACROSS_TILES, KINDS, LIMIT, STORED, double, error, layer, layers, outputs, same_twice
from on_device import Maps, few, mean_and_var

from minires.backend import cuda, reference
from minires.backend.batch_normalization import BatchNormalization
from minires.backend.cuda import convolution_choice, implicit, ladder
from minires.backend.cuda.gather import MOST_SHARED, backward_axes, forward_axes
from minires.backend.window import Window

# `minires.backend.cuda.convolution` is the function of that name.
planning = importlib.import_module("minires.backend.cuda.convolution")

PLANS = st.sampled_from([None, *((warps, width) for warps in (1, 2, 4) for width in (16, 32, 64))])
EPS = 1e-3


def cut(plan):
    """Blocks of so many warps and channels, if they can take the layer, instead of those that are planned."""
    if plan is None:
        return nullcontext()
    planned = planning.plan_for.__wrapped__

    def otherwise(rows, columns, images, groups, channels_in, channels_out):
        depth = 8 if channels_in <= 8 else 16
        mine = planning._plan(rows, columns, images, groups, channels_out, *plan, depth)
        if mine.shared <= MOST_SHARED:
            return mine
        return planned(rows, columns, images, groups, channels_in, channels_out)

    return mock.patch.object(planning, "plan_for", otherwise)


def check_convolution_and_input_gradient(cupy, layer, plan, kind, channels_last):
    precision, storage = kind
    maps, limit = Maps(cupy, storage, channels_last), LIMIT[precision] + STORED[storage]
    where = layer.window, layer.groups
    x, W = layer.x_and_weights()
    gy, _ = layer.gy_and_weights()
    x, gy = maps.rounded(x), maps.rounded(gy)
    with ladder.using("implicit", precision), cut(plan):
        y = cuda.convolution(maps.there(x), cupy.asarray(W), *where)
        gx = cuda.convolution_input_gradient(maps.there(gy), cupy.asarray(W), x.shape, *where)
    maps.agree(y, outputs(layer, x, W), limit)
    maps.agree(gx, reference.convolution_input_gradient(*double(gy, W), x.shape, *where), limit)


DRAWN = given(layers(), PLANS, KINDS, st.booleans())
test_convolution_and_input_gradient = few(25)(DRAWN(check_convolution_and_input_gradient))
test_convolution_of_more_layers = pytest.mark.slow(few(100)(DRAWN(check_convolution_and_input_gradient)))


@few(60)
@given(layers(), PLANS, KINDS, st.tuples(*[st.booleans()] * 5))
def test_what_is_done_on_the_way(cupy, layer, plan, kind, chosen):
    precision, storage = kind
    with_prologue, with_b, with_z, relu, statistics = chosen
    maps, C, O = Maps(cupy, storage), layer.shape[1], layer.filters[0]
    x, W, scale, shift, b, z = layer.draw(layer.shape, layer.filters, C, C, O, layer.output)
    x, z = maps.rounded(x), maps.rounded(z) if with_z else None
    b = b if with_b else None
    scale_shift = tuple(map(cupy.asarray, (scale, shift))) if with_prologue else None
    with ladder.using("fused", precision), cut(plan):
        result = implicit.convolution(
            *(maps.there(x), cupy.asarray(W), layer.window, layer.groups),
            *(None if b is None else cupy.asarray(b), maps.there(z), relu),
            prologue=scale_shift,
            statistics=statistics,
        )
    a = reference.scale_and_shift(*double(x, scale, shift), relu=True) if with_prologue else x
    expected = outputs(layer, a, W, *double(b, z), relu=relu)
    limit = LIMIT[precision]
    maps.agree(result[0] if statistics else result, expected, limit + STORED[storage])
    if statistics:
        largest = np.abs(expected).max() or 1
        mean, var = (array.get() for array in mean_and_var(result[1]))
        np.testing.assert_allclose(mean, expected.mean((0, 2, 3)), rtol=0, atol=limit * largest)
        np.testing.assert_allclose(var, expected.var((0, 2, 3)), rtol=0, atol=2 * limit * largest**2)


@few(60)
@given(layers(), PLANS, KINDS)
def test_gradient_through_batch_norm(cupy, layer, plan, kind):
    precision, storage = kind
    maps, C = Maps(cupy, storage), layer.shape[1]
    gy, W, u, scale, mean, var = layer.draw(layer.output, layer.filters, layer.shape, C, C, C)
    gy, u, var = maps.rounded(gy), maps.rounded(u), np.abs(var)
    shift = -mean * scale  # a batch norm with beta = 0: half of the ReLUs let nothing pass
    norm = BatchNormalization(*map(cupy.asarray, (mean, var, scale, shift)), None, EPS)
    where = layer.window, layer.groups
    with ladder.using("fused", precision), cut(plan):
        g, ggamma, gbeta = planning.input_gradient_through_batch_norm(
            maps.there(gy), cupy.asarray(W), maps.there(u), norm, *where
        )
    # As the kernel decides it, in float32; exactly 0 must not come, where the last bit would decide.
    passed = np.float64(scale[:, None, None]) * u + shift[:, None, None] > 0
    expected = reference.convolution_input_gradient(*double(gy, W), u.shape, *where)
    largest = np.abs(expected).max()
    expected = expected * passed
    uhat = (u.astype(np.float64) - mean[:, None, None]) / np.sqrt(var[:, None, None] + EPS)
    limit = LIMIT[precision]
    np.testing.assert_allclose(maps.back(g), expected, rtol=0, atol=(limit + STORED[storage]) * largest)
    for ours, terms in ((gbeta, np.ones_like(uhat)), (ggamma, uhat)):
        sizes = np.abs(terms).sum((0, 2, 3)) * largest + 1e-30
        assert (np.abs(ours.get() - (expected * terms).sum((0, 2, 3))) / sizes).max() <= limit


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("name", ACROSS_TILES)
def test_across_tiles(cupy, name, precision):
    layer, maps = ACROSS_TILES[name], Maps(cupy)
    (x, W), (gy, _), where = layer.x_and_weights(), layer.gy_and_weights(), (layer.window, layer.groups)

    def results():
        y, statistics = cuda.convolution_and_statistics(maps.there(x), cupy.asarray(W), *where)
        yield from (y, *mean_and_var(statistics))
        yield cuda.convolution_input_gradient(maps.there(gy), cupy.asarray(W), x.shape, *where)

    with ladder.using("fused", precision):
        ours = same_twice(results)
    y = outputs(layer, x, W)
    gx = reference.convolution_input_gradient(*double(gy, W), x.shape, *where)
    errors = [error(one, other) for one, other in zip(ours, (y, *moments(y), gx), strict=True)]
    assert max(errors) <= LIMIT[precision]
    # TF32 is really in use where it is asked for, and nowhere else.
    assert (errors[0] > 1e-6, errors[3] > 1e-6) == (precision == "tf32",) * 2


def moments(y):
    return y.mean((0, 2, 3)), y.var((0, 2, 3))


def test_the_cut_into_blocks_changes_no_bit(cupy):
    """Of y and of gx; only the statistics are added up by tiles."""
    layer = ACROSS_TILES["3x3"]
    (x, W), (gy, _), where = layer.x_and_weights(), layer.gy_and_weights(), (layer.window, layer.groups)
    seen = set()
    for plan in ((4, 16), (2, 32), (1, 64)):
        with ladder.using("fused", "tf32"), cut(plan):
            y = cuda.convolution(cupy.asarray(x), cupy.asarray(W), *where)
            gx = cuda.convolution_input_gradient(cupy.asarray(gy), cupy.asarray(W), x.shape, *where)
        seen.add((y.get().tobytes(), gx.get().tobytes()))
    assert len(seen) == 1


def test_factors_are_rounded_to_the_nearest(cupy):
    """Cut off, they would all be too small, and so would be their sums."""
    layer = ACROSS_TILES["1x1"]
    x, W = map(np.abs, layer.x_and_weights())
    where = layer.window, layer.groups
    with ladder.using("fused", "tf32"):
        y = cuda.convolution(cupy.asarray(x), cupy.asarray(W), *where)
    assert abs(np.mean(y.get() / outputs(layer, x, W) - 1)) < 1e-4


def test_a_variance_far_from_zero_keeps_its_digits(cupy):
    """The mean of the squares minus the square of the mean would have none left."""
    layer = ACROSS_TILES["3x3"]
    x, W = layer.x_and_weights()
    b = cupy.asarray(np.full(24, 3000, np.float32))
    with ladder.using("fused"):
        where = layer.window, layer.groups
        y, taken = implicit.convolution(cupy.asarray(x), cupy.asarray(W), *where, b, statistics=True)
        _, var = mean_and_var(taken)
    np.testing.assert_allclose(var.get(), y.get().astype(np.float64).var((0, 2, 3)), rtol=1e-4)


def test_a_nan_stays_one(cupy):
    x = np.zeros((1, 4, 3, 3), np.float32)
    x[0, 0, 1, 1] = np.nan
    W, ones = np.ones((4, 4, 1, 1), np.float32), cupy.asarray(np.ones(4, np.float32))
    with ladder.using("fused", "tf32"):
        arguments = cupy.asarray(x), cupy.asarray(W), Window((1, 1)), 1
        y = implicit.convolution(*arguments, relu=True, prologue=(ones, ones))
    np.testing.assert_array_equal(np.isnan(y.get()), np.isnan(x).any(1, keepdims=True).repeat(4, 1))


def test_empty_batch(cupy):
    W = cupy.asarray(np.ones((5, 4, 3, 3), np.float32))
    with ladder.using("fused"):
        y = cuda.convolution(cupy.asarray(np.empty((0, 4, 6, 6), np.float32)), W, Window((3, 3)), 1)
        gx = cuda.convolution_input_gradient(y, W, (0, 4, 6, 6), Window((3, 3)), 1)
    assert (y.shape, gx.shape) == ((0, 5, 4, 4), (0, 4, 6, 6))


# Which kernels a window takes


@pytest.mark.parametrize(
    ("window", "fits"),
    [
        (Window((7, 7), (2, 2), (3, 3)), True),  # ResNet's first
        (Window((1, 1), (2, 2)), True),
        (Window((5, 5), padding=(2, 2)), True),
        (Window((11, 11), (4, 4), (2, 2)), False),  # AlexNet's first
        (Window((7, 7), (4, 4), dilation=(3, 3)), False),
    ],
)
def test_windows_that_fit(window, fits):
    assert implicit.fits(window) == fits


@pytest.mark.parametrize("rung", ["explicit", "fused"])
@pytest.mark.parametrize("kernel", [3, 8])
def test_the_rung_decides(cupy, monkeypatch, rung, kernel):
    """And where the window is too large, its size."""
    used = []
    for name in ("convolution", "convolution_input_gradient", "convolution_weight_gradient"):
        for part in (implicit, convolution_choice.explicit):
            function = getattr(part, name)

            def spy(*arguments, function=function, part=part, **options):
                used.append(part)
                return function(*arguments, **options)

            monkeypatch.setattr(part, name, spy)
    case = layer(4, 5, kernel, (9, 9), padding=1)
    (x, W), (gy, _), where = case.x_and_weights(), case.gy_and_weights(), (case.window, case.groups)
    on_device = list(map(cupy.asarray, (x, W, gy)))
    with ladder.using(rung):
        y = cuda.convolution(*on_device[:2], *where)
        gx = cuda.convolution_input_gradient(on_device[2], on_device[1], x.shape, *where)
        gW = cuda.convolution_weight_gradient(on_device[2], on_device[0], W.shape, *where)
    assert used == [implicit if (rung, kernel) == ("fused", 3) else convolution_choice.explicit] * 3
    Maps(cupy).agree(y, reference.convolution(x, W, *where))
    Maps(cupy).agree(gx, reference.convolution_input_gradient(gy, W, x.shape, *where))
    Maps(cupy).agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, *where))


@pytest.mark.parametrize("kernel", [3, 8])
def test_convolutions_that_read_through_batch_norm(cupy, kernel):
    """All four kernels of the rung "fused", with a window that fits and with one that does not."""
    case = layer(4, 5, kernel, (9, 9), N=2, padding=1)
    where = case.window, case.groups
    u, W, gy, gamma, beta = case.draw(case.shape, case.filters, case.output, 4, 4)
    norm = reference.batch_normalization(gamma, beta, moments(u), EPS)
    maps, there = Maps(cupy), list(map(cupy.asarray, (u, W, gy, *norm[:5])))

    def with_statistics(y, taken):
        return y, *(taken if isinstance(taken, tuple) else mean_and_var(taken))

    def results(kernels, u, W, gy, *numbers):
        norm = BatchNormalization(*numbers, EPS)
        yield from with_statistics(*kernels.convolution_and_statistics(u, W, *where))
        yield from with_statistics(*kernels.normalized_convolution(u, norm, W, *where))
        yield from kernels.normalized_convolution_input_gradient(gy, W, u, norm, *where)
        yield kernels.normalized_convolution_weight_gradient(gy, u, norm, W.shape, *where)

    with ladder.using("fused"):
        ours = list(results(cuda, *there))
    expected = results(reference, u, W, gy, *norm[:5])
    for one, other in zip(ours, expected, strict=True):
        maps.agree(one, other)


# Plans


RESNET20 = [  # C, O, H = W of the input, stride
    *((3, 16, 32, 1), (16, 16, 32, 1), (16, 32, 32, 2), (32, 32, 16, 1), (32, 64, 16, 2), (64, 64, 8, 1)),
]


@pytest.mark.parametrize(("C", "O", "size", "stride"), RESNET20)
def test_a_batch_keeps_a_large_card_busy(C, O, size, stride):
    window, shape = Window((3, 3), (stride, stride), (1, 1)), (128, C, size, size)
    for axes, channels in ((forward_axes, (C, O)), (backward_axes, (O, C))):
        plan = planning.plan_for(*axes(shape, window), 128, 1, *channels)
        assert plan.shared <= MOST_SHARED
        assert np.prod(plan.blocks) * plan.warps >= planning.WARPS_WANTED
