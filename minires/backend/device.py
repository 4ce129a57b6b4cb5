"""Which array library an array belongs to, and how arrays move between devices.

The arrays decide: code asks `library(x)` for the module that x comes from and calls it as it would NumPy.
CuPy is imported when a program asks for the device "cuda", never before.
"""

import sys

import numpy as np

from minires.errors import DeviceError, DtypeError

INSTALL_COMMAND = "pip install 'cupy-cuda13x[ctk]' (with a driver for CUDA 12 only, 'cupy-cuda12x[ctk]')"


def library(array):
    """The module whose array this is: NumPy or CuPy; DtypeError for anything else."""
    if isinstance(array, (np.ndarray, np.generic)):  # a result without axes is a scalar of NumPy's
        return np
    cupy = sys.modules.get("cupy")  # an array of CuPy can only exist where CuPy has been imported
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    raise DtypeError(f"expected an array of NumPy or CuPy, not {type(array).__name__}")


def device_of(array):
    """ "cpu" for an array of NumPy, "cuda" for one of CuPy."""
    return "cpu" if library(array) is np else "cuda"


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


def share_memory(y, x):
    """Whether the array y may be x or a view of it: whether they lie in the same stretch of memory."""
    if type(y) is not type(x) or (y is not x and isinstance(y, np.ndarray) and y.base is None):
        return False  # on two devices, or y has memory of its own
    return library(y).may_share_memory(y, x)


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
