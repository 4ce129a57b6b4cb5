"""What NumPy's functions do with a Tensor: its own operation for an operator, else an error.

NumPy would turn a tensor into an array without a word, and the result would have no gradient.
"""

import numpy as np

from minires.engine import Tensor
from minires.errors import DtypeError, GraphError
from minires.ops import elementwise, linear
from minires.ops.comparison import COMPARISONS

# NumPy calls these for `array + tensor`, `array += tensor`, `array < tensor` and so on.
OPERATORS = {
    np.add: elementwise.add,
    np.subtract: elementwise.sub,
    np.multiply: elementwise.mul,
    np.true_divide: elementwise.div,
    np.power: elementwise.pow,
    np.matmul: linear.matmul,
    np.equal: COMPARISONS["eq"],
    np.not_equal: COMPARISONS["ne"],
    np.less: COMPARISONS["lt"],
    np.less_equal: COMPARISONS["le"],
    np.greater: COMPARISONS["gt"],
    np.greater_equal: COMPARISONS["ge"],
}

# Where NumPy's name is not that of the tensor's method.
OWN_NAMES = {"absolute": "abs"}


def array_ufunc(self, ufunc, method, *inputs, out=None, **options):
    """NumPy's function `ufunc` of arrays and at least one tensor: the operation above, else GraphError."""
    if ufunc not in OPERATORS or method != "__call__" or options:
        name = OWN_NAMES.get(ufunc.__name__, ufunc.__name__)
        has_own = hasattr(Tensor, name) and method == "__call__"
        own = f"x.{name}({'y' if ufunc.nin == 2 else ''})" if has_own else "the tensor's own operations"
        called = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise GraphError(
            f"np.{called}: NumPy's functions take arrays, and their results leave the graph; write {own}, or "
            f"np.{called}(x.numpy()) for an array"
        )
    y = OPERATORS[ufunc](*inputs)
    if out is None:
        return y
    if y.requires_grad:
        raise GraphError("array += tensor: the array would leave the graph; write array = array + tensor")
    if not np.can_cast(y.dtype, out[0].dtype, "same_kind"):
        raise DtypeError(f"array += tensor: an array of {out[0].dtype} cannot hold the result, {y.dtype}")
    out[0][...] = y.data
    return out[0]


def array_function(self, function, types, args, options):
    """Any other function of NumPy's: of the tensors' arrays, GraphError if one of them needs a gradient."""

    def to_array(x):
        if isinstance(x, Tensor):
            if x.requires_grad and function not in (np.shape, np.ndim, np.size):
                raise GraphError(
                    f"np.{function.__name__}: the result would leave the graph; use an operation of minires, "
                    "or x.numpy() for the array of a tensor"
                )
            return x.numpy()
        if isinstance(x, (list, tuple)):
            return type(x)(map(to_array, x))
        return x

    return function(*map(to_array, args), **{name: to_array(x) for name, x in options.items()})
