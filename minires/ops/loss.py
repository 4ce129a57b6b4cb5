"""Softmax and the losses."""

import numpy as np

from minires.backend import as_array, device_of, floating_dtype, kernels, reference
from minires.engine import Function, Tensor
from minires.errors import DeviceError, OptionError, ShapeError
from minires.ops.checks import as_tensors, axis_of
from minires.ops.elementwise import exp
from minires.options import check_choice, refuse_unless_default


class LogSoftmax(Function, computes_in=floating_dtype):
    """y = x - log sum e^x        gx = gy - e^y sum gy        sums along one axis"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        self.saved = y = reference.log_softmax(x, self.dim)
        return y

    def backward(self, gy):
        return gy - self.xp.exp(self.saved) * reference.precise_sum(gy, self.dim, keepdims=True)


class CrossEntropy(Function, computes_in=floating_dtype):
    """y_n = -log softmax(x_n)[t_n]        gx_n = gy_n (softmax(x_n) - onehot(t_n))

    x: (N, K), t: (N,) whole numbers in [0, K), y: (N,).
    """

    def __init__(self, labels):
        self.labels = labels.copy()  # a loader may overwrite the array before the backward pass

    def forward(self, x):
        y, self.saved = kernels.cross_entropy(x, self.labels)
        return y

    def backward(self, gy):
        return kernels.cross_entropy_gradient(gy, self.saved, self.labels)


class SquaredError(Function, computes_in=floating_dtype):
    """y = (x - t)^2        gx = 2 gy (x - t)        gt = -gx"""

    def forward(self, x, t):
        self.saved = d = x - t
        return d * d

    def backward(self, gy):
        gx = 2 * gy * self.saved
        return gx, -gx


def log_softmax(input, dim=None, *, dtype=None):
    """log(e^x / sum e^x) along `dim`, which may be left out for a vector or a matrix (N, K)."""
    refuse_unless_default("log_softmax", dtype=(dtype, None))
    (x,) = as_tensors("log_softmax", input)
    if dim is None and x.ndim > 2:
        raise OptionError(
            f"softmax, log_softmax: shape {x.shape} has several axes; give one, for example dim=1"
        )
    return LogSoftmax(axis_of("log_softmax", x.shape, -1 if dim is None else dim))(x)


def softmax(input, dim=None, *, dtype=None):
    """e^x / sum e^x along `dim`, which may be left out for a vector or a matrix (N, K)."""
    return exp(log_softmax(input, dim, dtype=dtype))


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
    label_smoothing=0.0,
):  # fmt: skip
    """-log softmax(input)[target] of logits (N, K) and whole-number labels (N,).

    reduction: "mean" over the N, "sum", or "none" for all N values. The other arguments are PyTorch's and not
        built here; OptionError for another value than the default.

    In float32 on a GPU the labels are not checked first, because the host would have to wait for them: there
    the loss of a label out of range is NaN.
    """
    refuse_unless_default(
        "cross_entropy", weight=(weight, None), size_average=(size_average, None), reduce=(reduce, None),
        ignore_index=(ignore_index, -100), label_smoothing=(label_smoothing, 0.0),
    )  # fmt: skip
    (x,) = as_tensors("cross_entropy", input)
    labels = target.data if isinstance(target, Tensor) else target
    labels = as_array(labels) if hasattr(labels, "dtype") else np.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1]:
        raise ShapeError(
            f"cross_entropy: logits {x.shape} and labels {labels.shape} do not fit; need (N, K), (N,)"
        )
    if labels.dtype.kind not in "iu":
        raise OptionError(
            f"cross_entropy: labels must be whole numbers, not {labels.dtype}; convert with .to('int64')"
        )
    if device_of(labels) != x.device:
        advice = "labels.to('cpu')" if x.device == "cpu" else "labels.to('cuda') or cupy.asarray(labels)"
        raise DeviceError(
            f"cross_entropy: the logits are on {x.device!r} but the labels on {device_of(labels)!r}; "
            f"move the labels first, with {advice}"
        )
    if not kernels.is_on_gpu(x.data):
        _check_range(labels, x.shape[1])
    return _reduce("cross_entropy", CrossEntropy(labels)(x), reduction)


def _check_range(labels, K):
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, K - 1)
    if low < 0 or high >= K:
        raise OptionError(
            f"cross_entropy: label {low if low < 0 else high} is out of range for {K} classes (0 to {K - 1})"
        )


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)^2 of two tensors of one shape; reduction: "mean", "sum" or "none".

    size_average, reduce and weight are PyTorch's; OptionError for another value than the default.
    """
    refuse_unless_default(
        "mse_loss", size_average=(size_average, None), reduce=(reduce, None), weight=(weight, None)
    )
    x, target = as_tensors("mse_loss", input, target)
    if x.shape != target.shape:
        raise ShapeError(f"mse_loss: input {x.shape} and target {target.shape} must have one shape")
    return _reduce("mse_loss", SquaredError()(x, target), reduction)


def _reduce(op, y, reduction):
    check_choice(f"{op}: reduction", reduction, ("mean", "sum", "none"))
    return y if reduction == "none" else getattr(y, reduction)()
