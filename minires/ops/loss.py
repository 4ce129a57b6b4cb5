"""Softmax and the losses."""

import numpy as np

from minires.backend import device_of, kernels, reference
from minires.engine import Function, Tensor
from minires.engine.function import as_tensors
from minires.errors import DeviceError, OptionError, ShapeError
from minires.ops.elementwise import exp


class LogSoftmax(Function):
    """y = x - log sum e^x        gx = gy - e^y sum gy        sums along one axis"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        self.saved = y = reference.log_softmax(x, self.dim)
        return y

    def backward(self, gy):
        return gy - self.xp.exp(self.saved) * gy.sum(axis=self.dim, keepdims=True)


class CrossEntropy(Function):
    """y_n = -log softmax(x_n)[t_n]        gx_n = gy_n (softmax(x_n) - onehot(t_n))

    x: (N, K), t: (N,) whole numbers in [0, K), y: (N,).
    """

    def __init__(self, labels):
        self.labels = labels

    def forward(self, x):
        y, self.saved = kernels.cross_entropy(x, self.labels)
        return y

    def backward(self, gy):
        return kernels.cross_entropy_gradient(gy, self.saved, self.labels)


class SquaredError(Function):
    """y = (x - t)^2        gx = 2 gy (x - t)        gt = -gx"""

    def forward(self, x, t):
        self.saved = d = x - t
        return d * d

    def backward(self, gy):
        gx = 2 * gy * self.saved
        return gx, -gx


def log_softmax(x, dim=-1):
    """log(e^x / sum e^x) along `dim`."""
    return LogSoftmax(dim)(x)


def softmax(x, dim=-1):
    """e^x / sum e^x along `dim`."""
    return exp(log_softmax(x, dim))


def cross_entropy(x, labels, reduction="mean"):
    """-log softmax(x)[label] of logits (N, K) and whole-number labels (N,).

    reduction: "mean" over the N, "sum", or "none" for all N values.

    In float32 on a GPU the labels are not checked first, because the host would have to wait for them: there
    the loss of a label out of range is NaN.
    """
    (x,) = as_tensors((x,))
    labels = labels.data if isinstance(labels, Tensor) else labels
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
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
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high >= K:
        raise OptionError(
            f"cross_entropy: label {low if low < 0 else high} is out of range for {K} classes (0 to {K - 1})"
        )


def mse_loss(x, target, reduction="mean"):
    """(x - target)^2 of two tensors of one shape; reduction: "mean", "sum" or "none"."""
    if x.shape != target.shape:
        raise ShapeError(f"mse_loss: input {x.shape} and target {target.shape} must have one shape")
    return _reduce("mse_loss", SquaredError()(x, target), reduction)


def _reduce(op, y, reduction):
    if reduction not in ("mean", "sum", "none"):
        raise OptionError(f"{op}: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    return y if reduction == "none" else getattr(y, reduction)()
