import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, map_shapes, mean_and_var, with_examples

from minires.backend import cuda, reference
from minires.backend.batch_normalization import BatchNormalization

EPS = 1e-5


def random_arrays(shape, seed, count=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


def per_channel(cupy, C, seed):
    """gamma, beta, mean and a variance, (C,) each, on the GPU and on the CPU."""
    on_cpu = random_arrays((4, C), seed)[0]
    on_cpu[3] = np.abs(on_cpu[3]) + 0.5
    return list(map(cupy.asarray, on_cpu)), list(on_cpu)


def normalizations(cupy, C, seed):
    """A BatchNormalization on the GPU and on the CPU."""
    gamma, beta, mean, var = per_channel(cupy, C, seed)[1]
    on_cpu = reference.batch_normalization(gamma, beta, (mean, var), EPS)
    return BatchNormalization(*map(cupy.asarray, on_cpu[:5]), EPS), on_cpu


@with_examples(20)
@given(map_shapes(), STORAGE, st.booleans(), SEEDS)
def test_statistics(cupy, shape, storage, channels_last, seed):
    maps = Maps(cupy, storage, channels_last)
    x = maps.rounded(random_arrays(shape, seed)[0])
    mean, var = mean_and_var(cuda.batch_statistics(maps.to_gpu(x)))
    expected = reference.batch_statistics(x.astype(np.float64))
    maps.agree(mean, expected[0], 1e-6)
    maps.agree(var, expected[1], 1e-6)


def test_statistics_of_many_blocks(cupy, turns):
    """With more pixels than the blocks can take at once, so that blocks take pixels twice."""
    x = random_arrays((3, 4, 1, 400), 0)[0]
    usual = cuda.batch_norm.MOST_BLOCKS
    try:
        cuda.batch_norm.MOST_BLOCKS = 2
        results = [mean_and_var(cuda.batch_statistics(Maps(cupy).to_gpu(x))) for _ in range(2)]
    finally:
        cuda.batch_norm.MOST_BLOCKS = usual
    exact = reference.batch_statistics(x.astype(np.float64))
    for first, second, expected in zip(*results, exact, strict=True):
        Maps(cupy).agree(first, expected, 1e-6)
        assert first.get().tobytes() == second.get().tobytes()


def test_a_variance_far_from_zero_keeps_its_digits(cupy):
    """The mean of the squares minus the square of the mean would lose all of them."""
    x = random_arrays((2, 3, 5, 5), 0)[0] + np.float32(3000)
    _, var = mean_and_var(cuda.batch_statistics(Maps(cupy).to_gpu(x)))
    np.testing.assert_allclose(var.get(), x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-3)


@with_examples(10)
@given(st.integers(1, 40), st.integers(0, 30), st.booleans(), SEEDS)
def test_folded_weights(cupy, C, depth, has_bias, seed):
    on_gpu, on_cpu = per_channel(cupy, C, seed)
    W, b = random_arrays((C, depth, 1, 1), seed + 1)[0], random_arrays(C, seed + 2)[0] if has_bias else None
    results = cuda.folded_weights(
        cupy.asarray(W), None if b is None else cupy.asarray(b), *on_gpu[:2], tuple(on_gpu[2:]), EPS
    )
    expected = reference.folded_weights(W, b, *on_cpu[:2], on_cpu[2:], EPS)
    for result, expected_result in zip(results, expected, strict=True):
        if expected_result.size:
            Maps(cupy).agree(result, expected_result, 1e-6)


@with_examples(10)
@given(st.integers(1, 40), SEEDS)
def test_factors_of_given_statistics(cupy, C, seed):
    (gamma, beta, *statistics), on_cpu = per_channel(cupy, C, seed)
    norm = cuda.batch_normalization(gamma, beta, tuple(statistics), EPS)
    expected = reference.batch_normalization(*on_cpu[:2], on_cpu[2:], EPS)
    for name in ("mean", "var", "scale", "shift", "gamma"):
        Maps(cupy).agree(getattr(norm, name), getattr(expected, name), 1e-6)
    assert norm.eps == expected.eps


@with_examples(10)
@given(map_shapes(most_images=4), SEEDS)
def test_factors_and_running_statistics_of_a_batch(cupy, shape, seed):
    assume(np.prod(shape) > shape[1])
    (x,), both = random_arrays(shape, seed), per_channel(cupy, shape[1], seed)
    results = []
    for module, array, (gamma, beta, *running) in zip(
        (cuda, reference), (Maps(cupy).to_gpu(x), x.astype(np.float64)), both, strict=True
    ):
        options = {"running": running, "momentum": 0.1, "count": x.size // shape[1]}
        norm = module.batch_normalization(gamma, beta, module.batch_statistics(array), EPS, **options)
        results.append([*norm[:5], *running])
    for result, expected in zip(*results, strict=True):
        Maps(cupy).agree(result, expected, 1e-5)


@with_examples(20)
@given(map_shapes(), STORAGE, st.booleans(), st.booleans(), st.booleans(), SEEDS)
def test_scale_and_shift(cupy, shape, storage, channels_last, added, relu, seed):
    maps = Maps(cupy, storage, channels_last)
    x, z = map(maps.rounded, random_arrays(shape, seed, 2))
    on_gpu, on_cpu = per_channel(cupy, shape[1], seed)
    z = z if added else None
    y = cuda.scale_and_shift(maps.to_gpu(x), *on_gpu[:2], maps.to_gpu(z), relu=relu)
    maps.agree(y, reference.scale_and_shift(x, *on_cpu[:2], z, relu=relu))


def test_scale_and_shift_in_place_and_without_factors(cupy):
    maps = Maps(cupy)
    x, z = random_arrays((2, 4, 3, 3), 0, 2)
    y = maps.to_gpu(x)
    assert cuda.scale_and_shift(y, None, None, maps.to_gpu(z), relu=True, out=y) is y
    maps.agree(y, np.maximum(x + z, 0))


def test_a_nan_stays_a_nan(cupy):
    x = cupy.asarray(np.full((1, 4, 2, 2), np.nan, np.float32))
    assert np.isnan(cuda.scale_and_shift(x, None, None, relu=True).get()).all()


def test_no_image_no_kernel(cupy):
    x, values = cupy.empty((0, 4, 3, 3), "float32"), cupy.zeros(4, "float32")
    assert cuda.scale_and_shift(x, values, values).shape == x.shape
    norm = BatchNormalization(*[values] * 5, EPS)
    gx, ggamma, gbeta = cuda.batch_norm_gradient(x, x, norm)
    assert gx.shape == x.shape
    assert ggamma.get().tolist() == gbeta.get().tolist() == [0, 0, 0, 0]


@with_examples(30)
@given(map_shapes(), STORAGE, st.sampled_from(["", "y", "mask"]), st.booleans(), st.booleans(), SEEDS)
def test_gradient(cupy, shape, storage, relu, split, frozen, seed):
    maps = Maps(cupy, storage)
    gy, x, y = map(maps.rounded, random_arrays(shape, seed, 3))
    on_gpu, on_cpu = normalizations(cupy, shape[1], seed)
    options = {"split": split, "frozen": frozen}
    gpu_options, cpu_options = dict(options), dict(options)
    if relu == "y":
        gpu_options["y"], cpu_options["y"] = maps.to_gpu(y), y
    if relu == "mask":
        gpu_options["relu"] = True
        cpu_options["y"] = reference.scale_and_shift(x, on_cpu.scale, on_cpu.shift)
    results = cuda.batch_norm_gradient(maps.to_gpu(gy), maps.to_gpu(x), on_gpu, **gpu_options)
    expected = reference.batch_norm_gradient(gy, x, on_cpu, **cpu_options)
    for i, (gradient, expected_gradient) in enumerate(zip(results, expected, strict=True)):
        maps.agree(gradient, expected_gradient, 1e-5 if i in (1, 2) else None)


def test_gradient_of_many_blocks_has_the_same_bits_twice(cupy, turns):
    maps = Maps(cupy)
    gy, x = random_arrays((3, 4, 1, 400), 0, 2)
    on_gpu, on_cpu = normalizations(cupy, 4, 0)
    first, second = (cuda.batch_norm_gradient(maps.to_gpu(gy), maps.to_gpu(x), on_gpu) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.get().tobytes() == b.get().tobytes()
    expected = reference.batch_norm_gradient(gy, x, on_cpu)
    for gradient, expected_gradient in zip(first, expected, strict=True):
        maps.agree(gradient, expected_gradient)


def test_input_gradient_for_sums_that_are_known(cupy):
    maps = Maps(cupy)
    g, x = random_arrays((2, 5, 3, 3), 0, 2)
    norm, _ = normalizations(cupy, 5, 0)
    gx, *sums = cuda.batch_norm_gradient(maps.to_gpu(g), maps.to_gpu(x), norm)
    gx_from_sums = cuda.batch_norm_input_gradient(maps.to_gpu(g), maps.to_gpu(x), norm, *sums)
    assert gx_from_sums.get().tobytes() == gx.get().tobytes()


@pytest.mark.parametrize("offset", [1, 4])
def test_a_map_that_begins_at_any_address(cupy, offset):
    """Four channels are read at once only if the address is a multiple of their size."""
    x = random_arrays((2 * 8 + offset,), 0)[0]
    on_gpu = cupy.asarray(x)[offset:].reshape(2, 8)
    ones = cupy.asarray(np.ones(8, np.float32))
    Maps(cupy).agree(cuda.scale_and_shift(on_gpu, ones, ones), x[offset:].reshape(2, 8) + 1)
