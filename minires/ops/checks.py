"""Checks of what operations require of their arguments, before a kernel runs."""

from functools import cache
from numbers import Real
from operator import index

from minires.backend import arithmetic_dtype, operand
from minires.backend.window import Window
from minires.engine import Tensor
from minires.errors import OptionError, ShapeError


def check_same_float(op, *tensors):
    """OptionError unless all are float32 or all float64: NumPy would compute a mixture in float64, slowly.

    The first tensor, a map, may be stored in a narrower dtype than kernels compute with (backend/dtypes.py).
    """
    dtypes = [arithmetic_dtype(tensors[0]), *(tensor.dtype for tensor in tensors[1:])]
    if dtypes.count(dtypes[0]) < len(dtypes) or dtypes[0].kind != "f":
        raise OptionError(
            f"{op}: the inputs are {', '.join(map(str, dtypes))}, but must all be float32 or all float64; "
            "convert with .to('float32') or model.to('float64')"
        )


def as_tensors(op, *inputs):
    """Each input as a Tensor; DtypeError names the operation and the position of what holds no numbers."""
    return [
        x if isinstance(x, Tensor) else Tensor(x if isinstance(x, Real) else operand(x, op, i))
        for i, x in enumerate(inputs)
    ]


def axis_of(op, shape, dim):
    """The axis `dim` of a shape, counted from the front; ShapeError if there is none of this number.

    As in PyTorch, 0 and -1 stand for the axis of a single number, which has none; there the result is 0.
    """
    try:
        axis = index(None if isinstance(dim, bool) else dim)
    except TypeError as error:
        raise OptionError(f"{op}: dim must be a whole number, not {dim!r}") from error
    ndim = max(len(shape), 1)
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{op}: axis {axis} is out of range for shape {shape}")
    return axis % ndim


def axes_of(op, x, dim):
    """The axes `dim` of x, counted from the front, as a tuple: all for None and ().

    Raises ShapeError for an axis that x does not have or that is named twice.
    """
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(x.ndim))
    axes = [axis_of(op, x.shape, d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{op}: dim {dim!r} names an axis of shape {x.shape} twice")
    return tuple(axes) if x.ndim else ()


def pair(value, name):
    """(value, value) for one whole number, a pair as it is, OptionError for anything else."""
    try:
        first, second = value if isinstance(value, (tuple, list)) else (value, value)
        return index(first), index(second)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{name} must be a whole number or a pair of them, not {value!r}") from error


def sliding_window(op, shape, size, stride=1, padding=0, dilation=1, ceil_mode=False):
    """The Window of `op` over a map of this shape; ShapeError or OptionError where it does not fit."""
    window = checked_window(
        op,
        pair(size, f"{op}: kernel_size"),
        pair(stride, f"{op}: stride"),
        pair(padding, f"{op}: padding"),
        pair(dilation, f"{op}: dilation"),
        ceil_mode,
    )
    if len(shape) != 4:
        raise ShapeError(f"{op}: the input must be (N, C, H, W), not {shape}")
    if min(window.output_size(*shape[2:])) < 1:
        raise ShapeError(
            f"{op}: a {window.size} window, dilation {window.dilation}, exceeds input {shape} "
            f"padded by {window.padding}"
        )
    return window


@cache  # a network needs the same few windows at every call
def checked_window(op, size, stride, padding, dilation, ceil_mode):
    """The Window of these pairs of whole numbers; OptionError if one of them is out of range."""
    if min(size + stride + dilation) < 1 or min(padding) < 0:
        raise OptionError(
            f"{op}: kernel_size {size}, stride {stride} and dilation {dilation} must be positive, "
            f"padding {padding} at least 0"
        )
    return Window(size, stride, padding, dilation, ceil_mode)
