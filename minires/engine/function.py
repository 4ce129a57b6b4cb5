"""Function: an operation with its derivative. One call of it is one node of the graph."""

import re
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from numbers import Real

import numpy as np

from minires.backend import is_floating, number, same_library
from minires.engine.tensor import Tensor
from minires.errors import GraphError, MiniresError, ShapeError

grad_enabled = ContextVar("grad_enabled", default=True)


@contextmanager
def no_grad():
    """Compute without recording the graph: `with no_grad(): ...`, or as a decorator, `@no_grad()`."""
    token = grad_enabled.set(False)
    try:
        yield
    finally:
        grad_enabled.reset(token)


class Function:
    """y = forward(*inputs), and backward(gy) gives the gradient of each input.

    A subclass defines both for plain arrays, and neither may write into its arguments. `self.saved` holds the
    arrays that `backward` needs; `self.xp` is NumPy or CuPy. Where `self.needs_grad[i]` is False, `backward`
    may return None as gradient i; a gradient that takes long may be a Future. The engine sums the gradients
    of inputs that were broadcast.

    fresh_gradients: whether each array that `backward` returns is new and for one input only. Then a leaf
        keeps the array itself, otherwise a copy. False for Add, which returns one array for both inputs.
    keeps_float32: whether a float64 result becomes float32 unless an input was float64: NumPy computes
        float32 with int64 in float64. False for `to`, because the user may convert to float64.
    """

    name = "function"
    fresh_gradients = False
    keeps_float32 = True
    saved, inputs = None, ()

    def __init_subclass__(cls):
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()  # MaxPool2d -> max_pool2d

    def __call__(self, *inputs):
        """Run forward on tensors, arrays or numbers; record the call if an input needs a gradient."""
        if self.inputs != ():  # already a node, as in f(f(x)): each call is a node of its own
            twin = copy(self)
            twin.inputs = ()
            return twin(*inputs)
        tensors = as_tensors(inputs)
        arrays = [tensor.data for tensor in tensors]
        self.xp = same_library(arrays, self.name)
        self.needs_grad = [tensor.requires_grad for tensor in tensors]
        try:
            y = self.forward(*arrays)
        except MiniresError:
            raise
        except (ValueError, IndexError) as error:  # NumPy's message does not name the operation
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ShapeError(f"{self.name}: inputs of shape {shapes} do not fit: {error}") from error
        y = Tensor(y)
        if self.keeps_float32 and y.dtype == np.float64 and np.float64 not in [a.dtype for a in arrays]:
            y = Tensor(y, dtype=np.float32)
        if grad_enabled.get() and any(self.needs_grad) and is_floating(y.dtype):
            self.inputs = tensors
            y.creator, y.requires_grad = self, True
        else:
            self.saved = None
        return y

    def input_gradients(self, gy):
        """(input, its gradient) for the inputs that need one; afterwards `saved` and `inputs` are None."""
        gradients, inputs = self.backward(gy), self.inputs
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        pairs = [pair for *pair, needed in zip(inputs, gradients, self.needs_grad, strict=False) if needed]
        if len(gradients) != len(inputs) or any(gx is None for _, gx in pairs):
            raise GraphError(f"{self.name}: backward must return {len(inputs)} gradients, one for each input")
        self.saved = self.inputs = None
        return pairs


def as_tensors(inputs):
    """Each input as a Tensor; a number gets the device and dtype of the first tensor, see backend.number."""
    first = next((x.data for x in inputs if isinstance(x, Tensor)), None)
    if first is not None:
        inputs = [number(x, like=first) if isinstance(x, Real) else x for x in inputs]
    return [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
