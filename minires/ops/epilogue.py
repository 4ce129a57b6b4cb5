"""The addition and the ReLU that follow an operation, y = max(f(x) + add, 0): in its kernel, or apart."""

from minires.engine import Tensor
from minires.ops.activation import relu as apply_relu
from minires.ops.elementwise import add as add_tensors


def kernel_can_add(add, shape, x):
    """Whether `add` has this shape and x's dtype and device, so that the kernel of f(x) can add it."""
    return isinstance(add, Tensor) and (add.shape, add.dtype, add.device) == (shape, x.dtype, x.device)


def add_and_relu(y, add, relu):
    """y + add, or max(y + add, 0) if `relu`, as operations of their own."""
    y = add_tensors(y, add)
    return apply_relu(y) if relu else y
