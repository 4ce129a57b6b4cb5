"""Operations that move elements: values do not change, so a gradient is only moved back."""

import math

import numpy as np

from minires.backend import to_device
from minires.backend.layout import zeros_in_order_of
from minires.engine import Function, Tensor
from minires.errors import OptionError, ShapeError


class Reshape(Function):
    """y = x in another shape        gx = gy in the shape of x"""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        self.saved = x.shape
        return x.reshape(self.shape)

    def backward(self, gy):
        return gy.reshape(self.saved)


class Permute(Function):
    """y = x with its axes in another order        gx = gy with its axes put back"""

    def __init__(self, axes):
        self.axes = axes

    def forward(self, x):
        return x.transpose(self.axes)

    def backward(self, gy):
        inverse = sorted(range(gy.ndim), key=lambda i: self.axes[i] % gy.ndim)
        return gy.transpose(inverse)


class Getitem(Function):
    """y = x[index]        gx[index] += gy, elsewhere 0"""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        self.saved = x.shape
        return x[self.index]

    def backward(self, gy):
        gx = zeros_in_order_of(gy, self.saved)
        if all(part is None or part is ... or isinstance(part, (int, slice)) for part in self.index):
            gx[self.index] = gy
        else:  # an array of indices may name an element twice, and each time counts
            self.xp.add.at(gx, self.index, gy)
        return gx


class Pad(Function):
    """y = x inside a border of zeros        gx = gy without the border"""

    def __init__(self, widths):
        self.widths = widths

    def forward(self, x):
        self.saved = tuple(slice(low, low + n) for (low, _), n in zip(self.widths, x.shape, strict=True))
        widths = zip(self.widths, x.shape, strict=True)
        y = zeros_in_order_of(x, [low + n + high for (low, high), n in widths])
        y[self.saved] = x
        return y

    def backward(self, gy):
        return gy[self.saved]


class Concatenate(Function):
    """y = the inputs one after the other along an axis        each input gets its own part of gy"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *arrays):
        self.saved = [array.shape[self.dim] for array in arrays]
        return self.xp.concatenate(arrays, axis=self.dim)

    def backward(self, gy):
        ends = [sum(self.saved[: i + 1]) for i in range(len(self.saved) - 1)]
        return tuple(self.xp.split(gy, ends, axis=self.dim))


class BroadcastTo(Function):
    """y = x repeated to a larger shape        gx = gy, which the engine sums back to the shape of x"""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return self.xp.broadcast_to(x, self.shape)

    def backward(self, gy):
        return gy


class To(Function):
    """y = x in another dtype or on another device        gx = gy on the device of x"""

    keeps_float32 = False

    def __init__(self, dtype=None, device=None):
        self.dtype, self.device = dtype, device

    def forward(self, x):
        self.saved = "cpu" if self.device is None else Tensor(x).device
        y = x if self.device is None else to_device(x, self.device)
        return y if self.dtype is None else y.astype(self.dtype)

    def backward(self, gy):
        return gy if self.device is None else to_device(gy, self.saved)


def _as_one_tuple(sizes):
    """(2, 3) for f(x, 2, 3) and for f(x, (2, 3)) alike."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes


def _axis(op, x, dim):
    """`dim`, counted from the front; ShapeError if x has no such axis."""
    if not -x.ndim <= dim < x.ndim:
        raise ShapeError(f"{op}: axis {dim} is out of range for shape {x.shape}")
    return dim % x.ndim


def reshape(x, *shape):
    """x in another shape of as many elements; one length may be -1 and follows from the others."""
    return Reshape(_as_one_tuple(shape))(x)


def flatten(x, start_dim=0, end_dim=-1):
    """The axes from `start_dim` to `end_dim` as one: (N, C, H, W) -> (N, C*H*W) with start_dim=1."""
    if x.ndim == 0:
        return reshape(x, 1)
    start, end = _axis("flatten", x, start_dim), _axis("flatten", x, end_dim)
    return reshape(x, *x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


def permute(x, *dims):
    """The axes in the order `dims`."""
    dims = _as_one_tuple(dims)
    if sorted(d % x.ndim for d in dims) != list(range(x.ndim)):
        raise ShapeError(f"permute: {dims} is not an order of the {x.ndim} axes of shape {x.shape}")
    return Permute(dims)(x)


def transpose(x, *dims):
    """With two axes, swap them; with none, reverse the order of all; with all, the same as `permute`."""
    dims = _as_one_tuple(dims)
    if len(dims) not in (0, 2, x.ndim):
        raise OptionError(f"transpose: give no axis, two, or all {x.ndim}, not {dims}")
    axes = list(range(x.ndim))
    if not dims:
        axes.reverse()
    elif len(dims) == 2:
        i, j = (_axis("transpose", x, d) for d in dims)
        axes[i], axes[j] = j, i
    else:
        axes = dims
    return permute(x, *axes)


def getitem(x, index):
    """x[index], with slices, integers, None, ... and arrays as in NumPy."""
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(part.data if isinstance(part, Tensor) else part for part in parts)
    return Getitem(parts)(x)


def pad(x, padding):
    """Zeros around x; `padding` is (left, right, top, bottom, ...) as in PyTorch, the last axis first."""
    pairs = list(zip(padding[::2], padding[1::2], strict=False))[::-1]
    if len(padding) % 2 or len(pairs) > x.ndim or min(padding, default=0) < 0:
        raise OptionError(
            f"pad: padding must be at most {x.ndim} pairs of widths of at least 0 for shape {x.shape}, "
            f"as (left, right, top, bottom), not {tuple(padding)}"
        )
    return Pad([(0, 0)] * (x.ndim - len(pairs)) + pairs)(x)


def concatenate(tensors, dim=0):
    """The tensors one after the other along the axis `dim`."""
    return Concatenate(dim)(*tensors)


def broadcast_to(x, *shape):
    """x repeated along axes of length 1, and along new axes in front, to reach `shape`; -1 keeps a length."""
    shape = _as_one_tuple(shape)
    added = len(shape) - x.ndim
    return BroadcastTo(tuple(x.shape[i - added] if n == -1 else n for i, n in enumerate(shape)))(x)


def squeeze(x, dim=None):
    """x without its axes of length 1, or without the axis `dim` if that has length 1."""
    axes = range(x.ndim) if dim is None else [_axis("squeeze", x, dim)]
    return reshape(x, *(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


def unsqueeze(x, dim):
    """x with a new axis of length 1 at `dim`."""
    if not -x.ndim - 1 <= dim <= x.ndim:
        raise ShapeError(f"unsqueeze: axis {dim} is out of range for shape {x.shape}")
    position = dim % (x.ndim + 1)
    return reshape(x, *x.shape[:position], 1, *x.shape[position:])


def to(x, target):
    """x as another dtype ("float32", "float64", ...) or on another device ("cpu", "cuda")."""
    if target in ("cpu", "cuda"):
        return To(device=target)(x)
    try:
        dtype = np.dtype(target)
    except TypeError:
        dtype = None
    if dtype is None or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise OptionError(
            f"to: {target!r} is neither a device ('cpu', 'cuda') nor a dtype that can be used ('float32', "
            "'float64', or a dtype of whole numbers)"
        )
    return To(dtype=dtype)(x)
