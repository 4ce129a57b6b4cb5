"""The one place where Tensor gets its operators and methods.

The engine knows no operation, and each operation is a plain function of tensors. These tables join them, so
that `a + b` is `add(a, b)` and `x.mean(1)` is `mean(x, 1)`.
"""

import numpy as np

from minires.backend import operand
from minires.engine import Tensor
from minires.engine.grad_mode import grad_enabled
from minires.errors import DtypeError, GraphError, ShapeError
from minires.ops import (
    activation,
    comparison,
    conversion,
    elementwise,
    indexing,
    linear,
    loss,
    numpy_functions,
    reduce,
    shape,
)

OPERATORS = {
    "__add__": elementwise.add,
    "__sub__": elementwise.sub,
    "__mul__": elementwise.mul,
    "__truediv__": elementwise.div,
    "__pow__": elementwise.pow,
    "__matmul__": linear.matmul,
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
}

REFLECTED = {
    "__radd__": elementwise.add,
    "__rsub__": elementwise.sub,
    "__rmul__": elementwise.mul,
    "__rtruediv__": elementwise.div,
    "__rpow__": elementwise.pow,
    "__rmatmul__": linear.matmul,
}

IN_PLACE = {
    "__iadd__": ("+=", elementwise.add),
    "__isub__": ("-=", elementwise.sub),
    "__imul__": ("*=", elementwise.mul),
    "__itruediv__": ("/=", elementwise.div),
    "__ipow__": ("**=", elementwise.pow),
}

METHODS = {
    "abs": elementwise.abs,
    "clip": elementwise.clip,
    "clamp": elementwise.clip,
    "exp": elementwise.exp,
    "log": elementwise.log,
    "pow": elementwise.pow,
    "sqrt": elementwise.sqrt,
    "maximum": elementwise.maximum,
    "minimum": elementwise.minimum,
    "relu": activation.relu,
    "sigmoid": activation.sigmoid,
    "tanh": activation.tanh,
    "matmul": linear.matmul,
    "softmax": loss.softmax,
    "log_softmax": loss.log_softmax,
    "sum": reduce.sum,
    "mean": reduce.mean,
    "max": reduce.max,
    "min": reduce.min,
    "amax": reduce.amax,
    "amin": reduce.amin,
    "var": reduce.var,
    "argmax": reduce.argmax,
    "argmin": reduce.argmin,
    "reshape": shape.reshape,
    "view": shape.reshape,
    "flatten": shape.flatten,
    "permute": shape.permute,
    "transpose": shape.transpose,
    "broadcast_to": shape.broadcast_to,
    "expand": shape.broadcast_to,
    "squeeze": shape.squeeze,
    "unsqueeze": shape.unsqueeze,
    "to": shape.to,
    "numel": shape.numel,
    "size": shape.size,
    "float": shape.float32,
    "double": shape.float64,
}


def _reflected(function):
    return lambda self, other: function(other, self)


def _in_place(sign, function):
    """x += y changes the tensor x itself, as in PyTorch: all names of x see it.

    Where y has no history, the numbers change in place. Else x takes over the result's array and history.
    """

    def update(self, other):
        if grad_enabled() and self.requires_grad and self.creator is None:
            raise GraphError(f"x {sign} y: x is a leaf that requires a gradient; change it under no_grad()")
        y = function(self, other)
        if y.shape != self.shape:
            raise ShapeError(f"x {sign} y: x of shape {self.shape} cannot hold the result, {y.shape}")
        if y.dtype != self.dtype:
            if not np.can_cast(y.dtype, self.dtype, "same_kind"):
                raise DtypeError(f"x {sign} y: x of {self.dtype} cannot hold the result, which is {y.dtype}")
            y = shape.to(y, self.dtype)
        if y.creator is None:
            self.overwrite(y.data)
            return self
        if any(tensor is not self for tensor in dict(self.version.sharing).values()):
            raise GraphError(
                f"x {sign} y: other tensors share x's memory, as a view does, and the graph would not know "
                "of their change; write x = x + y"
            )
        self.data, self.version, self.creator = y.data, y.version, y.creator
        self.requires_grad = True
        return self

    return update


def _comparison_operator(function):
    """Elementwise, a Tensor of truth values without a gradient; == and != also take what holds no numbers."""

    def compare(self, other):
        if not isinstance(other, Tensor):
            try:
                other = operand(other, function.__name__, 1)
            except DtypeError:
                return NotImplemented  # then Python compares by identity for ==, and raises TypeError for <
        return function(self, other)

    return compare


for _name, _function in (OPERATORS | METHODS | conversion.METHODS).items():
    setattr(Tensor, _name, _function)
for _name, _function in REFLECTED.items():
    setattr(Tensor, _name, _reflected(_function))
for _name, (_sign, _function) in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_sign, _function))
for _name, _function in comparison.COMPARISONS.items():
    setattr(Tensor, f"__{_name}__", _comparison_operator(_function))
Tensor.T = property(shape.transpose)
Tensor.device = property(conversion.device)
Tensor.__array_ufunc__ = numpy_functions.array_ufunc
Tensor.__array_function__ = numpy_functions.array_function
