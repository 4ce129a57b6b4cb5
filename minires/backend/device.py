"""Which array library an array belongs to, and how arrays move between devices.

The arrays decide: code asks `library(x)` for the module that x comes from and calls it as it would NumPy.
CuPy is imported when a program asks for the device "cuda", never before.
"""

import sys
from numbers import Integral

import numpy as np

from minires.errors import DeviceError

INSTALL_COMMAND = "pip install 'cupy-cuda13x[ctk]' (with a driver for CUDA 12 only, 'cupy-cuda12x[ctk]')"


def library(array):
    """The module whose array this is: NumPy or CuPy."""
    if isinstance(array, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")  # an array of CuPy can only exist where CuPy has been imported
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    raise TypeError(f"expected an array of NumPy or CuPy, not {type(array).__name__}")


def device_of(array):
    """ "cpu" for an array of NumPy, "cuda" for one of CuPy."""
    return "cpu" if library(array) is np else "cuda"


def as_array(data, dtype=None):
    """`data` as an array: float32 unless `dtype`, or the dtype that it brings along, says otherwise.

    Floating-point numbers are kept in float32 or float64, nothing narrower or wider; but bfloat16 stays.
    """
    if not hasattr(data, "dtype"):
        data = np.asarray(data, np.float32)
    elif isinstance(data, np.generic):
        data = np.asarray(data)
    library(data)  # raises TypeError for an array of another library
    # bfloat16 stays: its kind is "V", like that of all dtypes that are not NumPy's own.
    if dtype is None and data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):
        dtype = np.float32
    return data if dtype is None else data.astype(dtype, copy=False)


def number(value, like):
    """A Python number as an array without axes, with the dtype and on the device of the array `like`.

    A fraction is float32 where `like` has whole numbers. A GPU writes the number into its memory by itself,
    because a copy from the CPU cannot be part of a recorded step (cuda/graph.py).
    """
    fraction = not isinstance(value, Integral)
    dtype = np.float32 if fraction and not is_floating(like.dtype) else like.dtype
    return np.asarray(value, dtype) if library(like) is np else library(like).full((), value, dtype)


def is_floating(dtype):
    """Whether numbers of this dtype can have gradients: float32, float64, and bfloat16 for maps on a GPU."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def arithmetic_dtype(tensor):
    """The dtype in which kernels compute with a tensor: its own, but float32 for bfloat16 on a GPU."""
    dtype = tensor.dtype
    # A dtype's name is slow to get, its kind is not. The kind is "V" for a dtype that is not NumPy's own.
    narrow = dtype.kind == "V" and dtype.name == "bfloat16" and tensor.device == "cuda"
    return np.dtype(np.float32) if narrow else dtype


def bfloat16():
    """The dtype bfloat16, which NumPy knows from the package ml_dtypes; DeviceError if that is missing."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise DeviceError(
            "precision 'bf16' needs the package ml_dtypes; run pip install ml_dtypes"
        ) from error
    return np.dtype(bfloat16)


def same_library(arrays, op):
    """The one library that all `arrays` belong to.

    Raises DeviceError, which names `op` and the argument on another device, if they are on two devices.
    """
    first = library(arrays[0])
    for position, array in enumerate(arrays[1:], start=2):
        if library(array) is not first:
            first_device, other_device = device_of(arrays[0]), device_of(array)
            raise DeviceError(
                f"{op}: argument 1 is on {first_device!r} but argument {position} is on {other_device!r}; "
                f"move one of them first, for example with .to({first_device!r})"
            )
    return first


def to_device(array, device):
    """`array` itself if it is on `device` ("cpu" or "cuda") already, else a copy of it there."""
    if device not in ("cpu", "cuda"):
        raise DeviceError(f"unknown device {device!r}; use 'cpu' or 'cuda'")
    if device_of(array) == device:
        return array
    return array.get() if device == "cpu" else load_cupy().asarray(array)


def to_numpy(array):
    """`array` as an array of NumPy: itself, or a copy from the GPU."""
    return to_device(array, "cpu")


def load_cupy():
    """Import CuPy and make sure that it sees a GPU.

    Raises DeviceError that says what is missing and what to install.
    """
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name in ("cupy", None)
        state = "is not installed" if missing else f"is installed but does not load ({error})"
        raise DeviceError(
            f"device 'cuda' needs CuPy, which {state}; on a machine with an NVIDIA GPU run {INSTALL_COMMAND}"
        ) from error
    if not cupy.cuda.is_available():
        raise DeviceError(
            "CuPy is installed but sees no NVIDIA GPU; check the driver with nvidia-smi, or use --device cpu"
        )
    return cupy
