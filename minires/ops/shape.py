"""Operations that move elements: values do not change, so a gradient is only moved back."""

import math
from functools import wraps
from operator import index

import numpy as np

from minires.backend import common_dtype, to_device
from minires.backend.layout import zeros_in_order_of
from minires.engine import Function, Tensor
from minires.errors import OptionError, ShapeError
from minires.ops.checks import as_tensors, axes_of, axis_of
from minires.options import refuse_unless_default


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


class Concatenate(Function, computes_in=common_dtype):
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


def numbers_or_tuple(*names):
    """Let a function of a tensor and a tuple also take single numbers, or the tuple by one of the names."""

    def decorate(function):
        @wraps(function)
        def wrapper(input, *numbers, **by_name):
            name = next((name for name in names if name in by_name and not numbers), None)
            if name is not None:
                numbers = (by_name.pop(name),)
            if len(numbers) == 1 and isinstance(numbers[0], (tuple, list)):
                (numbers,) = numbers
            try:
                numbers = tuple(map(index, numbers))
            except TypeError as error:
                message = f"{function.__name__}: {names[0]} must be whole numbers, not {numbers}"
                raise OptionError(message) from error
            (x,) = as_tensors(function.__name__, input)
            return function(x, numbers, **by_name)

        return wrapper

    return decorate


def numel(input):
    """How many elements the tensor has."""
    return input.data.size


def size(input, dim=None):
    """The shape, or the length along `dim`."""
    if dim is None:
        return input.shape
    if not input.shape:
        raise ShapeError(f"size: a single number has no axis {dim}")
    return input.shape[axis_of("size", input.shape, dim)]


@numbers_or_tuple("shape", "size")
def reshape(input, shape):
    """input in another shape of as many elements; one length may be -1 and follows from the others."""
    if min(shape, default=0) < -1:
        raise ShapeError(f"reshape: {shape} has a negative length other than -1")
    return Reshape(shape)(input)


def flatten(input, start_dim=0, end_dim=-1):
    """The axes from `start_dim` to `end_dim` as one: (N, C, H, W) -> (N, C*H*W) with start_dim=1."""
    (input,) = as_tensors("flatten", input)
    shape = input.shape or (1,)
    start, end = (axis_of("flatten", input.shape, dim) for dim in (start_dim, end_dim))
    if start > end:
        raise OptionError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {shape}")
    return reshape(input, *shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


@numbers_or_tuple("dims")
def permute(input, dims):
    """The axes in the order `dims`."""
    axes = tuple(axis_of("permute", input.shape, dim) for dim in dims)
    if sorted(axes) != list(range(input.ndim)):
        raise ShapeError(f"permute: {dims} is not an order of the {input.ndim} axes of shape {input.shape}")
    return Permute(axes)(input)


@numbers_or_tuple("dims")
def transpose(input, dims, dim0=None, dim1=None):
    """With two axes, swap them; with none, reverse the order of all; with all, the same as `permute`."""
    dims = (*dims, *(dim for dim in (dim0, dim1) if dim is not None))
    if len(dims) not in (0, 2, input.ndim):
        raise OptionError(f"transpose: give no axis, two, or all {input.ndim}, not {dims}")
    axes = list(range(input.ndim))
    if not dims:
        axes.reverse()
    elif len(dims) == 2:
        i, j = (axis_of("transpose", input.shape, dim) for dim in dims)
        if axes:
            axes[i], axes[j] = j, i
    else:
        axes = dims
    return permute(input, *axes)


def pad(input, pad, mode="constant", value=None):
    """Zeros around input; `pad` is (left, right, top, bottom, ...) as in PyTorch, the last axis first."""
    refuse_unless_default("pad", mode=(mode, "constant"), value=(value or None, None))
    (input,) = as_tensors("pad", input)
    if not isinstance(pad, (list, tuple)):
        raise OptionError(f"pad: pad must be a list or a tuple of widths, not {pad!r}")
    pairs = list(zip(pad[::2], pad[1::2], strict=False))[::-1]
    if len(pad) % 2 or len(pairs) > input.ndim or min(pad, default=0) < 0:
        raise OptionError(
            f"pad: pad must be at most {input.ndim} pairs of widths of at least 0 for shape {input.shape}, "
            f"as (left, right, top, bottom), not {tuple(pad)}"
        )
    return Pad([(0, 0)] * (input.ndim - len(pairs)) + pairs)(input)


def concatenate(tensors, dim=0):
    """The tensors one after the other along the axis `dim`."""
    if not isinstance(tensors, (list, tuple, Tensor)):
        raise OptionError(f"concatenate: tensors must be a list or a tuple of tensors, not {tensors!r}")
    tensors = as_tensors("concatenate", *tensors)
    if not tensors:
        raise ShapeError("concatenate: there are no tensors to put one after the other")
    return Concatenate(axis_of("concatenate", tensors[0].shape, dim))(*tensors)


@numbers_or_tuple("shape", "size")
def broadcast_to(input, shape):
    """input repeated along axes of length 1 and along new axes in front; -1 in `shape` keeps a length."""
    added = len(shape) - input.ndim
    if added < 0 or -1 in shape[:added]:
        raise ShapeError(
            f"broadcast_to: {shape} must have all {input.ndim} axes of shape {input.shape}, and a new axis "
            "needs a length, not -1"
        )
    return BroadcastTo(tuple(input.shape[i - added] if n == -1 else n for i, n in enumerate(shape)))(input)


def squeeze(input, dim=None):
    """input without its axes of length 1, or without those of the axes `dim` that have length 1."""
    (input,) = as_tensors("squeeze", input)
    axes = () if isinstance(dim, (tuple, list)) and not dim else axes_of("squeeze", input, dim)
    return reshape(input, *(n for i, n in enumerate(input.shape) if n != 1 or i not in axes))


def unsqueeze(input, dim):
    """input with a new axis of length 1 at `dim`."""
    (input,) = as_tensors("unsqueeze", input)
    position = axis_of("unsqueeze", (*input.shape, 1), dim)
    return reshape(input, *input.shape[:position], 1, *input.shape[position:])


def to(input, *args, device=None, dtype=None, non_blocking=False, copy=False):
    """input as another dtype ("float32", "float64", ...), on another device ("cpu", "cuda"), or both.

    args: a dtype, a device, both, or a tensor that has them; then perhaps non_blocking and copy, which are
        PyTorch's: OptionError for another value than False.
    """
    flags = [arg for arg in args if isinstance(arg, bool)]
    if len(flags) > 2:
        raise OptionError(f"to: at most two flags, non_blocking and copy, come after the target, not {flags}")
    non_blocking, copy = [*flags, *(non_blocking, copy)[len(flags) :]]
    refuse_unless_default("to", non_blocking=(non_blocking, False), copy=(copy, False))
    y = input
    for arg in (*args, device, dtype):
        if isinstance(arg, Tensor):
            y = _to(_to(y, arg.dtype), arg.device)
        elif arg is not None and not isinstance(arg, bool):
            y = _to(y, arg)
    return y


def _to(x, target):
    """x on a device or in a dtype; x itself if it has that already."""
    if isinstance(target, str) and target in ("cpu", "cuda"):
        return x if x.device == target else To(device=target)(x)
    try:
        dtype = np.dtype(target)
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biuf" or (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        raise OptionError(
            f"to: {target!r} is neither a device ('cpu', 'cuda') nor a dtype that can be used ('float32', "
            "'float64', or a dtype of whole numbers)"
        )
    return x if x.dtype == dtype else To(dtype=dtype)(x)


def float32(input):
    """input in float32."""
    return to(input, "float32")


def float64(input):
    """input in float64."""
    return to(input, "float64")
