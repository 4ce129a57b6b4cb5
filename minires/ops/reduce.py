"""Sums, means, variances, and the largest and the smallest values, along axes.

`dim` is an axis, several axes, or None for all; `keepdim` leaves the reduced axes in place with length 1.
NumPy's names, `axis` and `keepdims`, work as well.
"""

import math
from functools import wraps
from typing import NamedTuple

from minires.backend import floating_dtype, kernels, reference
from minires.engine import Function, Tensor
from minires.errors import OptionError, ShapeError
from minires.ops.checks import as_tensors, axes_of
from minires.ops.elementwise import maximum, minimum
from minires.options import refuse_unless_default


def check_keepdim(op, keepdim):
    """OptionError for another value than True or False, such as a second axis in x.mean(2, 3)."""
    if not isinstance(keepdim, bool):
        raise OptionError(
            f"{op}: keepdim must be True or False, not {keepdim!r}; several axes are a tuple, dim=(2, 3)"
        )


class Reduction(Function):
    """Base of the operations below: which axes, a tuple, are reduced, and how a gradient gets them back."""

    def __init__(self, axes, keepdim=False):
        check_keepdim(self.name, keepdim)
        self.axes, self.keepdim = axes, keepdim

    def restored(self, reduced):
        """A reduced array with the reduced axes back as length 1, so that it broadcasts against the input."""
        return reduced if self.keepdim else self.xp.expand_dims(reduced, self.axes)

    def count(self, x):
        """How many elements of x go into one element of the result."""
        return math.prod(x.shape[axis] for axis in self.axes)


class Sum(Reduction):
    """y = sum x        gx = gy, repeated along the summed axes"""

    def forward(self, x):
        self.saved = x.shape
        return reference.precise_sum(x, self.axes, self.keepdim)

    def backward(self, gy):
        return self.xp.broadcast_to(self.restored(gy), self.saved)


class Mean(Reduction, computes_in=floating_dtype):
    """y = (1/n) sum x        gx = gy / n, repeated along the n averaged elements"""

    def forward(self, x):
        self.saved = x.shape, self.count(x)
        return reference.precise_mean(x, self.axes, self.keepdim)

    def backward(self, gy):
        shape, n = self.saved
        return self.xp.broadcast_to(self.restored(gy) / (n or 1), shape)


class Var(Reduction, computes_in=floating_dtype):
    """y = sum (x - mean)^2 / (n - c)        gx = gy 2 (x - mean) / (n - c)"""

    def __init__(self, axes, correction=1, keepdim=False):
        super().__init__(axes, keepdim)
        self.correction = correction

    def forward(self, x):
        n = self.count(x) - self.correction
        if n <= 0:
            raise ShapeError(
                f"var: {n + self.correction} elements are too few with correction={self.correction}"
            )
        centred = x - reference.precise_mean(x, self.axes, keepdims=True)
        self.saved = centred, n
        return reference.precise_sum(centred * centred, self.axes, self.keepdim) / n

    def backward(self, gy):
        centred, n = self.saved
        return self.restored(gy) * (2 / n) * centred


class Amax(Reduction):
    """y = max x        gx = gy m / sum m        m: 1 where x = y, else 0

    Equal maxima share the gradient; so do the NaNs where there are any.
    """

    def extremum(self, x):
        return x.max(axis=self.axes, keepdims=self.keepdim)

    def forward(self, x):
        check_not_empty(self.name, x, self.axes)
        y = self.extremum(x)
        self.saved = x, y
        return y

    def backward(self, gy):
        x, y = self.saved
        m = (x == self.restored(y)) | (x != x)
        return kernels.select(m, self.restored(gy) / m.sum(axis=self.axes, keepdims=True, dtype=gy.dtype))


class Amin(Amax):
    """y = min x        gx = gy m / sum m        m: 1 where x = y, else 0

    Equal minima share the gradient; so do the NaNs where there are any.
    """

    def extremum(self, x):
        return x.min(axis=self.axes, keepdims=self.keepdim)


class TakeAlong(Reduction):
    """y = x at the indices i along one axis        gx = gy at i, elsewhere 0

    i: in the shape of x, but with length 1 along the axis.
    """

    def __init__(self, i, axes, keepdim):
        super().__init__(axes, keepdim)
        self.i = i.copy()  # the user also has i, and may change it before the backward pass

    def forward(self, x):
        self.saved = x.shape
        y = self.xp.take_along_axis(x, self.i, *self.axes)
        return y if self.keepdim else y.squeeze(self.axes)

    def backward(self, gy):
        (axis,), shape = self.axes, self.saved
        positions = self.xp.arange(shape[axis]).reshape(-1, *(1 for _ in shape[axis + 1 :]))
        return kernels.select(positions == self.i, self.restored(gy))


class ValuesAndIndices(NamedTuple):
    """What `max` and `min` return with a `dim`: the values, and where they are along it (int64)."""

    values: Tensor
    indices: Tensor


def numpy_names(reduction):
    """Let `axis` and `keepdims` stand for `dim` and `keepdim`."""

    @wraps(reduction)
    def wrapper(*args, **options):
        for numpy_name, name in {"axis": "dim", "keepdims": "keepdim"}.items():
            if numpy_name in options:
                if name in options:
                    raise OptionError(f"{reduction.__name__}: {numpy_name}= means {name}=; give one of them")
                options[name] = options.pop(numpy_name)
        return reduction(*args, **options)

    return wrapper


@numpy_names
def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over `dim`; whole numbers and truth values add up to int64."""
    refuse_unless_default("sum", dtype=(dtype, None))
    (x,) = as_tensors("sum", input)
    return Sum(axes_of("sum", x, dim), keepdim)(x)


@numpy_names
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over `dim`; NaN where there is nothing to average."""
    refuse_unless_default("mean", dtype=(dtype, None))
    (x,) = as_tensors("mean", input)
    return Mean(axes_of("mean", x, dim), keepdim)(x)


@numpy_names
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The variance over `dim`, sum (x - mean)^2 / (n - correction).

    correction: 1 if left out, which makes it unbiased. `unbiased`, True or False, is the older name for 1 or
    0; it may also come first, x.var(False). Raises OptionError where both are given.
    """
    (x,) = as_tensors("var", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        if correction is not None or not isinstance(unbiased, bool):
            raise OptionError(
                f"var: unbiased must be True or False, and without correction, not {unbiased!r} with "
                f"correction={correction!r}"
            )
        correction = int(unbiased)
    return Var(axes_of("var", x, dim), 1 if correction is None else correction, keepdim)(x)


@numpy_names
def amax(input, dim=(), keepdim=False):
    """The largest values over `dim`; equal ones share the gradient."""
    (x,) = as_tensors("amax", input)
    return Amax(axes_of("amax", x, dim), keepdim)(x)


@numpy_names
def amin(input, dim=(), keepdim=False):
    """The smallest values over `dim`; equal ones share the gradient."""
    (x,) = as_tensors("amin", input)
    return Amin(axes_of("amin", x, dim), keepdim)(x)


@numpy_names
def max(input, dim=None, keepdim=False):
    """The largest value; with `dim`, one axis, a pair (values, indices): `values, indices = x.max(1)`.

    The gradient goes to the first of equal maxima if there is a `dim`, else they share it. With a tensor in
    place of `dim` it is `maximum`. `amax` gives the values alone.
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input, keepdim=keepdim) if dim is None else _along("max", argmax, input, dim, keepdim)


@numpy_names
def min(input, dim=None, keepdim=False):
    """The smallest value; with `dim`, one axis, a pair (values, indices): `values, indices = x.min(1)`.

    The gradient goes to the first of equal minima if there is a `dim`, else they share it. With a tensor in
    place of `dim` it is `minimum`. `amin` gives the values alone.
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input, keepdim=keepdim) if dim is None else _along("min", argmin, input, dim, keepdim)


def _along(op, find, x, dim, keepdim):
    (x,) = as_tensors(op, x)
    axes = _one_axis(op, x, dim)
    indices = find(x, dim, keepdim=True)
    if x.ndim == 0:
        return ValuesAndIndices(Amax((), keepdim)(x), indices)
    values = TakeAlong(indices.data, axes, keepdim)(x)
    return ValuesAndIndices(values, indices if keepdim else Tensor(indices.data.squeeze(axes)))


@numpy_names
def argmax(input, dim=None, keepdim=False):
    """The index of the largest value, the first if there are several: an int64 Tensor without a gradient.

    dim: one axis; None for an index into the flattened tensor.
    """
    return _argument("argmax", input, dim, keepdim)


@numpy_names
def argmin(input, dim=None, keepdim=False):
    """The index of the smallest value, the first if there are several: an int64 Tensor without a gradient.

    dim: one axis; None for an index into the flattened tensor.
    """
    return _argument("argmin", input, dim, keepdim)


def _argument(op, x, dim, keepdim):
    (x,) = as_tensors(op, x)
    check_keepdim(op, keepdim)
    axes = axes_of(op, x, None) if dim is None else _one_axis(op, x, dim)
    check_not_empty(op, x, axes)
    axis = axes[0] if axes and dim is not None else None
    return Tensor(getattr(x.data, op)(axis=axis, keepdims=keepdim).astype("int64"))


def _one_axis(op, x, dim):
    axes = axes_of(op, x, dim)
    if isinstance(dim, (tuple, list)) or len(axes) > 1:
        raise ShapeError(f"{op}: dim must be one axis, not {dim!r}")
    return axes


def check_not_empty(op, x, axes):
    """ShapeError if there is an element of the result that has no elements of x."""
    if 0 in [x.shape[axis] for axis in axes]:
        raise ShapeError(f"{op}: there is nothing to compare along the axes {axes} of shape {x.shape}")
