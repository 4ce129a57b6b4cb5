import importlib
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import LIMIT, PRECISIONS, double, error, same_twice
from on_device import SEEDS, with_examples

from minires.backend import cuda
from minires.backend.cuda import kernel_settings
from minires.backend.dtypes import bfloat16

module = importlib.import_module("minires.backend.cuda.matmul")

SIZES = st.sampled_from([1, 2, 10, 16, 33, 64, 70, 130])
# How a matrix may be stored: row by row, column by column, or as a view of a larger or a reversed array.
# For each, (the shape of the stored array, the function that takes the matrix out of it).
VIEWS = {
    "rows": (lambda rows, columns: (rows, columns), lambda a: a),
    "columns": (lambda rows, columns: (columns, rows), lambda a: a.T),
    "strided": (lambda rows, columns: (2 * rows, 3 * columns), lambda a: a[1::2, ::3]),
    "reversed": (lambda rows, columns: (rows, columns), lambda a: a[::-1]),
}


def random_array(shape, view, rng):
    """A random array, and the function that takes a matrix of this shape out of it."""
    stored_shape, take_matrix = VIEWS[view]
    return rng.standard_normal(stored_shape(*shape)).astype(np.float32), take_matrix


@with_examples(100)
@given(SIZES, SIZES, SIZES, *[st.sampled_from(list(VIEWS))] * 2, PRECISIONS, SEEDS)
def test_matmul(cupy, M, K, P, a_view, b_view, precision, seed):
    rng = np.random.default_rng(seed)
    (a, view_a), (b, view_b) = random_array((M, K), a_view, rng), random_array((K, P), b_view, rng)
    with kernel_settings.using("implicit", precision):
        y = cuda.matmul(view_a(cupy.asarray(a)), view_b(cupy.asarray(b)))
    assert error(y.get(), np.matmul(*double(view_a(a), view_b(b)))) <= LIMIT[precision]


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize(("M", "K", "P"), [(70, 40, 65), (3, 500, 10)])
def test_tiles_and_splits(cupy, M, K, P, precision):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, P)))
    with kernel_settings.using("implicit", precision):
        (y,) = same_twice(lambda: [cuda.matmul(cupy.asarray(a), cupy.asarray(b))])
    largest_error = error(y, np.matmul(*double(a, b)))
    assert largest_error <= LIMIT[precision]
    assert (largest_error > 1e-6) == (precision == "tf32")


def test_factors_are_rounded_to_the_nearest(cupy):
    """If their last bits were cut off, all factors would be too small, and so would their sums."""
    a = np.abs(np.random.default_rng(0).standard_normal((40, 40))).astype(np.float32)
    with kernel_settings.using("implicit", "tf32"):
        y = cuda.matmul(cupy.asarray(a), cupy.asarray(a))
    assert abs(np.mean(y.get() / np.matmul(*double(a, a)) - 1)) < 1e-4


def test_only_long_sums_are_split():
    assert module.split_count(128, 64, 10) == 1
    assert module.split_count(10, 4096, 10) == 64
    assert module.split_count(4096, 4096, 4096) == 1


@pytest.mark.parametrize(("M", "K", "P"), [(0, 4, 5), (3, 0, 5), (3, 4, 0)])
def test_empty(cupy, M, K, P):
    with kernel_settings.using("implicit"):
        y = cuda.matmul(cupy.zeros((M, K), "float32"), cupy.zeros((K, P), "float32"))
    np.testing.assert_array_equal(y.get(), np.zeros((M, P), np.float32))


@pytest.mark.parametrize(
    ("rung", "axes", "on_tensor_cores"),
    [("implicit", 2, True), ("implicit", 3, False), ("explicit", 2, False)],
)
def test_cublas_multiplies_what_tensor_cores_do_not(cupy, rung, axes, on_tensor_cores):
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[(0,) * (3 - axes)]
    a, b = cupy.asarray(a), cupy.asarray(a.swapaxes(-1, -2))
    with (
        mock.patch.object(module, "_matmul_on_tensor_cores", wraps=module._matmul_on_tensor_cores) as spy,
        kernel_settings.using(rung),
    ):
        y = cuda.matmul(a, b)
    assert spy.called == on_tensor_cores
    np.testing.assert_allclose(y.get(), a.get() @ b.get(), rtol=1e-5)


class ComputeTypes:
    """Stands in for the part of CuPy that cublas.py uses, and remembers which types were set."""

    COMPUTE_TYPE_TF32 = "tf32"

    def __init__(self):
        self.types_set, self.type = [], "default"

    def get_compute_type(self, dtype):
        return self.type

    def set_compute_type(self, dtype, type):
        assert dtype == "f"
        self.type = type
        self.types_set.append(type)


@pytest.mark.parametrize("axes", [(3, 4), (2, 3, 4)])
def test_factors_out_of_a_map_in_bfloat16(cupy, axes):
    a = np.random.default_rng(1).standard_normal(axes).astype(np.float32)
    narrow = cupy.asarray(a).astype(bfloat16())
    with kernel_settings.using("implicit", "fp32"):
        y = cuda.matmul(narrow, cupy.asarray(np.eye(4, dtype=np.float32)))
    assert y.dtype == "float32"
    assert np.array_equal(y.get(), narrow.astype("float32").get())


def test_cublas_rounds_to_tf32_with_that_precision_only(cupy, monkeypatch):
    """And the setting is undone after each product, also if the product fails."""
    linalg = ComputeTypes()
    monkeypatch.setattr(cupy, "_core", SimpleNamespace(_routines_linalg=linalg), raising=False)
    a = cupy.zeros((2, 3), "float32")
    with kernel_settings.using("explicit", "fp32"):
        cuda.matmul(a, a.T)
    assert linalg.types_set == []
    with kernel_settings.using("explicit", "tf32"):
        cuda.matmul(a, a.T)
        with pytest.raises(ValueError, match="mismatch"):
            cuda.matmul(a, a)
    assert linalg.types_set == ["tf32", "default"] * 2
