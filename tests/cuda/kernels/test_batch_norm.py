import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, few, map_shapes, mean_and_var

from minires.backend import cuda, reference
from minires.backend.batch_normalization import BatchNormalization

EPS = 1e-5


def drawn(shape, seed, count=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


def per_channel(cupy, C, seed):
    """gamma, beta, mean and a variance, (C,) each, there and here."""
    here = drawn((4, C), seed)[0]
    here[3] = np.abs(here[3]) + 0.5
    return list(map(cupy.asarray, here)), list(here)


def normalizations(cupy, C, seed):
    """A BatchNormalization there and here."""
    gamma, beta, mean, var = per_channel(cupy, C, seed)[1]
    here = reference.batch_normalization(gamma, beta, (mean, var), EPS)
    return BatchNormalization(*map(cupy.asarray, here[:5]), EPS), here


@few(20)
@given(map_shapes(), STORAGE, st.booleans(), SEEDS)
def test_statistics(cupy, shape, storage, channels_last, seed):
    maps = Maps(cupy, storage, channels_last)
    x = maps.rounded(drawn(shape, seed)[0])
    mean, var = mean_and_var(cuda.batch_statistics(maps.there(x)))
    expected = reference.batch_statistics(x.astype(np.float64))
    maps.agree(mean, expected[0], 1e-6)
    maps.agree(var, expected[1], 1e-6)


def test_statistics_of_many_blocks(cupy, turns):
    """More pixels than one block measures, and so many that some measure twice."""
    x = drawn((3, 4, 1, 400), 0)[0]
    many = cuda.batch_norm.MOST_BLOCKS
    try:
        cuda.batch_norm.MOST_BLOCKS = 2
        results = [mean_and_var(cuda.batch_statistics(Maps(cupy).there(x))) for _ in range(2)]
    finally:
        cuda.batch_norm.MOST_BLOCKS = many
    for ours, again, expected in zip(*results, reference.batch_statistics(x.astype(np.float64)), strict=True):
        Maps(cupy).agree(ours, expected, 1e-6)
        assert ours.get().tobytes() == again.get().tobytes()


def test_a_variance_far_from_zero_keeps_its_digits(cupy):
    """The mean of the squares minus the square of the mean would have none left."""
    x = drawn((2, 3, 5, 5), 0)[0] + np.float32(3000)
    _, var = mean_and_var(cuda.batch_statistics(Maps(cupy).there(x)))
    np.testing.assert_allclose(var.get(), x.astype(np.float64).var(axis=(0, 2, 3)), rtol=1e-3)


@few(10)
@given(st.integers(1, 40), st.integers(0, 30), st.booleans(), SEEDS)
def test_folded_weights(cupy, C, depth, has_bias, seed):
    there, here = per_channel(cupy, C, seed)
    W, b = drawn((C, depth, 1, 1), seed + 1)[0], drawn(C, seed + 2)[0] if has_bias else None
    ours = cuda.folded_weights(
        cupy.asarray(W), None if b is None else cupy.asarray(b), *there[:2], tuple(there[2:]), EPS
    )
    expected = reference.folded_weights(W, b, *here[:2], here[2:], EPS)
    for folded, plain in zip(ours, expected, strict=True):
        if plain.size:
            Maps(cupy).agree(folded, plain, 1e-6)


@few(10)
@given(st.integers(1, 40), SEEDS)
def test_factors_of_given_statistics(cupy, C, seed):
    (gamma, beta, *statistics), here = per_channel(cupy, C, seed)
    ours = cuda.batch_normalization(gamma, beta, tuple(statistics), EPS)
    expected = reference.batch_normalization(*here[:2], here[2:], EPS)
    for name in ("mean", "var", "scale", "shift", "gamma"):
        Maps(cupy).agree(getattr(ours, name), getattr(expected, name), 1e-6)
    assert ours.eps == expected.eps


@few(10)
@given(map_shapes(most_images=4), SEEDS)
def test_factors_and_running_statistics_of_a_batch(cupy, shape, seed):
    assume(np.prod(shape) > shape[1])
    (x,), both = drawn(shape, seed), per_channel(cupy, shape[1], seed)
    results = []
    for module, array, (gamma, beta, *running) in zip(
        (cuda, reference), (Maps(cupy).there(x), x.astype(np.float64)), both, strict=True
    ):
        options = {"running": running, "momentum": 0.1, "count": x.size // shape[1]}
        norm = module.batch_normalization(gamma, beta, module.batch_statistics(array), EPS, **options)
        results.append([*norm[:5], *running])
    for ours, expected in zip(*results, strict=True):
        Maps(cupy).agree(ours, expected, 1e-5)


@few(20)
@given(map_shapes(), STORAGE, st.booleans(), st.booleans(), st.booleans(), SEEDS)
def test_scale_and_shift(cupy, shape, storage, channels_last, added, relu, seed):
    maps = Maps(cupy, storage, channels_last)
    x, z = map(maps.rounded, drawn(shape, seed, 2))
    there, here = per_channel(cupy, shape[1], seed)
    z = z if added else None
    y = cuda.scale_and_shift(maps.there(x), *there[:2], maps.there(z), relu=relu)
    maps.agree(y, reference.scale_and_shift(x, *here[:2], z, relu=relu))


def test_scale_and_shift_in_place_and_without_factors(cupy):
    maps = Maps(cupy)
    x, z = drawn((2, 4, 3, 3), 0, 2)
    y = maps.there(x)
    assert cuda.scale_and_shift(y, None, None, maps.there(z), relu=True, out=y) is y
    maps.agree(y, np.maximum(x + z, 0))


def test_a_nan_stays(cupy):
    x = cupy.asarray(np.full((1, 4, 2, 2), np.nan, np.float32))
    assert np.isnan(cuda.scale_and_shift(x, None, None, relu=True).get()).all()


def test_no_image_no_kernel(cupy):
    x, values = cupy.empty((0, 4, 3, 3), "float32"), cupy.zeros(4, "float32")
    assert cuda.scale_and_shift(x, values, values).shape == x.shape
    norm = BatchNormalization(*[values] * 5, EPS)
    gx, ggamma, gbeta = cuda.batch_norm_gradient(x, x, norm)
    assert gx.shape == x.shape
    assert ggamma.get().tolist() == gbeta.get().tolist() == [0, 0, 0, 0]


@few(30)
@given(map_shapes(), STORAGE, st.sampled_from(["", "y", "mask"]), st.booleans(), st.booleans(), SEEDS)
def test_gradient(cupy, shape, storage, relu, split, frozen, seed):
    maps = Maps(cupy, storage)
    gy, x, y = map(maps.rounded, drawn(shape, seed, 3))
    there, here = normalizations(cupy, shape[1], seed)
    options = {"split": split, "frozen": frozen}
    ours, expected = dict(options), dict(options)
    if relu == "y":
        ours["y"], expected["y"] = maps.there(y), y
    if relu == "mask":
        ours["relu"], expected["y"] = True, reference.scale_and_shift(x, here.scale, here.shift)
    results = cuda.batch_norm_gradient(maps.there(gy), maps.there(x), there, **ours)
    expected = reference.batch_norm_gradient(gy, x, here, **expected)
    for i, (gradient, right) in enumerate(zip(results, expected, strict=True)):
        maps.agree(gradient, right, 1e-5 if i in (1, 2) else None)


def test_gradient_of_many_blocks_has_the_same_bits_twice(cupy, turns):
    maps = Maps(cupy)
    gy, x = drawn((3, 4, 1, 400), 0, 2)
    there, here = normalizations(cupy, 4, 0)
    first, again = (cuda.batch_norm_gradient(maps.there(gy), maps.there(x), there) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert a.get().tobytes() == b.get().tobytes()
    expected = reference.batch_norm_gradient(gy, x, here)
    for ours, right in zip(first, expected, strict=True):
        maps.agree(ours, right)


def test_input_gradient_for_sums_that_are_known(cupy):
    maps = Maps(cupy)
    g, x = drawn((2, 5, 3, 3), 0, 2)
    norm, _ = normalizations(cupy, 5, 0)
    gx, *sums = cuda.batch_norm_gradient(maps.there(g), maps.there(x), norm)
    known = cuda.batch_norm_input_gradient(maps.there(g), maps.there(x), norm, *sums)
    assert known.get().tobytes() == gx.get().tobytes()


@pytest.mark.parametrize("offset", [1, 4])
def test_a_map_that_begins_anywhere_in_memory(cupy, offset):
    """Four channels at once are read only where that begins at a multiple of four."""
    x = drawn((2 * 8 + offset,), 0)[0]
    there = cupy.asarray(x)[offset:].reshape(2, 8)
    ones = cupy.asarray(np.ones(8, np.float32))
    Maps(cupy).agree(cuda.scale_and_shift(there, ones, ones), x[offset:].reshape(2, 8) + 1)
