"""x[index], read and written."""

from copy import deepcopy

import numpy as np

from minires.backend import as_arrays, operand, same_library
from minires.backend.layout import zeros_in_order_of
from minires.engine import Function, Tensor
from minires.engine.grad_mode import grad_enabled
from minires.errors import DtypeError, GraphError, ShapeError


class Getitem(Function):
    """y = x[index]        gx[index] += gy, elsewhere 0"""

    def __init__(self, index):
        self.index = deepcopy(index)  # the user may change an array or a list of indices before backward

    def forward(self, x):
        self.saved = x.shape
        return x[self.index]

    def backward(self, gy):
        gx = zeros_in_order_of(gy, self.saved)
        if all(part is None or part is ... or isinstance(part, (int, slice)) for part in self.index):
            gx[self.index] = gy
            return gx
        # An array of indices may name an element often, and each time counts: float64, as in precise_sum.
        total = gx.astype(np.float64)
        self.xp.add.at(total, self.index, gy)
        return total.astype(gx.dtype)


def getitem(input, index):
    """input[index], with slices, integers, None, ... and arrays as in NumPy."""
    return Getitem(_plain_index(index))(input)


def _plain_index(index):
    """An index as a tuple, with arrays in place of tensors."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(part.data if isinstance(part, Tensor) else part for part in parts)


def setitem(input, index, value):
    """input[index] = value, in place; the value is converted to input's dtype.

    Raises GraphError where a graph would be recorded: its history has no place in one element. Raises
    DtypeError for a value that the dtype cannot hold, such as a fraction among whole numbers.
    """
    needs_grad = input.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    if needs_grad and grad_enabled():
        raise GraphError(
            "x[...] = y: single elements cannot be changed in a graph; do it under no_grad(), or put the "
            "parts together with concatenate"
        )
    value = value.data if isinstance(value, Tensor) else operand(value, "x[...] = y", 1)
    x, y = as_arrays([input.data, value])
    if not np.can_cast(y.dtype, x.dtype, "same_kind"):
        raise DtypeError(f"x[...] = y: x of {x.dtype} cannot hold y, which is {y.dtype}")
    same_library([x, y], "x[...] = y")
    try:
        x[_plain_index(index)] = y
    except (ValueError, IndexError) as error:
        raise ShapeError(f"x[...] = y: x of shape {x.shape}, y of shape {y.shape}: {error}") from error
    input.changed()
