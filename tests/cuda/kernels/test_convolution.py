import importlib
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import ACROSS_TILES, LIMIT, STORED, VARIANTS, double, error, layer, layers, outputs, same_twice
from on_device import Maps, mean_and_var, with_examples

from minires.backend import cuda, reference
from minires.backend.batch_normalization import BatchNormalization
from minires.backend.cuda import explicit_gemm, implicit_gemm, kernel_settings
from minires.backend.cuda.gather import MOST_SHARED_BYTES, backward_axes, forward_axes
from minires.backend.window import Window

# `minires.backend.cuda.convolution` is the function of that name.
planning = importlib.import_module("minires.backend.cuda.convolution")

PLANS = st.sampled_from([None, *((warps, width) for warps in (1, 2, 4) for width in (16, 32, 64))])
EPS = 1e-3


def forced_plan(plan):
    """A context in which blocks have `plan` = (warps, output channels) in place of what plan_for chooses.

    The choice of plan_for stays if such a block does not fit into shared memory.
    """
    if plan is None:
        return nullcontext()
    chosen_plan = planning.plan_for.__wrapped__

    def plan_for(rows, columns, images, groups, channels_in, channels_out):
        depth = 8 if channels_in <= 8 else 16
        forced = planning._plan(rows, columns, images, groups, channels_out, *plan, depth)
        if forced.shared <= MOST_SHARED_BYTES:
            return forced
        return chosen_plan(rows, columns, images, groups, channels_in, channels_out)

    return mock.patch.object(planning, "plan_for", plan_for)


def check_convolution_and_input_gradient(cupy, layer, plan, variant, channels_last):
    precision, storage = variant
    maps, limit = Maps(cupy, storage, channels_last), LIMIT[precision] + STORED[storage]
    geometry = layer.window, layer.groups
    x, W = layer.x_and_weights()
    gy, _ = layer.gy_and_weights()
    x, gy = maps.rounded(x), maps.rounded(gy)
    with kernel_settings.using("implicit", precision), forced_plan(plan):
        y = cuda.convolution(maps.to_gpu(x), cupy.asarray(W), *geometry)
        gx = cuda.convolution_input_gradient(maps.to_gpu(gy), cupy.asarray(W), x.shape, *geometry)
    maps.agree(y, outputs(layer, x, W), limit)
    maps.agree(gx, reference.convolution_input_gradient(*double(gy, W), x.shape, *geometry), limit)


RANDOM_LAYERS = given(layers(), PLANS, VARIANTS, st.booleans())
test_convolution_and_input_gradient = with_examples(25)(RANDOM_LAYERS(check_convolution_and_input_gradient))
test_convolution_of_more_layers = pytest.mark.slow(
    with_examples(100)(RANDOM_LAYERS(check_convolution_and_input_gradient))
)


@with_examples(60)
@given(layers(), PLANS, VARIANTS, st.tuples(*[st.booleans()] * 5))
def test_prologue_and_epilogue(cupy, layer, plan, variant, chosen):
    precision, storage = variant
    with_prologue, with_b, with_z, relu, statistics = chosen
    maps, C, O = Maps(cupy, storage), layer.shape[1], layer.filters[0]
    x, W, scale, shift, b, z = layer.draw(layer.shape, layer.filters, C, C, O, layer.output)
    x, z = maps.rounded(x), maps.rounded(z) if with_z else None
    b = b if with_b else None
    scale_shift = tuple(map(cupy.asarray, (scale, shift))) if with_prologue else None
    with kernel_settings.using("fused", precision), forced_plan(plan):
        result = implicit_gemm.convolution(
            *(maps.to_gpu(x), cupy.asarray(W), layer.window, layer.groups),
            *(None if b is None else cupy.asarray(b), maps.to_gpu(z), relu),
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


@with_examples(60)
@given(layers(), PLANS, VARIANTS)
def test_gradient_through_batch_norm(cupy, layer, plan, variant):
    precision, storage = variant
    maps, C = Maps(cupy, storage), layer.shape[1]
    gy, W, u, scale, mean, var = layer.draw(layer.output, layer.filters, layer.shape, C, C, C)
    gy, u, var = maps.rounded(gy), maps.rounded(u), np.abs(var)
    shift = -mean * scale  # a batch norm with beta = 0, so that about half of the ReLU's outputs are 0
    norm = BatchNormalization(*map(cupy.asarray, (mean, var, scale, shift)), None, EPS)
    geometry = layer.window, layer.groups
    with kernel_settings.using("fused", precision), forced_plan(plan):
        g, ggamma, gbeta = planning.input_gradient_through_batch_norm(
            maps.to_gpu(gy), cupy.asarray(W), maps.to_gpu(u), norm, *geometry
        )
    # The kernel decides this in float32. No number may be so close to 0 that the last bit decides.
    passed = np.float64(scale[:, None, None]) * u + shift[:, None, None] > 0
    expected = reference.convolution_input_gradient(*double(gy, W), u.shape, *geometry)
    largest = np.abs(expected).max()
    expected = expected * passed
    uhat = (u.astype(np.float64) - mean[:, None, None]) / np.sqrt(var[:, None, None] + EPS)
    limit = LIMIT[precision]
    np.testing.assert_allclose(maps.to_cpu(g), expected, rtol=0, atol=(limit + STORED[storage]) * largest)
    for gradient, factors in ((gbeta, np.ones_like(uhat)), (ggamma, uhat)):
        sizes = np.abs(factors).sum((0, 2, 3)) * largest + 1e-30
        assert (np.abs(gradient.get() - (expected * factors).sum((0, 2, 3))) / sizes).max() <= limit


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("name", ACROSS_TILES)
def test_across_tiles(cupy, name, precision):
    layer, maps = ACROSS_TILES[name], Maps(cupy)
    (x, W), (gy, _), geometry = layer.x_and_weights(), layer.gy_and_weights(), (layer.window, layer.groups)

    def results():
        y, statistics = cuda.convolution_and_statistics(maps.to_gpu(x), cupy.asarray(W), *geometry)
        yield from (y, *mean_and_var(statistics))
        yield cuda.convolution_input_gradient(maps.to_gpu(gy), cupy.asarray(W), x.shape, *geometry)

    with kernel_settings.using("fused", precision):
        on_gpu = same_twice(results)
    y = outputs(layer, x, W)
    gx = reference.convolution_input_gradient(*double(gy, W), x.shape, *geometry)
    errors = [error(*pair) for pair in zip(on_gpu, (y, *moments(y), gx), strict=True)]
    assert max(errors) <= LIMIT[precision]
    # TF32 is really in use with the precision "tf32", and only then.
    assert (errors[0] > 1e-6, errors[3] > 1e-6) == (precision == "tf32",) * 2


def moments(y):
    return y.mean((0, 2, 3)), y.var((0, 2, 3))


def test_the_size_of_blocks_changes_no_bit(cupy):
    """Of y and of gx; only the statistics depend on it, because they are added up tile by tile."""
    layer = ACROSS_TILES["3x3"]
    (x, W), (gy, _), geometry = layer.x_and_weights(), layer.gy_and_weights(), (layer.window, layer.groups)
    results = set()
    for plan in ((4, 16), (2, 32), (1, 64)):
        with kernel_settings.using("fused", "tf32"), forced_plan(plan):
            y = cuda.convolution(cupy.asarray(x), cupy.asarray(W), *geometry)
            gx = cuda.convolution_input_gradient(cupy.asarray(gy), cupy.asarray(W), x.shape, *geometry)
        results.add((y.get().tobytes(), gx.get().tobytes()))
    assert len(results) == 1


def test_factors_are_rounded_to_the_nearest(cupy):
    """If their last bits were cut off, all factors would be too small, and so would their sums."""
    layer = ACROSS_TILES["1x1"]
    x, W = map(np.abs, layer.x_and_weights())
    geometry = layer.window, layer.groups
    with kernel_settings.using("fused", "tf32"):
        y = cuda.convolution(cupy.asarray(x), cupy.asarray(W), *geometry)
    assert abs(np.mean(y.get() / outputs(layer, x, W) - 1)) < 1e-4


def test_a_variance_far_from_zero_keeps_its_digits(cupy):
    """The mean of the squares minus the square of the mean would lose all of them."""
    layer = ACROSS_TILES["3x3"]
    x, W = layer.x_and_weights()
    b = cupy.asarray(np.full(24, 3000, np.float32))
    with kernel_settings.using("fused"):
        geometry = layer.window, layer.groups
        y, partials = implicit_gemm.convolution(
            cupy.asarray(x), cupy.asarray(W), *geometry, b, statistics=True
        )
        _, var = mean_and_var(partials)
    np.testing.assert_allclose(var.get(), y.get().astype(np.float64).var((0, 2, 3)), rtol=1e-4)


def test_a_nan_stays_one(cupy):
    x = np.zeros((1, 4, 3, 3), np.float32)
    x[0, 0, 1, 1] = np.nan
    W, ones = np.ones((4, 4, 1, 1), np.float32), cupy.asarray(np.ones(4, np.float32))
    with kernel_settings.using("fused", "tf32"):
        arguments = cupy.asarray(x), cupy.asarray(W), Window((1, 1)), 1
        y = implicit_gemm.convolution(*arguments, relu=True, prologue=(ones, ones))
    np.testing.assert_array_equal(np.isnan(y.get()), np.isnan(x).any(1, keepdims=True).repeat(4, 1))


def test_empty_batch(cupy):
    W = cupy.asarray(np.ones((5, 4, 3, 3), np.float32))
    with kernel_settings.using("fused"):
        y = cuda.convolution(cupy.asarray(np.empty((0, 4, 6, 6), np.float32)), W, Window((3, 3)), 1)
        gx = cuda.convolution_input_gradient(y, W, (0, 4, 6, 6), Window((3, 3)), 1)
    assert (y.shape, gx.shape) == ((0, 5, 4, 4), (0, 4, 6, 6))


# Which kernels compute a window


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
    assert implicit_gemm.fits(window) == fits


@pytest.mark.parametrize("rung", ["explicit", "fused"])
@pytest.mark.parametrize("kernel", [3, 8])
def test_the_rung_decides(cupy, monkeypatch, rung, kernel):
    """The rung decides which kernels compute, but the size of the window does if it is too large."""
    used = []
    for name in ("convolution", "convolution_input_gradient", "convolution_weight_gradient"):
        for part in (implicit_gemm, explicit_gemm):
            function = getattr(part, name)

            def spy(*arguments, function=function, part=part, **options):
                used.append(part)
                return function(*arguments, **options)

            monkeypatch.setattr(part, name, spy)
    case = layer(4, 5, kernel, (9, 9), padding=1)
    (x, W), (gy, _), geometry = case.x_and_weights(), case.gy_and_weights(), (case.window, case.groups)
    on_device = list(map(cupy.asarray, (x, W, gy)))
    with kernel_settings.using(rung):
        y = cuda.convolution(*on_device[:2], *geometry)
        gx = cuda.convolution_input_gradient(on_device[2], on_device[1], x.shape, *geometry)
        gW = cuda.convolution_weight_gradient(on_device[2], on_device[0], W.shape, *geometry)
    assert used == [implicit_gemm if (rung, kernel) == ("fused", 3) else explicit_gemm] * 3
    Maps(cupy).agree(y, reference.convolution(x, W, *geometry))
    Maps(cupy).agree(gx, reference.convolution_input_gradient(gy, W, x.shape, *geometry))
    Maps(cupy).agree(gW, reference.convolution_weight_gradient(gy, x, W.shape, *geometry))


@pytest.mark.parametrize("kernel", [3, 8])
def test_convolutions_that_read_through_batch_norm(cupy, kernel):
    """All four kernels of the rung "fused", with a window that fits and with one that does not."""
    case = layer(4, 5, kernel, (9, 9), N=2, padding=1)
    geometry = case.window, case.groups
    u, W, gy, gamma, beta = case.draw(case.shape, case.filters, case.output, 4, 4)
    norm = reference.batch_normalization(gamma, beta, moments(u), EPS)
    maps, inputs = Maps(cupy), list(map(cupy.asarray, (u, W, gy, *norm[:5])))

    def with_statistics(y, statistics):
        return y, *(statistics if isinstance(statistics, tuple) else mean_and_var(statistics))

    def results(kernels, u, W, gy, *numbers):
        norm = BatchNormalization(*numbers, EPS)
        yield from with_statistics(*kernels.convolution_and_statistics(u, W, *geometry))
        yield from with_statistics(*kernels.normalized_convolution(u, norm, W, *geometry))
        yield from kernels.normalized_convolution_input_gradient(gy, W, u, norm, *geometry)
        yield kernels.normalized_convolution_weight_gradient(gy, u, norm, W.shape, *geometry)

    with kernel_settings.using("fused"):
        on_gpu = list(results(cuda, *inputs))
    expected = results(reference, u, W, gy, *norm[:5])
    for result, expected_result in zip(on_gpu, expected, strict=True):
        maps.agree(result, expected_result)


# Plans


RESNET20 = [  # C, O, H = W of the input, stride
    *((3, 16, 32, 1), (16, 16, 32, 1), (16, 32, 32, 2), (32, 32, 16, 1), (32, 64, 16, 2), (64, 64, 8, 1)),
]


@pytest.mark.parametrize(("C", "O", "size", "stride"), RESNET20)
def test_a_batch_keeps_a_large_card_busy(C, O, size, stride):
    window, shape = Window((3, 3), (stride, stride), (1, 1)), (128, C, size, size)
    for axes, channels in ((forward_axes, (C, O)), (backward_axes, (O, C))):
        plan = planning.plan_for(*axes(shape, window), 128, 1, *channels)
        assert plan.shared <= MOST_SHARED_BYTES
        assert np.prod(plan.blocks) * plan.warps >= planning.BUSY_CARD_WARPS
