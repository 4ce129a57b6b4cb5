"""Tensor: an array, its gradient, and the operation that made it."""

from threading import RLock

from minires.backend import as_array, held_by_forks, is_floating, library, same_library
from minires.engine.backward import backpropagate
from minires.errors import DtypeError, GraphError, ShapeError
from minires.options import check_flags, refuse_unless_default

_accumulating = held_by_forks(RLock())  # while a gradient is added to a leaf: threads may share leaves


class Version:
    """How often an array was changed in place. Tensors that share memory share their Version.

    sharing: {id: tensor}, held weakly, of those that are an operation's input and its result, a view.
    """

    number, sharing = 0, ()


class Tensor:
    """An array that remembers where it came from.

    data: an array of NumPy or CuPy, a Tensor, a list or a number. Arrays are shared, not copied.
    dtype: taken from `data` where that is an array; lists and numbers become float32. Floating-point arrays
        are float32 or float64; other ones (labels, images, masks) keep their dtype and have no gradient.
    requires_grad: whether `backward()` should collect a gradient here.

    Attributes: `data`, the array, with its `shape`, `ndim` and `dtype`; `grad`, None before `backward()` and
    then, for leaves only, a Tensor of the same shape; `creator`, the Function call that made this tensor,
    None for a leaf.

    Operators and methods such as `+`, `@`, `.sum()`, `.numpy()` are attached in minires/ops/operators.py.
    """

    def __init__(self, data, requires_grad=False, dtype=None):
        array = data.data if isinstance(data, Tensor) else data
        self._array = as_array(array, dtype)
        self.version = data.version if isinstance(data, Tensor) and self._array is array else Version()
        self.grad, self.creator, self._requires_grad = None, None, False
        if requires_grad is not False:
            self.requires_grad = requires_grad

    @property
    def data(self):
        return self._array

    @data.setter
    def data(self, array):
        array = as_array(array.data if isinstance(array, Tensor) else array)
        self._check_gradient(array.dtype, self._requires_grad)
        if array is not self._array:
            self._array, self.version = array, Version()
        self.changed()  # in place, after x.data -= y

    @property
    def requires_grad(self):
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, required):
        check_flags(requires_grad=required)
        self._check_gradient(self.dtype, required)
        if self.creator is not None and not required:
            raise GraphError("requires_grad=False is for leaves; call .detach() on a computed tensor")
        self._requires_grad = required

    @staticmethod
    def _check_gradient(dtype, required):
        if required and not is_floating(dtype):
            raise DtypeError(
                f"requires_grad=True needs float32 or float64, not {dtype}; "
                "convert first, for example Tensor(data, dtype='float32', requires_grad=True)"
            )

    @property
    def shape(self):
        return self._array.shape

    @property
    def ndim(self):
        return self._array.ndim

    @property
    def dtype(self):
        return self._array.dtype

    def detach(self):
        """The same data without its history: gradients do not flow through it."""
        return Tensor(self)

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Add d(self)/d(leaf), weighted by `gradient`, to the `grad` of every leaf that requires one.

        gradient: the upstream gradient, of this tensor's shape; left out, it is 1 for a single element.
        Raises GraphError where the graph or its arrays are missing, ShapeError, OptionError for the others.
        """
        refuse_unless_default(
            "backward", retain_graph=(retain_graph or None, None), create_graph=(create_graph, False),
            inputs=(inputs, None),
        )  # fmt: skip
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

    def overwrite(self, array):
        """Change the numbers in place; a graph that needs the old ones refuses its backward()."""
        self.data[...] = Tensor(array, dtype=self.dtype).data
        self.changed()

    def changed(self):
        """To be called after a change of the numbers in place."""
        self.version.number += 1

    def accumulate(self, gradient, fresh=False):
        """Add the array `gradient` to `grad`; `fresh`: it is used nowhere else and needs no copy."""
        with _accumulating:
            if self.grad is None:
                self.grad = Tensor(gradient if fresh and gradient.flags.c_contiguous else gradient.copy())
            else:
                self.grad.data += gradient

    def __hash__(self):
        return id(self)
