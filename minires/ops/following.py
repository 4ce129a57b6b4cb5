"""What may follow an operation in the same sweep over its result: y = max(f(x) + add, 0)."""

from minires.engine import Tensor
from minires.ops.activation import relu as relu_of
from minires.ops.elementwise import add as sum_of


def is_like(add, shape, dtype):
    """Whether `add` has the result's shape and dtype, so that a kernel can add it on the way."""
    return isinstance(add, Tensor) and (add.shape, add.dtype) == (shape, dtype)


def followed(y, add, relu):
    """y + add, and max(y + add, 0) if `relu`, each in a sweep of its own."""
    y = sum_of(y, add)
    return relu_of(y) if relu else y
