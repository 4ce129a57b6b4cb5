"""The fast kernels against the plain ones, on arrays that Hypothesis draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ORDERS, SEEDS, windows

from minires.backend import cpu, reference
from minires.backend.cpu import convolution_choice, direct_convolution, im2col_convolution, threads, winograd
from minires.backend.window import Window

BATCHES = st.tuples(st.integers(1, 5), st.integers(1, 4))


@pytest.fixture(params=[1, 2, 3])
def thread_count(request):
    """This number of threads, and the previous number afterwards."""
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


@pytest.fixture
def in_small_chunks(monkeypatch):
    """Even the smallest maps are cut into many blocks, which all threads share."""
    constants = {
        convolution_choice: {"WINOGRAD_ABOVE_ELEMENTS": 0, "SMALL_BATCH_IMAGES": 2},
        winograd: {"BLOCK_BYTES": 1 << 10, "SERIAL_BELOW_MULTIPLICATIONS": 0},
        direct_convolution: {
            "BLOCK_BYTES": 1 << 10,
            "SERIAL_BELOW_MULTIPLICATIONS": 0,
            "SMALL_BATCH_SERIAL_BELOW_MULTIPLICATIONS": 0,
        },
        im2col_convolution: {"BLOCK_BYTES": 1 << 10, "SERIAL_BELOW_MULTIPLICATIONS": 0, "BLOCK_IMAGES": 2},
        cpu.elementwise: {"CHUNK_ELEMENTS": 16, "SERIAL_BELOW_ELEMENTS": 0},
        cpu.batch_norm: {"CHUNK_ELEMENTS": 16, "SERIAL_BELOW_ELEMENTS": 0},
        cpu.pooling: {"SERIAL_BELOW_ELEMENTS": 0},
        cpu.products: {"SERIAL_BELOW_MULTIPLICATIONS": 0},
    }
    for module, values in constants.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


def assert_close(result, expected):
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * scale)


def assert_all_close(results, expected):
    assert len(results) == len(expected)
    for a, b in zip(results, expected, strict=True):
        assert_close(a, b)


def convolution_results(kernels, x, weight, gy, window, groups):
    """The output, the output with bias, addition and ReLU, and both gradients."""
    b = weight[:, 0, 0, 0]
    return (
        kernels.convolution(x, weight, window, groups),
        kernels.convolution(x, weight, window, groups, b, gy, relu=True),
        kernels.convolution_input_gradient(gy, weight, x.shape, window, groups),
        kernels.convolution_weight_gradient(gy, x, weight.shape, window, groups),
    )


def check_convolution(in_memory_order, window_and_size, batch, groups, outputs, order, seed):
    (window, H, W), (N, C), rng = window_and_size, batch, np.random.default_rng(seed)
    x = in_memory_order(rng.standard_normal((N, C * groups, H, W)), order)
    weight = rng.standard_normal((outputs * groups, C, *window.size))
    gy = rng.standard_normal((N, outputs * groups, *window.output_size(H, W)))
    gy = in_memory_order(gy, order)
    assert_all_close(
        convolution_results(cpu, x, weight, gy, window, groups),
        convolution_results(reference, x, weight, gy, window, groups),
    )


@given(windows(largest=5, map_size=9), BATCHES, st.integers(1, 3), st.integers(1, 3), ORDERS, SEEDS)
def test_convolution(in_memory_order, window_and_size, batch, groups, outputs, order, seed):
    check_convolution(in_memory_order, window_and_size, batch, groups, outputs, order, seed)


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("thread_count", [2, 3], indirect=True)
def test_convolution_in_chunks(in_memory_order, thread_count):
    @given(windows(largest=5, map_size=9), BATCHES, st.integers(1, 2), st.integers(1, 3), ORDERS, SEEDS)
    def check(window_and_size, batch, groups, outputs, order, seed):
        check_convolution(in_memory_order, window_and_size, batch, groups, outputs, order, seed)

    check()


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (1, 2)])
def test_winograd_on_odd_and_even_sizes(in_memory_order, padding, thread_count):
    window = Window((3, 3), padding=padding)
    for H in range(3, 9):
        for W in range(3, 8):
            check_convolution(in_memory_order, (window, H, W), (5, 3), 1, 4, "HWCN", seed=H * W)


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("name", ["winograd", "direct_convolution", "im2col_convolution"])
def test_each_algorithm_is_used_and_correct(in_memory_order, monkeypatch, name):
    """All three can compute a 3 x 3 convolution of stride 1: each is used if those before it do not fit."""
    order = ["winograd", "direct_convolution", "im2col_convolution"]
    used = []
    for module in (winograd, direct_convolution):
        comes_before = order.index(module.__name__.split(".")[-1]) < order.index(name)
        if comes_before:
            monkeypatch.setattr(module, "is_fastest_for", lambda *shapes: False)
    for module in (winograd, direct_convolution, im2col_convolution):
        monkeypatch.setattr(module, "convolution", recording(used, module))
    check_convolution(in_memory_order, (Window((3, 3), padding=(1, 1)), 6, 7), (3, 2), 1, 4, "HWCN", seed=0)
    assert set(used) == {name}


def recording(used, module):
    """The module's convolution, which also adds the module's name to the list `used`."""
    convolution = module.convolution

    def recorded(*args):
        used.append(module.__name__.split(".")[-1])
        return convolution(*args)

    return recorded


def test_many_channels_are_computed_by_columns(rng):
    window = Window((3, 3), padding=(1, 1))
    x, weight = rng.standard_normal((2, 160, 4, 4)), rng.standard_normal((160, 160, 3, 3))
    assert not winograd.is_fastest_for(window, weight.shape, 1)
    gy = rng.standard_normal(x.shape)
    assert_all_close(
        convolution_results(cpu, x, weight, gy, window, 1),
        convolution_results(reference, x, weight, gy, window, 1),
    )


def test_float32_stays_float32_and_close(rng):
    window = Window((3, 3), padding=(1, 1))
    x, gy = (rng.standard_normal((8, 16, 12, 12)) for _ in range(2))
    weight = rng.standard_normal((16, 16, 3, 3))
    exact = convolution_results(reference, x, weight, gy, window, 1)
    single = convolution_results(cpu, *(a.astype(np.float32) for a in (x, weight, gy)), window, 1)
    for result, expected in zip(single, exact, strict=True):
        assert result.dtype == np.float32
        assert np.abs(result - expected).max() < 3e-6 * np.abs(expected).max()


def pooling_results(kernels, x, window, rng):
    y, sums = kernels.max_pool(x, window), kernels.sum_pool(x, window)
    gy = rng.standard_normal(y.shape)
    gradients = (
        kernels.max_pool_gradient(gy, x, y, window),
        kernels.sum_pool_gradient(gy, x.shape, window),
    )
    return y, sums, *gradients


@pytest.mark.usefixtures("in_small_chunks")
@given(windows(pooling=True, map_size=9), BATCHES, ORDERS, SEEDS)
def test_pooling(in_memory_order, window_and_size, batch, order, seed):
    (window, H, W), (N, C) = window_and_size, batch
    values = (
        np.random.default_rng(seed).integers(-3, 3, (N, C, H, W)).astype(float)
    )  # few different values, so that some maxima are equal
    x = in_memory_order(values, order)
    fast, plain = (
        pooling_results(kernels, x, window, np.random.default_rng(seed)) for kernels in (cpu, reference)
    )
    assert_all_close(fast, plain)


def batch_norm_results(kernels, maps, params, relu, split, frozen):
    x, z, gy = maps
    gamma, beta = params
    norm = reference.batch_normalization(gamma, beta, kernels.batch_statistics(x), 1e-5)
    y = kernels.scale_and_shift(x, norm.scale, norm.shift, z if split else None, relu=relu)
    gradients = kernels.batch_norm_gradient(gy, x, norm, y if relu else None, split=split, frozen=frozen)
    return norm.mean, norm.var, y, *gradients


FLAGS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@pytest.mark.usefixtures("in_small_chunks")
@given(st.lists(st.integers(1, 6), min_size=0, max_size=3), BATCHES, FLAGS, SEEDS)
def test_batch_norm_with_addition_and_relu(size, batch, flags, seed):
    N, C = batch
    shape = (N + 1, C, *size)
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal(shape) for _ in range(3)]
    params = rng.uniform(0.5, 2, C), rng.standard_normal(C)
    fast, plain = (batch_norm_results(kernels, maps, params, *flags) for kernels in (cpu, reference))
    assert len(fast) == len(plain)
    for result, expected in zip(fast, plain, strict=True):
        assert result.shape == expected.shape
        # 1 / sqrt(var + eps) magnifies rounding where the few numbers of a channel are nearly equal
        np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-7 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("offset", [0, 10, 1e3])
def test_variance_is_precise_if_the_mean_is_large(rng, offset):
    """With a mean of 1e3, the mean square minus the squared mean would have no correct digits."""
    x = (rng.standard_normal((64, 3, 16, 16)) + offset).astype(np.float32)
    mean, var = cpu.batch_statistics(x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, x.var(axis=(0, 2, 3), dtype=np.float64), rtol=1e-4)


@pytest.mark.usefixtures("in_small_chunks")
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), SEEDS)
def test_elementwise(shape, seed):
    a, b = 10 * np.random.default_rng(seed).standard_normal((2, *shape))
    mixed = b.T.copy().T  # the other order in memory
    assert_close(cpu.relu(a), reference.relu(a))
    assert_close(cpu.relu_gradient(b, a), reference.relu_gradient(b, a))
    assert_close(cpu.add(a, b), a + b)
    assert_close(cpu.add(a, mixed), a + mixed)
    assert_close(cpu.add(a, np.broadcast_to(b[:1], a.shape)), a + b[:1])


def test_add_broadcasts_and_converts_like_numpy(rng):
    a, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal(4)
    assert_close(cpu.add(a, b), a + b)


def test_results_are_pixel_by_pixel_in_memory(rng):
    """So the next layer can use the rows and columns of these maps without a copy."""
    x = rng.standard_normal((4, 3, 8, 8)).astype(np.float32)
    y = cpu.convolution(
        x, rng.standard_normal((2, 3, 3, 3)).astype(np.float32), Window((3, 3), padding=(1, 1)), 1
    )
    ones = np.ones(2, np.float32)
    for result in (
        y,
        cpu.scale_and_shift(y, ones, ones),
        cpu.relu(y),
        cpu.add(y, y),
        cpu.max_pool(y, Window((2, 2))),
    ):
        assert result.transpose(2, 3, 1, 0).flags.c_contiguous
        assert result.dtype == np.float32


def test_the_same_threads_give_the_same_bits(rng, thread_count):
    x, gy = rng.standard_normal((2, 32, 16, 16, 16)).astype(np.float32)
    weight = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    window = Window((3, 3), padding=(1, 1))
    first = convolution_results(cpu, x, weight, gy, window, 1) + cpu.batch_statistics(x)
    for _ in range(5):
        again = convolution_results(cpu, x, weight, gy, window, 1) + cpu.batch_statistics(x)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("in_small_chunks", "thread_count")
def test_matmul():
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans(), SEEDS)
    def check(M, K, P, column_major, seed):
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((M, K)), rng.standard_normal((K, P))
        if column_major:  # like the transposed weights and gradients of a layer
            a, b = np.asfortranarray(a), np.asfortranarray(b)
        assert_close(cpu.matmul(a, b), a @ b)

    check()
    stack = np.ones((3, 4, 5)), np.ones((5, 2), np.float32)
    assert_close(cpu.matmul(*stack), stack[0] @ stack[1])


def test_the_dispatch_reaches_the_fast_kernels(rng, monkeypatch):
    from minires.backend import kernels

    x, weight = rng.standard_normal((8, 4, 16, 16)), rng.standard_normal((4, 4, 3, 3))
    window = Window((3, 3), padding=(1, 1))
    fast = kernels.convolution(x, weight, window, 1)
    with kernels.reference_kernels():
        plain = kernels.convolution(x, weight, window, 1)
    np.testing.assert_array_equal(fast, cpu.convolution(x, weight, window, 1))
    np.testing.assert_array_equal(plain, reference.convolution(x, weight, window, 1))
