"""Which dtype an array, a Python number and a result have: PyTorch's rules, which are not NumPy's.

There are three categories of numbers, from the lowest to the highest: truth values, whole numbers and
floating-point numbers. These are float32 or float64; on a GPU a map may also be bfloat16.
"""

from math import inf
from numbers import Integral, Real

import numpy as np

from minires.backend.device import library
from minires.errors import DeviceError, DtypeError, OptionError, ShapeError

# NumPy's letter for the kind of a dtype -> its category. "V" is that of bfloat16, which is not NumPy's own.
CATEGORIES = {"b": 0, "i": 1, "u": 1, "f": 2, "V": 2}
# What Python numbers of each category become where no array is of that category.
DTYPES_OF_NUMBERS = np.dtype(bool), np.dtype(np.int64), np.dtype(np.float32)
LARGEST = {np.dtype(name): float(np.finfo(name).max) for name in ("float32", "float64")}


def as_array(data, dtype=None):
    """`data` as an array: float32 unless `dtype`, or the dtype that it brings along, says otherwise.

    Floating-point numbers are kept in float32 or float64, nothing narrower or wider; but bfloat16 stays.
    Raises DtypeError for another dtype and for what holds no numbers, ShapeError for lists of unequal
    lengths, OptionError for a number in a list that does not fit into the dtype.
    """
    if dtype is not None:
        dtype = _checked(dtype)
    if not hasattr(data, "dtype"):
        return _numbers_in(data, np.dtype(np.float32) if dtype is None else dtype)
    if type(data) is not np.ndarray:
        if isinstance(data, np.ma.MaskedArray):
            raise DtypeError("expected numbers, not a masked array; fill its gaps first: array.filled(0)")
        if isinstance(data, (np.ndarray, np.generic)):
            data = np.asarray(data)  # np.matrix, for example, multiplies in another way than an array
        library(data)  # raises DtypeError for an array of another library
    _check_kind(data, data.dtype)
    if dtype is None and data.dtype.kind == "f" and data.dtype.itemsize not in (4, 8):
        dtype = np.float32
    if dtype is None and not data.dtype.isnative:
        dtype = data.dtype.newbyteorder("=")
    return data if dtype is None else data.astype(dtype, copy=False)


def _checked(dtype):
    """`dtype` as a dtype of NumPy; DtypeError unless arrays may have it."""
    try:
        dtype = np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"dtype={dtype!r} is unknown; write 'float32', for example") from error
    narrow = dtype.kind == "f" and dtype.itemsize not in (4, 8)
    if narrow or (dtype.kind not in "biuf" and dtype.name != "bfloat16"):
        raise DtypeError(f"dtype must be 'float32', 'float64', or one of whole numbers, not {dtype.name!r}")
    return dtype


def _numbers_in(data, dtype):
    """A number, or nested lists of numbers, as an array."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"lists of unequal lengths are not an array: {error}") from error
    _check_kind(data, array.dtype)
    if dtype.kind in "iu" and array.size:
        number(array.min(), dtype)
        number(array.max(), dtype)
    return array.astype(dtype)


def _check_kind(data, dtype):
    if dtype.kind not in "biuf" and dtype.name != "bfloat16":
        found = f"an array of {dtype}" if hasattr(data, "dtype") else f"{data!r:.60}"
        raise DtypeError(f"expected numbers (a tensor, an array, a list or a number), not {found}")


def is_floating(dtype):
    """Whether numbers of this dtype can have gradients: float32, float64, and bfloat16 for maps on a GPU."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def arithmetic_dtype(tensor):
    """The dtype in which kernels compute with a tensor: its own, but float32 for bfloat16 on a GPU."""
    dtype = tensor.dtype
    # A dtype's name is slow to get, its kind is not. The kind is "V" for a dtype that is not NumPy's own.
    narrow = dtype.kind == "V" and dtype.name == "bfloat16" and tensor.device == "cuda"
    return np.dtype(np.float32) if narrow else dtype


def common_dtype(values):
    """The dtype in which arithmetic on these arrays and Python numbers is done (torch.result_type).

    The highest category among the values decides. Of this category, arrays with axes come first; arrays
    without axes count where there are none, and Python numbers where there are no arrays at all. So float32
    maps times a float64 without axes are float32, and uint8 plus 1 is uint8.
    """
    arrays = [value for value in values if hasattr(value, "dtype")]
    if len(arrays) == len(values) and all(array.dtype == arrays[0].dtype for array in arrays):
        return arrays[0].dtype
    highest = max(map(_category, values))
    decisive = [array for array in arrays if _category(array) == highest]
    decisive = [array for array in decisive if array.ndim] or decisive
    if not decisive:
        return DTYPES_OF_NUMBERS[highest]
    dtype = np.result_type(*(array.dtype for array in decisive))
    if CATEGORIES[dtype.kind] != highest:  # NumPy computes uint64 with int64 in float64
        names = ", ".join(str(array.dtype) for array in decisive)
        raise DtypeError(f"no dtype of whole numbers holds all of {names}; convert with .to('int64')")
    return dtype


def floating_dtype(values):
    """common_dtype, but float32 for whole numbers and truth values: for functions such as exp and mean."""
    dtype = common_dtype(values)
    return dtype if CATEGORIES[dtype.kind] == 2 else np.dtype(np.float32)


def _category(value):
    if hasattr(value, "dtype"):
        return CATEGORIES[value.dtype.kind]
    return 0 if isinstance(value, bool) else 1 if isinstance(value, Integral) else 2


def operand(x, op, position):
    """What an operation computes with: a Python number for a number, an array for an array or a list.

    position: that of the argument, from 0; DtypeError names it and the operation if x holds no numbers.
    """
    if isinstance(x, Real):
        return x.item() if isinstance(x, np.generic) else x
    if isinstance(x, (list, tuple)) and _needs_grad(x):
        raise DtypeError(
            f"{op}: argument {position + 1}: a list of tensors would leave the graph; join the tensors with "
            "concatenate"
        )
    try:
        return as_array(x)
    except DtypeError as error:
        advice = "; does a forward() lack its return?" if x is None else ""
        raise DtypeError(f"{op}: argument {position + 1}: {error}{advice}") from error


def _needs_grad(items):
    """Whether one of the items of nested lists is a tensor that requires a gradient."""
    return any(
        _needs_grad(item) if isinstance(item, (list, tuple)) else getattr(item, "requires_grad", False)
        for item in items
    )


def as_arrays(values, rule=None):
    """Arrays and Python numbers as arrays, all in the dtype that `rule` finds for them.

    rule: common_dtype or floating_dtype. Without one, arrays keep their dtypes, and numbers get the common
    one.
    """
    arrays = [value for value in values if hasattr(value, "dtype")]
    if rule is None and len(arrays) == len(values):
        return arrays
    dtype = (rule or common_dtype)(values)
    xp = library(arrays[0]) if arrays else np
    values = [value if hasattr(value, "dtype") else number(value, dtype, xp) for value in values]
    if rule is None:
        return values
    return [value if value.dtype == dtype else value.astype(dtype) for value in values]


def number(value, dtype, xp=np):
    """A Python number as an array without axes, of the library xp; OptionError if `dtype` cannot hold it.

    A GPU writes the number into its memory by itself, because a copy from the CPU cannot be part of a
    recorded step (cuda/graph.py).
    """
    if dtype.kind in "iu":
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not low <= value <= high:
            raise OptionError(
                f"the number {value} does not fit into {dtype}, which holds {low} to {high}; convert the "
                "tensor first, for example with .to('int64')"
            )
    elif abs(value) != inf and abs(value) > LARGEST.get(dtype, inf):
        raise OptionError(f"the number {value} does not fit into {dtype}, which holds up to {LARGEST[dtype]}")
    return np.asarray(value, dtype) if xp is np else xp.full((), value, dtype)


def bfloat16():
    """The dtype bfloat16, which NumPy knows from the package ml_dtypes; DeviceError if that is missing."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise DeviceError(
            "precision 'bf16' needs the package ml_dtypes; run pip install ml_dtypes"
        ) from error
    return np.dtype(bfloat16)
