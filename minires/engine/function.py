"""Function: an operation with its derivative. One call of it is one node of the graph."""

import re
from copy import copy
from weakref import WeakValueDictionary

import numpy as np

from minires.backend import as_arrays, is_floating, operand, same_library, share_memory
from minires.engine.grad_mode import grad_enabled
from minires.engine.tensor import Tensor
from minires.errors import GraphError, MiniresError, ShapeError


class Function:
    """y = forward(*inputs), and backward(gy) gives the gradient of each input.

    A subclass defines both for plain arrays, and neither may write into its arguments. `self.saved` holds the
    arrays that `backward` needs; `self.xp` is NumPy or CuPy. Where `self.needs_grad[i]` is False, `backward`
    may return None as gradient i; a gradient that takes long may be a Future. The engine sums the gradients
    of inputs that were broadcast, and gives each gradient its input's dtype.

    computes_in: common_dtype or floating_dtype of the backend, in whose dtype `forward` then gets all inputs;
        None: each input keeps its own. Written `class Exp(Function, computes_in=floating_dtype)`.
    fresh_gradients: whether each array that `backward` returns is new and for one input only. Then a leaf
        keeps the array itself, otherwise a copy. False for Add, which returns one array for both inputs.
    keeps_float32: whether a float64 result becomes float32 unless an input was float64: NumPy computes
        float32 with int64 in float64. False for `to`, because the user may convert to float64.
    """

    name = "function"
    computes_in = None
    fresh_gradients = False
    keeps_float32 = True
    saved, inputs = None, ()

    def __init_subclass__(cls, computes_in=None):
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()  # MaxPool2d -> max_pool2d
        if computes_in is not None:
            cls.computes_in = staticmethod(computes_in)

    def __call__(self, *inputs):
        """Run forward on tensors, arrays or numbers; record the call if an input needs a gradient."""
        if self.inputs != ():  # already a node, as in f(f(x)): each call is a node of its own
            twin = copy(self)
            twin.inputs = ()
            return twin(*inputs)
        tensors, arrays = self.prepared(inputs)
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
        dtype = y.dtype
        if self.keeps_float32 and dtype == np.float64 and np.float64 not in [a.dtype for a in arrays]:
            y = Tensor(y, dtype=np.float32)
        result = y.data
        for tensor, array in zip(tensors, arrays, strict=True):
            if share_memory(result, array):
                y.version = tensor.version
                y.version.sharing = y.version.sharing or WeakValueDictionary()
                y.version.sharing.update({id(tensor): tensor, id(y): y})
        if True in self.needs_grad and grad_enabled() and is_floating(dtype):
            self.record(tensors, arrays, y)
        else:
            self.saved = None
        return y

    def prepared(self, inputs):
        """The inputs as tensors, and their arrays in the dtype in which forward computes."""
        values = [x.data if isinstance(x, Tensor) else operand(x, self.name, i) for i, x in enumerate(inputs)]
        arrays = as_arrays(values, self.computes_in)
        tensors = [x if isinstance(x, Tensor) else Tensor(arrays[i]) for i, x in enumerate(inputs)]
        return tensors, arrays

    def record(self, tensors, arrays, y):
        """Make this call the node of the graph that has made y."""
        self.inputs = tensors
        self.parents = [tensor.creator for tensor in tensors]  # x += 1 gives x another creator
        self.versions = []  # of the tensors whose arrays backward needs: they must not change until then
        saved = self.saved if isinstance(self.saved, tuple) else (self.saved,)
        for tensor, array in zip((*tensors, y), (*arrays, y.data), strict=True):
            for item in saved:
                if item is array:
                    self.versions.append((tensor.version, tensor.version.number))
        y.creator, y._requires_grad = self, True

    def input_gradients(self, gy):
        """(input, the node that made it, its gradient) for the inputs that need one; frees what was saved."""
        for version, number in self.versions:
            if version.number != number:
                raise GraphError(
                    f"{self.name}: backward() needs an array that has changed since the forward pass, in an "
                    "optimizer's step, say; call backward() before, or run the forward pass again"
                )
        gradients = self.backward(np.asarray(gy) if isinstance(gy, np.generic) else gy)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        inputs = zip(self.inputs, self.parents, gradients, self.needs_grad, strict=False)
        gradients_needed = [(tensor, parent, gx) for tensor, parent, gx, needed in inputs if needed]
        if len(gradients) != len(self.inputs) or any(gx is None for *_, gx in gradients_needed):
            raise GraphError(
                f"{self.name}: backward must return {len(self.inputs)} gradients, one for each input"
            )
        self.saved = self.inputs = self.parents = None
        return gradients_needed
