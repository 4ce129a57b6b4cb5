"""The fast kernels against the plain ones, on whatever Hypothesis thinks of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ORDERS, SEEDS, windows

from minires.backend import cpu, reference
from minires.backend.cpu import columns, convolution_choice, rows, threads, winograd
from minires.backend.window import Window

BATCHES = st.tuples(st.integers(1, 5), st.integers(1, 4))


@pytest.fixture(params=[1, 2, 3])
def thread_count(request):
    """As many threads as that, and the usual number afterwards."""
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


@pytest.fixture
def in_small_chunks(monkeypatch):
    """Even the smallest maps in many blocks, shared by all threads."""
    constants = {
        convolution_choice: {"WINOGRAD_ABOVE_ELEMENTS": 0, "SMALL_BATCH_IMAGES": 2},
        winograd: {"BLOCK_BYTES": 1 << 10, "SERIAL_BELOW_MULTIPLICATIONS": 0},
        rows: {"BLOCK_BYTES": 1 << 10, "SERIAL_BELOW_MULTIPLICATIONS": 0},
        columns: {"BLOCK_BYTES": 1 << 10, "SERIAL_BELOW_MULTIPLICATIONS": 0, "BLOCK_IMAGES": 2},
        cpu.elementwise: {"CHUNK_ELEMENTS": 16, "SERIAL_BELOW_ELEMENTS": 0},
        cpu.normalization: {"CHUNK_ELEMENTS": 16, "SERIAL_BELOW_ELEMENTS": 0},
        cpu.pooling: {"SERIAL_BELOW_ELEMENTS": 0},
        cpu.products: {"SERIAL_BELOW_MULTIPLICATIONS": 0},
    }
    for module, values in constants.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


def close(ours, expected):
    assert ours.shape == expected.shape
    assert ours.dtype == expected.dtype
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12 * scale)


def all_close(ours, expected):
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected, strict=True):
        close(a, b)


def convolved(kernels, x, weight, gy, window, groups):
    """The output, the same with all that may follow, and both gradients."""
    b = weight[:, 0, 0, 0]
    return (
        kernels.convolution(x, weight, window, groups),
        kernels.convolution(x, weight, window, groups, b, gy, relu=True),
        kernels.convolution_input_gradient(gy, weight, x.shape, window, groups),
        kernels.convolution_weight_gradient(gy, x, weight.shape, window, groups),
    )


def agree_on_convolution(in_memory_order, fitted, batch, groups, outputs, order, seed):
    (window, H, W), (N, C), rng = fitted, batch, np.random.default_rng(seed)
    x = in_memory_order(rng.standard_normal((N, C * groups, H, W)), order)
    weight = rng.standard_normal((outputs * groups, C, *window.size))
    gy = rng.standard_normal((N, outputs * groups, *window.output_size(H, W)))
    gy = in_memory_order(gy, order)
    all_close(
        convolved(cpu, x, weight, gy, window, groups), convolved(reference, x, weight, gy, window, groups)
    )


@given(windows(largest=5, map_size=9), BATCHES, st.integers(1, 3), st.integers(1, 3), ORDERS, SEEDS)
def test_convolution(in_memory_order, fitted, batch, groups, outputs, order, seed):
    agree_on_convolution(in_memory_order, fitted, batch, groups, outputs, order, seed)


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("thread_count", [2, 3], indirect=True)
def test_convolution_in_chunks(in_memory_order, thread_count):
    @given(windows(largest=5, map_size=9), BATCHES, st.integers(1, 2), st.integers(1, 3), ORDERS, SEEDS)
    def check(fitted, batch, groups, outputs, order, seed):
        agree_on_convolution(in_memory_order, fitted, batch, groups, outputs, order, seed)

    check()


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0), (1, 2)])
def test_winograd_on_odd_and_even_sizes(in_memory_order, padding, thread_count):
    window = Window((3, 3), padding=padding)
    for H in range(3, 9):
        for W in range(3, 8):
            agree_on_convolution(in_memory_order, (window, H, W), (5, 3), 1, 4, "HWCN", seed=H * W)


@pytest.mark.usefixtures("in_small_chunks")
@pytest.mark.parametrize("name", ["winograd", "rows", "columns"])
def test_every_way_is_taken_and_right(in_memory_order, monkeypatch, name):
    """A 3 x 3 convolution of stride 1 goes all three ways when the ones before are closed."""
    order = ["winograd", "rows", "columns"]
    taken = []
    for module in (winograd, rows):
        closed = order.index(module.__name__.split(".")[-1]) < order.index(name)
        if closed:
            monkeypatch.setattr(module, "fits", lambda *shapes: False)
    for module in (winograd, rows, columns):
        monkeypatch.setattr(module, "convolution", noting(taken, module))
    agree_on_convolution(
        in_memory_order, (Window((3, 3), padding=(1, 1)), 6, 7), (3, 2), 1, 4, "HWCN", seed=0
    )
    assert set(taken) == {name}


def noting(taken, module):
    convolution = module.convolution

    def noted(*args):
        taken.append(module.__name__.split(".")[-1])
        return convolution(*args)

    return noted


def test_many_channels_go_by_columns(rng):
    window = Window((3, 3), padding=(1, 1))
    x, weight = rng.standard_normal((2, 160, 4, 4)), rng.standard_normal((160, 160, 3, 3))
    assert not winograd.fits(window, weight.shape, 1)
    gy = rng.standard_normal(x.shape)
    all_close(convolved(cpu, x, weight, gy, window, 1), convolved(reference, x, weight, gy, window, 1))


def test_float32_stays_float32_and_close(rng):
    window = Window((3, 3), padding=(1, 1))
    x, gy = (rng.standard_normal((8, 16, 12, 12)) for _ in range(2))
    weight = rng.standard_normal((16, 16, 3, 3))
    exact = convolved(reference, x, weight, gy, window, 1)
    single = convolved(cpu, *(a.astype(np.float32) for a in (x, weight, gy)), window, 1)
    for ours, expected in zip(single, exact, strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - expected).max() < 3e-6 * np.abs(expected).max()


def pool(kernels, x, window, rng):
    y, sums = kernels.max_pool(x, window), kernels.sum_pool(x, window)
    gy = rng.standard_normal(y.shape)
    gradients = (
        kernels.max_pool_gradient(gy, x, y, window),
        kernels.sum_pool_gradient(gy, x.shape, window),
    )
    return y, sums, *gradients


@pytest.mark.usefixtures("in_small_chunks")
@given(windows(pooling=True, map_size=9), BATCHES, ORDERS, SEEDS)
def test_pooling(in_memory_order, fitted, batch, order, seed):
    (window, H, W), (N, C) = fitted, batch
    values = (
        np.random.default_rng(seed).integers(-3, 3, (N, C, H, W)).astype(float)
    )  # few, so that maxima tie
    x = in_memory_order(values, order)
    fast, plain = (pool(kernels, x, window, np.random.default_rng(seed)) for kernels in (cpu, reference))
    all_close(fast, plain)


def normalize(kernels, maps, params, relu, split, frozen):
    x, z, gy = maps
    gamma, beta = params
    norm = reference.batch_normalization(gamma, beta, kernels.batch_statistics(x), 1e-5)
    y = kernels.scale_and_shift(x, norm.scale, norm.shift, z if split else None, relu=relu)
    gradients = kernels.batch_norm_gradient(gy, x, norm, y if relu else None, split=split, frozen=frozen)
    return norm.mean, norm.var, y, *gradients


FLAGS = st.tuples(st.booleans(), st.booleans(), st.booleans())


@pytest.mark.usefixtures("in_small_chunks")
@given(st.lists(st.integers(1, 6), min_size=0, max_size=3), BATCHES, FLAGS, SEEDS)
def test_batch_norm_with_what_follows(size, batch, flags, seed):
    N, C = batch
    shape = (N + 1, C, *size)
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal(shape) for _ in range(3)]
    params = rng.uniform(0.5, 2, C), rng.standard_normal(C)
    fast, plain = (normalize(kernels, maps, params, *flags) for kernels in (cpu, reference))
    assert len(fast) == len(plain)
    for ours, expected in zip(fast, plain, strict=True):
        assert ours.shape == expected.shape
        # 1 / sqrt(var + eps) magnifies rounding where the few numbers of a channel are nearly equal
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-7 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("offset", [0, 10, 1e3])
def test_variance_survives_a_large_mean(rng, offset):
    """The difference of mean square and squared mean would lose all digits at 1e3."""
    x = (rng.standard_normal((64, 3, 16, 16)) + offset).astype(np.float32)
    mean, var = cpu.batch_statistics(x)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(var, x.var(axis=(0, 2, 3), dtype=np.float64), rtol=1e-4)


@pytest.mark.usefixtures("in_small_chunks")
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), SEEDS)
def test_elementwise(shape, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, *shape))
    mixed = b.T.copy().T  # the other order in memory
    close(cpu.relu(a), reference.relu(a))
    close(cpu.relu_gradient(b, a), reference.relu_gradient(b, a))
    close(cpu.add(a, b), a + b)
    close(cpu.add(a, mixed), a + mixed)
    close(cpu.add(a, np.broadcast_to(b[:1], a.shape)), a + b[:1])


def test_add_broadcasts_and_converts_like_numpy(rng):
    a, b = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal(4)
    close(cpu.add(a, b), a + b)


def test_maps_come_out_pixel_by_pixel(rng):
    """What the layout is for: the next layer finds its rows, and its columns, as they are."""
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
    first = convolved(cpu, x, weight, gy, window, 1) + cpu.batch_statistics(x)
    for _ in range(5):
        again = convolved(cpu, x, weight, gy, window, 1) + cpu.batch_statistics(x)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("in_small_chunks", "thread_count")
def test_matmul():
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans(), SEEDS)
    def check(M, K, P, turned, seed):
        rng = np.random.default_rng(seed)
        a, b = rng.standard_normal((M, K)), rng.standard_normal((K, P))
        if turned:  # as weights and gradients are
            a, b = np.asfortranarray(a), np.asfortranarray(b)
        close(cpu.matmul(a, b), a @ b)

    check()
    stack = np.ones((3, 4, 5)), np.ones((5, 2), np.float32)
    close(cpu.matmul(*stack), stack[0] @ stack[1])


def test_the_dispatch_reaches_the_fast_kernels(rng, monkeypatch):
    from minires.backend import kernels

    x, weight = rng.standard_normal((8, 4, 16, 16)), rng.standard_normal((4, 4, 3, 3))
    window = Window((3, 3), padding=(1, 1))
    fast = kernels.convolution(x, weight, window, 1)
    with kernels.reference_kernels():
        plain = kernels.convolution(x, weight, window, 1)
    np.testing.assert_array_equal(fast, cpu.convolution(x, weight, window, 1))
    np.testing.assert_array_equal(plain, reference.convolution(x, weight, window, 1))
