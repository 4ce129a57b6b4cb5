"""Comparisons element by element: tensors of truth values, which have no gradient."""

import operator

from minires.backend import as_arrays, common_dtype, operand, same_library
from minires.engine import Tensor
from minires.errors import OptionError, ShapeError


def _comparison(compare, name):
    def function(input, other):
        values = [
            x.data if isinstance(x, Tensor) else operand(x, name, position)
            for position, x in enumerate((input, other))
        ]
        if all(hasattr(value, "dtype") for value in values):
            values = as_arrays(values, common_dtype)
            same_library(values, name)
        # A Python number stays one: NumPy compares with the number itself, whether it fits the dtype or not.
        try:
            return Tensor(compare(*values))
        except ValueError as error:
            shapes = " and ".join(str(value.shape) for value in values)
            raise ShapeError(f"{name}: shapes {shapes} do not fit") from error
        except OverflowError as error:
            raise OptionError(f"{name}: a number is too large for the tensor's dtype: {error}") from error

    function.__name__, function.__doc__ = name, f"Whether {name} holds, element by element."
    return function


COMPARISONS = {
    name: _comparison(getattr(operator, name), name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
