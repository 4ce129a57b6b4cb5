"""Operations that CuPy refuses, and some that CuPy allows but that are always an error in minires."""

import numpy as np

from fake_cupy.array import ndarray
from fake_cupy.streams import refuse_like_cupy

BLAS = {np.matmul, np.dot, np.tensordot, np.einsum}
SHAPED_BY_THE_DEVICE = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.bincount}
JOINING = {np.concatenate, np.stack}
JOINED_WITHOUT_A_TABLE = 8  # arrays; for more CuPy sends their addresses to the device
LIKE = {np.zeros_like, np.ones_like, np.full_like, np.empty_like}
NOT_OF_ARRAYS = {np.zeros, np.ones, np.full, np.arange, np.linspace, np.eye, *LIKE}


def check_arguments(function, arguments, options):
    """Refuse lists of numbers in place of arrays, and what is not possible while a stream is captured."""
    if function in BLAS:
        refuse_like_cupy("calling cuBLAS", error=NotImplementedError)
    if function is np.matmul and any(is_bfloat16(x) and x.ndim > 2 for x in arguments):
        raise TypeError("cuBLAS multiplies no stacks of matrices in bfloat16 for CuPy")
    if function in SHAPED_BY_THE_DEVICE or (function is np.where and len(arguments) == 1):
        refuse_like_cupy(f"{function.__name__}, whose result's shape only the device knows,")
    if function in JOINING and len(arguments[0]) > JOINED_WITHOUT_A_TABLE:
        refuse_like_cupy(f"joining more than {JOINED_WITHOUT_A_TABLE} arrays")
    if function in LIKE and options.get("shape") == ():
        raise ValueError("CuPy takes the shape () for no shape at all")
    arrays = arguments if isinstance(function, np.ufunc) else arguments[:1]
    for value in () if function in NOT_OF_ARRAYS else arrays:
        if isinstance(value, list) and not any(isinstance(item, ndarray) for item in value):
            raise TypeError(f"Unsupported type {type(value)}")


def is_bfloat16(x):
    return isinstance(x, ndarray) and x.dtype.name == "bfloat16"


def check_key(key):
    """Refuse, while a stream is captured, keys that need a copy from or to the device."""
    for part in parts(key):
        if is_mask(part) or isinstance(part, (list, np.ndarray)):
            refuse_like_cupy("a mask, or an index from the host,")


def check_assignment(key, value):
    if isinstance(value, (list, tuple)):
        raise TypeError(f"Unsupported type {type(value)}")
    for part in parts(key):
        if isinstance(part, (list, np.ndarray)):
            refuse_like_cupy("an index from the host")
        if is_mask(part) and isinstance(value, ndarray):
            refuse_like_cupy("setting the elements under a mask to those of an array")


def parts(key):
    return key if isinstance(key, tuple) else (key,)


def is_mask(index):
    return isinstance(index, ndarray) and index.dtype.kind == "b"


def check_precision(function, arrays, options, result):
    """Refuse float64 results of float32 arguments without float64 ones: they double time and memory."""
    if "dtype" in options or function is np.ndarray.astype:
        return
    dtypes = {array.dtype.name for array in arrays}
    for part in result if isinstance(result, (tuple, list)) else (result,):
        if getattr(part, "dtype", None) == np.float64 and "float32" in dtypes and "float64" not in dtypes:
            raise AssertionError(
                f"{function.__name__} of float32 became float64; perhaps by a scalar of NumPy"
            )
