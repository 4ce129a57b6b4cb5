"""Reading the pickles in CIFAR's Python archives: a pickle can call only the functions listed here."""

import io
import pickle
from typing import ClassVar

import numpy as np

from minires.errors import DataError


def _uint8(name, align, copy):
    # The files have dtype("u1", 0, 1); some versions of NumPy warn about the integers.
    if name != b"u1":
        raise DataError(f"refused an array of {name!r}, which no official file has")
    return np.dtype(np.uint8, bool(align), bool(copy))


class _Unpickler(pickle.Unpickler):
    """Reads what the official files hold: lists, dictionaries and arrays of bytes.

    A pickle can name any function and have it called; here every name is an error except the three below.
    """

    ALLOWED: ClassVar = {
        # The module has this name in Python 2's NumPy. ndarray.__reduce__ is the public way to the function.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _uint8,
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise DataError(f"refused {module}.{name}, which no official file has")
        return self.ALLOWED[module, name]


def unpickle(data, path):
    """The contents of one of CIFAR's Python files, given as bytes; strings in it stay bytes.

    Raises DataError, naming the file `path`, if it is damaged or names anything that no official file needs.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path} is not an official file and may be harmful: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).split("\n")[0] or type(error).__name__
        raise DataError(
            f"{path} ({len(data)} bytes) is truncated or corrupt: {reason}; get it again"
        ) from error
