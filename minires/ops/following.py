"""The addition and the ReLU behind an operation, y = max(f(x) + add, 0): in its own sweep, or apart."""

from minires.engine import Tensor
from minires.ops.activation import relu as relu_of
from minires.ops.elementwise import add as sum_of


def is_like(add, shape, x):
    """Whether `add` has this shape, and the dtype and device of x, so that a kernel can add it on the way."""
    return isinstance(add, Tensor) and (add.shape, add.dtype, add.device) == (shape, x.dtype, x.device)


def followed(y, add, relu):
    """y + add, and max(y + add, 0) if `relu`, each in a sweep of its own."""
    y = sum_of(y, add)
    return relu_of(y) if relu else y
