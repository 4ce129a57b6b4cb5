"""The one place where Tensor gets its operators and methods.

The engine knows no operation, and each operation is a plain function of tensors. These tables join them, so
that `a + b` is `add(a, b)` and `x.mean(1)` is `mean(x, 1)`.
"""

from numbers import Real

from minires.backend import as_array, same_library
from minires.engine import Tensor
from minires.engine.function import grad_enabled
from minires.errors import GraphError, ShapeError
from minires.ops import activation, elementwise, linear, loss, reduce, shape

OPERATORS = {
    "__add__": elementwise.add,
    "__sub__": elementwise.sub,
    "__mul__": elementwise.mul,
    "__truediv__": elementwise.div,
    "__pow__": elementwise.pow,
    "__matmul__": linear.matmul,
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
    "__getitem__": shape.getitem,
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
}

COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")

METHODS = {
    "abs": elementwise.abs,
    "clip": elementwise.clip,
    "clamp": elementwise.clip,
    "exp": elementwise.exp,
    "log": elementwise.log,
    "pow": elementwise.pow,
    "sqrt": elementwise.sqrt,
    "relu": activation.relu,
    "sigmoid": activation.sigmoid,
    "tanh": activation.tanh,
    "matmul": linear.matmul,
    "softmax": loss.softmax,
    "log_softmax": loss.log_softmax,
    "sum": reduce.sum,
    "mean": reduce.mean,
    "max": reduce.max,
    "var": reduce.var,
    "argmax": reduce.argmax,
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
    "__iter__": lambda x: (x[i] for i in range(len(x))),
    "__bool__": lambda x: bool(x.item()),
    "__float__": lambda x: float(x.item()),
    "__int__": lambda x: int(x.item()),
    "numel": lambda x: x.data.size,
    "tolist": lambda x: x.data.tolist(),
    "float": lambda x: shape.to(x, "float32"),
    "double": lambda x: shape.to(x, "float64"),
}


def _reflected(function):
    return lambda self, other: function(other, self)


def _in_place(sign, function):
    """A leaf that requires a gradient changes in place, under no_grad() only; other tensors are replaced."""

    def update(self, other):
        if self.creator is not None or not self.requires_grad:
            return function(self, other)
        if grad_enabled.get():
            raise GraphError(f"x {sign} y: x is a leaf that requires a gradient; change it under no_grad()")
        self.data[...] = function(self, other).data
        return self

    return update


def _comparison(name):
    """Elementwise, a Tensor of booleans without a gradient."""

    def compare(self, other):
        other = other.data if isinstance(other, Tensor) else other
        if not isinstance(other, Real):
            other = as_array(other)
            same_library([self.data, other], name)
        try:
            return Tensor(getattr(self.data, name)(other))
        except ValueError as error:
            raise ShapeError(f"{name}: shapes {self.shape} and {other.shape} do not fit") from error

    return compare


for _name, _function in (OPERATORS | METHODS).items():
    setattr(Tensor, _name, _function)
for _name, _function in REFLECTED.items():
    setattr(Tensor, _name, _reflected(_function))
for _name, (_sign, _function) in IN_PLACE.items():
    setattr(Tensor, _name, _in_place(_sign, _function))
for _name in COMPARISONS:
    setattr(Tensor, _name, _comparison(_name))
Tensor.T = property(shape.transpose)
