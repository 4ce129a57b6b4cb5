import importlib
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import LIMIT, PRECISIONS, double, error, same_twice
from on_device import SEEDS, few

from minires.backend import cuda
from minires.backend.cuda import ladder
from minires.backend.device import bfloat16

module = importlib.import_module("minires.backend.cuda.matmul")

SIZES = st.sampled_from([1, 2, 10, 16, 33, 64, 70, 130])
# How a matrix may lie in memory: rows, columns, or every second number of either.
VIEWS = {
    "rows": (lambda rows, columns: (rows, columns), lambda a: a),
    "columns": (lambda rows, columns: (columns, rows), lambda a: a.T),
    "strided": (lambda rows, columns: (2 * rows, 3 * columns), lambda a: a[1::2, ::3]),
    "reversed": (lambda rows, columns: (rows, columns), lambda a: a[::-1]),
}


def drawn(shape, view, rng):
    """A whole array, and the view of it with this shape."""
    whole, taken = VIEWS[view]
    return rng.standard_normal(whole(*shape)).astype(np.float32), taken


@few(100)
@given(SIZES, SIZES, SIZES, *[st.sampled_from(list(VIEWS))] * 2, PRECISIONS, SEEDS)
def test_matmul(cupy, M, K, P, a_view, b_view, precision, seed):
    rng = np.random.default_rng(seed)
    (a, a_taken), (b, b_taken) = drawn((M, K), a_view, rng), drawn((K, P), b_view, rng)
    with ladder.using("implicit", precision):
        y = cuda.matmul(a_taken(cupy.asarray(a)), b_taken(cupy.asarray(b)))
    assert error(y.get(), np.matmul(*double(a_taken(a), b_taken(b)))) <= LIMIT[precision]


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize(("M", "K", "P"), [(70, 40, 65), (3, 500, 10)])
def test_tiles_and_splits(cupy, M, K, P, precision):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, P)))
    with ladder.using("implicit", precision):
        (y,) = same_twice(lambda: [cuda.matmul(cupy.asarray(a), cupy.asarray(b))])
    off = error(y, np.matmul(*double(a, b)))
    assert off <= LIMIT[precision]
    assert (off > 1e-6) == (precision == "tf32")


def test_factors_are_rounded_to_the_nearest(cupy):
    """Cut off, they would all be too small, and so would be their sums."""
    a = np.abs(np.random.default_rng(0).standard_normal((40, 40))).astype(np.float32)
    with ladder.using("implicit", "tf32"):
        y = cuda.matmul(cupy.asarray(a), cupy.asarray(a))
    assert abs(np.mean(y.get() / np.matmul(*double(a, a)) - 1)) < 1e-4


def test_only_long_sums_are_split():
    assert module.splits_of(128, 64, 10) == 1
    assert module.splits_of(10, 4096, 10) == 64
    assert module.splits_of(4096, 4096, 4096) == 1


@pytest.mark.parametrize(("M", "K", "P"), [(0, 4, 5), (3, 0, 5), (3, 4, 0)])
def test_empty(cupy, M, K, P):
    with ladder.using("implicit"):
        y = cuda.matmul(cupy.zeros((M, K), "float32"), cupy.zeros((K, P), "float32"))
    np.testing.assert_array_equal(y.get(), np.zeros((M, P), np.float32))


@pytest.mark.parametrize(
    ("rung", "axes", "ours"), [("implicit", 2, True), ("implicit", 3, False), ("explicit", 2, False)]
)
def test_cublas_takes_the_rest(cupy, rung, axes, ours):
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[(0,) * (3 - axes)]
    a, b = cupy.asarray(a), cupy.asarray(a.swapaxes(-1, -2))
    with (
        mock.patch.object(module, "_on_tensor_cores", wraps=module._on_tensor_cores) as own,
        ladder.using(rung),
    ):
        y = cuda.matmul(a, b)
    assert own.called == ours
    np.testing.assert_allclose(y.get(), a.get() @ b.get(), rtol=1e-5)


class Products:
    """What cublas.py uses of CuPy's, and which types it was told."""

    COMPUTE_TYPE_TF32 = "tf32"

    def __init__(self):
        self.told, self.type = [], "default"

    def get_compute_type(self, dtype):
        return self.type

    def set_compute_type(self, dtype, type):
        assert dtype == "f"
        self.type = type
        self.told.append(type)


@pytest.mark.parametrize("axes", [(3, 4), (2, 3, 4)])
def test_factors_out_of_a_map_in_bfloat16(cupy, axes):
    a = np.random.default_rng(1).standard_normal(axes).astype(np.float32)
    narrow = cupy.asarray(a).astype(bfloat16())
    with ladder.using("implicit", "fp32"):
        y = cuda.matmul(narrow, cupy.asarray(np.eye(4, dtype=np.float32)))
    assert y.dtype == "float32"
    assert np.array_equal(y.get(), narrow.astype("float32").get())


def test_cublas_rounds_to_tf32_where_asked(cupy, monkeypatch):
    """And no longer than for the one product, whatever comes of it."""
    products = Products()
    monkeypatch.setattr(cupy, "_core", SimpleNamespace(_routines_linalg=products), raising=False)
    a = cupy.zeros((2, 3), "float32")
    with ladder.using("explicit", "fp32"):
        cuda.matmul(a, a.T)
    assert products.told == []
    with ladder.using("explicit", "tf32"):
        cuda.matmul(a, a.T)
        with pytest.raises(ValueError, match="mismatch"):
            cuda.matmul(a, a)
    assert products.told == ["tf32", "default"] * 2
