import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, map_shapes, with_examples

from minires.backend import cuda, reference

KERNELS = {"relu": 1, "relu_gradient": 2, "add": 2}


def random_arrays(shape, seed):
    """Two arrays of numbers from about -30 to 30."""
    rng = np.random.default_rng(seed)
    return [(10 * rng.standard_normal(shape)).astype(np.float32) for _ in range(2)]


@with_examples(40)
@given(st.sampled_from(sorted(KERNELS)), map_shapes(), STORAGE, st.booleans(), SEEDS)
def test_arrays_in_any_common_order(cupy, name, shape, storage, channels_last, seed):
    maps = Maps(cupy, storage, channels_last)
    arrays = list(map(maps.rounded, random_arrays(shape, seed)))[: KERNELS[name]]
    on_gpu = list(map(maps.to_gpu, arrays))
    y = getattr(cuda, name)(*on_gpu)
    pairs = zip(shape, y.strides, on_gpu[0].strides, strict=True)
    assert all(stride == expected for size, stride, expected in pairs if size > 1)
    maps.agree(y, getattr(reference, name)(*arrays), None if storage == "bfloat16" else 0)


def test_more_than_one_block(cupy):
    a, b = random_arrays((2051,), 0)
    np.testing.assert_array_equal(cuda.add(cupy.asarray(a), cupy.asarray(b)).get(), a + b)


DIFFERENT_LAYOUTS = {
    "broadcast": (lambda a: a, lambda b: b[0]),
    "other order": (lambda a: a, lambda b: b.transpose(1, 0, 2)),
    "gaps": (lambda a: a[:, ::2], lambda b: b[:, ::2]),
    "not at a multiple of four": (lambda a: a.reshape(-1)[1:], lambda b: b.reshape(-1)[1:]),
}


@pytest.mark.parametrize("layout", DIFFERENT_LAYOUTS)
def test_arrays_that_are_stored_differently(cupy, layout):
    views, arrays = DIFFERENT_LAYOUTS[layout], random_arrays((4, 4, 4), 0)
    on_cpu = [view(x) for view, x in zip(views, arrays, strict=True)]
    on_gpu = [view(cupy.asarray(x)) for view, x in zip(views, arrays, strict=True)]
    np.testing.assert_array_equal(cuda.add(*on_gpu).get(), np.add(*on_cpu))
    np.testing.assert_array_equal(
        cuda.relu_gradient(*on_gpu).get(), np.where(on_cpu[1] <= 0, np.float32(0), on_cpu[0])
    )
    np.testing.assert_array_equal(cuda.relu(on_gpu[0]).get(), np.maximum(on_cpu[0], 0))


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_small_arrays(cupy, shape):
    x = np.full(shape, -1.0, np.float32)
    y = cuda.relu(cupy.asarray(x))
    assert y.shape == shape
    assert not y.get().any()


def test_a_nan_stays_a_nan(cupy):
    assert np.isnan(cuda.relu(cupy.asarray(np.full(5, np.nan, np.float32))).get()).all()
