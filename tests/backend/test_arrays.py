import numpy as np
import pytest

from minires.backend import as_array, device_of, library, same_library, to_device, to_numpy


def test_numpy_arrays_live_on_the_cpu():
    array = np.ones(2)
    assert library(array) is np
    assert device_of(array) == "cpu"
    assert to_numpy(array) is array
    assert to_device(array, "cpu") is array
    assert same_library([array, array, array], "op") is np


@pytest.mark.parametrize("data", [[1, 2], [1.0, 2.0], 3, (True, False)])
def test_data_without_a_dtype_becomes_float32(data):
    assert as_array(data).dtype == np.float32


@pytest.mark.parametrize("scalar", [np.float32(1), np.float64(1), np.int64(1), np.bool_(True)])
def test_numpy_scalars_keep_their_dtype(scalar):
    array = as_array(scalar)
    assert isinstance(array, np.ndarray)
    assert array.shape == ()
    assert array.dtype == scalar.dtype


@pytest.mark.parametrize(
    ("before", "after"), [("float16", "float32"), ("float64", "float64"), ("uint8", "uint8")]
)
def test_floats_are_single_or_double_precision(before, after):
    assert as_array(np.ones(2, before)).dtype == after


def test_a_given_dtype_is_used_and_copies_only_if_needed():
    array = np.ones(2, np.float32)
    assert as_array(array, "float32") is array
    assert as_array(array, "float64").dtype == np.float64


def test_only_arrays_have_a_library():
    with pytest.raises(TypeError, match="NumPy or CuPy, not float"):
        library(2.5)
