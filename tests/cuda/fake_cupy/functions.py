"""The functions of the module: NumPy's functions, on arrays of the device."""

from functools import cache, wraps
from types import SimpleNamespace

import numpy as np

from fake_cupy.apply import Key, apply
from fake_cupy.array import ndarray
from fake_cupy.signatures import FUNCTIONS, signature
from fake_cupy.streams import issue, refuse_like_cupy

# Functions whose result is a view of the argument if that is possible.
VIEWS = {
    *("reshape", "transpose", "swapaxes", "moveaxis", "expand_dims", "squeeze", "ravel", "flip", "diagonal"),
    *("broadcast_to", "ascontiguousarray", "asfortranarray", "split", "array_split"),
}
# Functions that never read an array's elements, and constants and types: taken from NumPy as they are.
OF_NUMPY = {
    *("result_type", "can_cast", "promote_types", "broadcast_shapes", "ndim", "shape", "size"),
    *("dtype", "iinfo", "finfo", "newaxis", "inf", "nan", "pi", "e"),
}
SCATTERING = {np.add, np.subtract, np.maximum, np.minimum, np.bitwise_and, np.bitwise_or, np.bitwise_xor}
SCATTERED = ("float32", "float64", "int32", "uint32", "uint64")


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """A copy on the device of an array of the host or the device, of a number, or of lists of numbers."""
    if isinstance(obj, ndarray):
        same = dtype is None or obj.dtype == dtype
        return obj if same and not copy else obj.astype(obj.dtype if dtype is None else dtype, order or "K")
    if (order or "K") in "KA":
        order = "F" if isinstance(obj, np.ndarray) and obj.flags.fnc else "C"
    host = np.array(obj, dtype, order=order, ndmin=ndmin)
    if host.dtype.kind not in "biufc" and host.dtype.name != "bfloat16":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    refuse_like_cupy("copying an array to the device")
    result = ndarray(host.shape, host.dtype, order=order)
    issue(lambda: np.copyto(result._view, host), (result._memory.mem,))
    return result


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    return array(a, dtype, bool(copy), order)


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def may_share_memory(a, b, max_work=None):
    """Asks for addresses only; the device is not involved."""
    return np.may_share_memory(a._view, b._view)


def empty(shape, dtype=float, order="C"):
    """An array that is not initialized: full of NaN."""
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    host = np.empty_like(prototype._view, dtype, order, shape=shape)
    return ndarray(host.shape, host.dtype, strides=host.strides)


def like_numpy(function, signature, may_share=False):
    """A function of NumPy, for arrays of the device."""

    @wraps(function)
    def on_device(*arguments, **options):
        signature.bind(*arguments, **options)
        if isinstance(function, np.ufunc) and len(arguments) > function.nin:
            *arguments, options["out"] = arguments
        return apply(function, arguments, options, may_share)

    on_device.__signature__ = signature
    if function in SCATTERING:
        on_device.at = lambda a, indices, b: scatter(function, a, indices, b)
    return on_device


def scatter(function, a, indices, b):
    """function.at of NumPy; on a GPU it is one atomic operation for each element."""
    if a.dtype not in SCATTERED:
        raise TypeError(f"{function.__name__}.at does not exist for {a.dtype}")
    apply(function.at, (a, Key(indices), b), out=a)


AS_STRIDED = signature("(x, shape=None, strides=None)")
lib = SimpleNamespace(
    stride_tricks=SimpleNamespace(
        as_strided=like_numpy(np.lib.stride_tricks.as_strided, AS_STRIDED, may_share=True),
    )
)


@cache
def by_name(name):
    """The value of `cupy.name`: a function for the device, or a constant or a type of NumPy."""
    if name in FUNCTIONS:
        return like_numpy(getattr(np, name), FUNCTIONS[name], may_share=name in VIEWS)
    value = getattr(np, name)  # raises AttributeError for a name that NumPy does not have
    if name in OF_NUMPY or (isinstance(value, type) and issubclass(value, np.generic)):
        return value
    raise AttributeError(f"the fake cupy has no {name}; if CuPy has it, add its signature to signatures.py")
