"""What may follow an operation in the same sweep over its result: y = max(f(x) + add, 0)."""

from minires.engine import Tensor
from minires.ops.activation import relu as relu_of
from minires.ops.elementwise import add as sum_of


def is_like(add, shape, dtype):
    """Whether `add` is a map as the result is one, which kernels can add on the way: nothing to broadcast."""
    return isinstance(add, Tensor) and (add.shape, add.dtype) == (shape, dtype)


def followed(y, add, relu):
    """max(y + add, 0), each in a sweep of its own."""
    y = sum_of(y, add)
    return relu_of(y) if relu else y
