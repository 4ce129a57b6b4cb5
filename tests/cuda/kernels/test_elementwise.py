import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import SEEDS, STORAGE, Maps, few, map_shapes

from minires.backend import cuda, reference

KERNELS = {"relu": 1, "relu_gradient": 2, "add": 2}


def drawn(shape, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]


@few(40)
@given(st.sampled_from(sorted(KERNELS)), map_shapes(), STORAGE, st.booleans(), SEEDS)
def test_one_kernel_over_the_memory(cupy, name, shape, storage, channels_last, seed):
    maps = Maps(cupy, storage, channels_last)
    arrays = list(map(maps.rounded, drawn(shape, seed)))[: KERNELS[name]]
    there = list(map(maps.there, arrays))
    y = getattr(cuda, name)(*there)
    assert y.strides == there[0].strides
    maps.agree(y, getattr(reference, name)(*arrays), None if storage == "bfloat16" else 0)


def test_more_than_one_block(cupy):
    a, b = drawn((2051,), 0)
    np.testing.assert_array_equal(cuda.add(cupy.asarray(a), cupy.asarray(b)).get(), a + b)


APART = {
    "broadcast": (lambda a: a, lambda b: b[0]),
    "other order": (lambda a: a, lambda b: b.transpose(1, 0, 2)),
    "gaps": (lambda a: a[:, ::2], lambda b: b[:, ::2]),
    "not at a multiple of four": (lambda a: a.reshape(-1)[1:], lambda b: b.reshape(-1)[1:]),
}


@pytest.mark.parametrize("how", APART)
def test_arrays_that_lie_differently(cupy, how):
    here = [view(x) for view, x in zip(APART[how], drawn((4, 4, 4), 0), strict=True)]
    there = [view(cupy.asarray(x)) for view, x in zip(APART[how], drawn((4, 4, 4), 0), strict=True)]
    np.testing.assert_array_equal(cuda.add(*there).get(), np.add(*here))
    np.testing.assert_array_equal(cuda.relu_gradient(*there).get(), here[0] * (here[1] > 0))
    np.testing.assert_array_equal(cuda.relu(there[0]).get(), np.maximum(here[0], 0))


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_small_arrays(cupy, shape):
    x = np.full(shape, -1.0, np.float32)
    y = cuda.relu(cupy.asarray(x))
    assert y.shape == shape
    assert not y.get().any()


def test_a_nan_stays(cupy):
    assert np.isnan(cuda.relu(cupy.asarray(np.full(5, np.nan, np.float32))).get()).all()
