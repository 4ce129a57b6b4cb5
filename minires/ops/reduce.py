"""Sums, means, maxima and variances along axes.

`dim` is an axis, several axes, or None for all; `keepdim` leaves the reduced axes in place with length 1.
NumPy's names, `axis` and `keepdims`, work as well.
"""

from functools import wraps

from minires.engine import Function, Tensor
from minires.errors import ShapeError


class Reduction(Function):
    """Base of the operations below: which axes are reduced, and how a gradient gets them back."""

    def __init__(self, dim=None, keepdim=False):
        self.axis = tuple(dim) if isinstance(dim, list) else dim
        self.keepdim = keepdim

    def restored(self, reduced):
        """A reduced array with the reduced axes back as length 1, so that it broadcasts against the input."""
        if self.keepdim or self.axis is None:
            return reduced
        return self.xp.expand_dims(reduced, self.axis)

    def count(self, x):
        """How many elements of x go into one element of the result."""
        axes = range(x.ndim) if self.axis is None else self.axis
        axes = (axes,) if isinstance(axes, int) else axes
        product = 1
        for axis in axes:
            product *= x.shape[axis]
        return product


class Sum(Reduction):
    """y = sum x        gx = gy, repeated along the summed axes"""

    def forward(self, x):
        self.saved = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdim)

    def backward(self, gy):
        return self.xp.broadcast_to(self.restored(gy), self.saved)


class Mean(Reduction):
    """y = (1/n) sum x        gx = gy / n, repeated along the n averaged elements"""

    def forward(self, x):
        y = x.mean(axis=self.axis, keepdims=self.keepdim)
        self.saved = x.shape, self.count(x)
        return y

    def backward(self, gy):
        shape, n = self.saved
        return self.xp.broadcast_to(self.restored(gy) / n, shape)


class Max(Reduction):
    """y = max x        gx = gy m / sum m        m: 1 where x = y, else 0

    Equal maxima share the gradient.
    """

    def forward(self, x):
        y = x.max(axis=self.axis, keepdims=self.keepdim)
        self.saved = x, y
        return y

    def backward(self, gy):
        x, y = self.saved
        m = (x == self.restored(y)).astype(x.dtype)
        return self.restored(gy) * m / m.sum(axis=self.axis, keepdims=True)


class Var(Reduction):
    """y = sum (x - mean)^2 / (n - c)        gx = gy 2 (x - mean) / (n - c)"""

    def __init__(self, dim=None, correction=1, keepdim=False):
        super().__init__(dim, keepdim)
        self.correction = correction

    def forward(self, x):
        centred = x - x.mean(axis=self.axis, keepdims=True)
        n = self.count(x) - self.correction
        if n <= 0:
            raise ShapeError(
                f"var: {n + self.correction} elements are too few with correction={self.correction}"
            )
        self.saved = centred, n
        return (centred * centred).sum(axis=self.axis, keepdims=self.keepdim) / n

    def backward(self, gy):
        centred, n = self.saved
        return self.restored(gy) * (2 / n) * centred


def numpy_names(reduction):
    """Let `axis` and `keepdims` stand for `dim` and `keepdim`."""

    @wraps(reduction)
    def wrapper(*args, **options):
        for numpy_name, name in {"axis": "dim", "keepdims": "keepdim"}.items():
            if numpy_name in options:
                options[name] = options.pop(numpy_name)
        return reduction(*args, **options)

    return wrapper


@numpy_names
def sum(x, dim=None, keepdim=False):
    """The sum over `dim`."""
    return Sum(dim, keepdim)(x)


@numpy_names
def mean(x, dim=None, keepdim=False):
    """The mean over `dim`."""
    return Mean(dim, keepdim)(x)


@numpy_names
def max(x, dim=None, keepdim=False):
    """The largest value over `dim`; `argmax` tells where it is."""
    return Max(dim, keepdim)(x)


@numpy_names
def var(x, dim=None, correction=1, keepdim=False):
    """The variance over `dim`, sum (x - mean)^2 / (n - correction): unbiased with 1, biased with 0."""
    return Var(dim, correction, keepdim)(x)


@numpy_names
def argmax(x, dim=None, keepdim=False):
    """The index of the largest value over `dim`, one axis or None: an int64 Tensor without a gradient."""
    return Tensor(Tensor(x).data.argmax(axis=dim, keepdims=keepdim))
