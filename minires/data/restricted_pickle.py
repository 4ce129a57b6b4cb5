"""Reading the pickles in CIFAR's Python archives without running what a pickle could run."""

import io
import pickle
from typing import ClassVar

import numpy as np

from minires.errors import DataError


def _uint8(name, align, copy):
    # The files give dtype("u1", 0, 1), integers that some versions of NumPy warn about.
    if name != b"u1":
        raise DataError(f"refused an array of {name!r}, which no official file has")
    return np.dtype(np.uint8, bool(align), bool(copy))


class _Unpickler(pickle.Unpickler):
    """Reads what the official files hold: lists, dictionaries and arrays of bytes.

    A pickle may name any function to be called; here every name but the three below is an error.
    """

    ALLOWED: ClassVar = {
        # Python 2's NumPy named it so; an array's own __reduce__ is the public way to the function.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _uint8,
    }

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise DataError(f"refused {module}.{name}, which no official file has")
        return self.ALLOWED[module, name]


def unpickle(data, where):
    """The contents of one of CIFAR's Python files, given as bytes; strings in it stay bytes.

    Raises DataError, naming the file `where`, if it is damaged or asks for anything that no such file needs.
    """
    try:
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{where} is not an official file and may be harmful: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = str(error).split("\n")[0] or type(error).__name__
        raise DataError(
            f"{where} ({len(data)} bytes) is truncated or corrupt: {reason}; get it again"
        ) from error
