"""The functions of the module: those of NumPy, on arrays of the device."""

from functools import cache, wraps
from types import SimpleNamespace

import numpy as np

from fake_cupy.array import Key, apply, ndarray
from fake_cupy.streams import refuse_in_capture

# Those whose result is a view of the argument where it can be one.
VIEWS = {
    *("reshape", "transpose", "swapaxes", "moveaxis", "rollaxis", "expand_dims", "squeeze", "ravel", "flip"),
    *("broadcast_to", "broadcast_arrays", "diagonal", "ascontiguousarray", "asfortranarray"),
    *("split", "array_split", "permute_dims", "matrix_transpose"),
}
# Those that never touch an array's elements.
ON_HOST = {
    "result_type",
    "can_cast",
    "issubdtype",
    "promote_types",
    "broadcast_shapes",
    "ndim",
    "shape",
    "size",
}
# Those of which CuPy's own behaviour is too different to be imitated here.
MISSING = {"random", "linalg", "fft", "save", "load", "vectorize", "frompyfunc", "nditer", "ndindex"}


def array(data, dtype=None, copy=True, order="K", ndmin=0):
    """A copy on the device of an array of either side, of a number, or of lists of numbers."""
    if isinstance(data, ndarray):
        same = dtype is None or data.dtype == dtype
        return data if same and not copy else data.astype(data.dtype if dtype is None else dtype)
    host = np.array(data, dtype, order=order, ndmin=ndmin)
    if host.dtype.kind not in "biufc" and host.dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    refuse_in_capture("copying an array to the device")
    result = ndarray(host.shape, host.dtype, strides=np.empty_like(host).strides)
    result._view[...] = host
    return result


def asarray(data, dtype=None, order="K"):
    return array(data, dtype, copy=False, order=order)


def asnumpy(data, stream=None, order="C"):
    return data.get() if isinstance(data, ndarray) else np.asarray(data, order=order)


def empty(shape, dtype=float, order="C"):
    """Memory with nothing in it yet: NaN."""
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    host = np.empty_like(prototype._view, dtype, order, shape=shape)
    return ndarray(host.shape, host.dtype, strides=host.strides)


def like_numpy(function, may_share=False):
    """A function of NumPy, for arrays of the device."""

    @wraps(function)
    def on_device(*arguments, **options):
        return apply(function, arguments, options, may_share)

    if isinstance(function, np.ufunc):
        on_device.at = lambda a, index, b: apply(function.at, (a, Key(index), b), out=a)
    return on_device


lib = SimpleNamespace(
    stride_tricks=SimpleNamespace(
        as_strided=like_numpy(np.lib.stride_tricks.as_strided, may_share=True),
        sliding_window_view=like_numpy(np.lib.stride_tricks.sliding_window_view, may_share=True),
    )
)


@cache
def by_name(name):
    """What `cupy.name` is: a function for the device, or NumPy's own constant or type."""
    found = getattr(np, name)  # AttributeError as it should be
    if name in MISSING:
        raise AttributeError(f"the fake cupy has no {name}")
    if name in ON_HOST or isinstance(found, type) or not callable(found):
        return found
    return like_numpy(found, may_share=name in VIEWS)
