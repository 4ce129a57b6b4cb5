"""Tensor: an array, its gradient, and the operation that made it."""

import numpy as np

from minires.backend import as_array, device_of, is_floating, library, same_library, to_numpy
from minires.engine.backward import backpropagate
from minires.errors import GraphError, OptionError, ShapeError


class Tensor:
    """An array that remembers where it came from.

    data: an array of NumPy or CuPy, a Tensor, a list or a number. Arrays are shared, not copied.
    dtype: taken from `data` where that is an array; lists and numbers become float32. Floating-point arrays
        are float32 or float64; other ones (labels, images, masks) keep their dtype and have no gradient.
    requires_grad: whether `backward()` should collect a gradient here.

    Attributes: `data`, the array, with its `shape`, `ndim` and `dtype`; `grad`, None before `backward()` and
    then, for leaves only, a Tensor of the same shape; `creator`, the Function call that made this tensor,
    None for a leaf.

    Operators and methods such as `+`, `@`, `.sum()` are attached in minires/ops/operators.py.
    """

    __array_priority__ = 1000  # array * tensor calls the tensor's method, not NumPy's

    def __init__(self, data, requires_grad=False, dtype=None):
        self._array = as_array(data.data if isinstance(data, Tensor) else data, dtype)
        if requires_grad and not is_floating(self.dtype):
            raise OptionError(
                f"requires_grad=True needs float32 or float64, not {self.dtype}; "
                "convert first, for example Tensor(data, dtype='float32', requires_grad=True)"
            )
        self.requires_grad = requires_grad
        self.grad = None
        self.creator = None

    @property
    def data(self):
        return self._array

    @data.setter
    def data(self, array):  # x.data -= lr * x.grad gives a Tensor
        self._array = array.data if isinstance(array, Tensor) else array

    @property
    def shape(self):
        return self._array.shape

    @property
    def ndim(self):
        return self._array.ndim

    @property
    def dtype(self):
        return self._array.dtype

    @property
    def device(self):
        """ "cpu" or "cuda"."""
        return device_of(self.data)

    def size(self, dim=None):
        """The shape, or the length along `dim`."""
        return self.shape if dim is None else self.shape[dim]

    def numpy(self):
        """The data as an array of NumPy: shared on the CPU, copied from a GPU."""
        return to_numpy(self.data)

    def item(self):
        """The only element, as a Python number."""
        if self.data.size != 1:
            raise ShapeError(f"item(): a tensor of shape {self.shape} has {self.data.size} elements, not one")
        return self.data.item()

    def detach(self):
        """The same data without its history: gradients do not flow through it."""
        return Tensor(self.data)

    def backward(self, gradient=None):
        """Add d(self)/d(leaf), weighted by `gradient`, to the `grad` of every leaf that requires one.

        gradient: the upstream gradient, of this tensor's shape; left out, it is 1 for a single element.
        Raises GraphError where there is nothing to differentiate or the graph was used before, ShapeError
        for an upstream gradient of another shape.
        """
        if not self.requires_grad:
            raise GraphError(
                "backward(): no input of this tensor requires a gradient; create it with requires_grad=True, "
                "and do not compute under no_grad()"
            )
        if gradient is None and self.data.size != 1:
            raise GraphError(
                f"backward(): a tensor of shape {self.shape} needs an upstream gradient of that shape; "
                "pass one, or reduce to a single number first, for example with .sum()"
            )
        ones = library(self.data).ones_like(self.data)
        gradient = ones if gradient is None else Tensor(gradient, dtype=self.dtype).data
        same_library([self.data, gradient], "backward")
        if gradient.shape != self.shape:
            raise ShapeError(f"backward(): the gradient has shape {gradient.shape}, the tensor {self.shape}")
        backpropagate(self, gradient)

    def accumulate(self, gradient, fresh=False):
        """Add the array `gradient` to `grad`; `fresh`: it is used nowhere else and needs no copy."""
        if self.grad is None:
            self.grad = Tensor(gradient if fresh and gradient.flags.c_contiguous else gradient.copy())
        else:
            self.grad.data += gradient

    def __array__(self, dtype=None, copy=None):
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __len__(self):
        if not self.shape:
            raise TypeError("a tensor without dimensions has no length")
        return self.shape[0]

    def __hash__(self):
        return id(self)

    def __repr__(self):
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100)
        dtype = "" if self.dtype == "float32" else f", dtype={self.dtype}"
        return f"Tensor({body}{dtype}{', requires_grad=True' if self.requires_grad else ''})"
