"""Batch norm in its steps: statistics, scale and shift, the gradient, and folding into a convolution."""

from minires.backend.batch_normalization import BatchNormalization
from minires.backend.device import library
from minires.backend.reference.elementwise import relu_gradient
from minires.backend.reference.sums import precise_mean, precise_sum


def per_channel(values, x):
    """(C,) -> (C, 1, ...), which broadcasts against x, (N, C, ...)."""
    return values.reshape(-1, *(1 for _ in x.shape[2:]))


def all_but_channels(x):
    """The axes of (N, C, ...) without that of the channels."""
    return 0, *range(2, x.ndim)


def channel_sum(x, dtype=None):
    """The sum of each channel of (N, C, ...): (C,), in x's dtype or in another one."""
    return precise_sum(x, all_but_channels(x), dtype=dtype)


def batch_statistics(x):
    """The mean and the biased variance of each channel of (N, C, ...): (C,), (C,)."""
    mean = precise_mean(x, all_but_channels(x))
    return mean, precise_mean((x - per_channel(mean, x)) ** 2, all_but_channels(x))


def batch_normalization(gamma, beta, statistics, eps, running=None, momentum=0.0, count=0):
    """The BatchNormalization with these statistics; gamma, beta: (C,).

    statistics: what batch_statistics returns: here (mean, var), on a GPU partial results that are still to be
    combined.
    running: (running_mean, running_var), which move in place towards the statistics s of a batch of `count`
    values: r = (1 - momentum) r + momentum s, with the unbiased variance.
    """
    mean, var = statistics
    if running:
        for r, s in zip(running, (mean, var * (count / (count - 1))), strict=True):
            r *= 1 - momentum
            r += momentum * s
    scale = gamma / library(gamma).sqrt(var + eps)
    return BatchNormalization(mean, var, scale, beta - mean * scale, gamma, eps)


def folded_weights(W, b, gamma, beta, statistics, eps):
    """W' and b' of the one convolution that equals a convolution and then batch norm with given statistics:

    gamma (W col(x) + b - mean) / s + beta = W' col(x) + b',    s = sqrt(var + eps)
    W' = gamma / s W        b' = gamma / s (b - mean) + beta

    W: (C, ...); b: (C,) or None for 0; statistics: (mean, var); gamma, beta, mean, var: (C,).
    """
    mean, var = statistics
    scale = gamma / library(gamma).sqrt(var + eps)
    b = -mean if b is None else b - mean
    return scale.reshape(-1, *(1 for _ in W.shape[1:])) * W, scale * b + beta


def scale_and_shift(x, scale, shift, z=None, relu=False):
    """y = scale x + shift for each channel, plus the map z, and without its negative part if `relu`.

    x, y, z: (N, C, ...), scale, shift: (C,).
    """
    y = per_channel(scale, x) * x + per_channel(shift, x)
    y = y if z is None else y + z
    return library(x).maximum(y, 0) if relu else y


def batch_norm_gradient(gy, x, norm, y=None, split=False, frozen=False):
    """gx, ggamma, gbeta of batch norm, formulas in ops/norm.py; with `y`, the output of a ReLU behind it,
    also through that ReLU.

    norm: its BatchNormalization.
    split: whether to return also the gradient before the ReLU, that of a map that was added there.
    frozen: mean and var are constants.
    """
    M = max(1, x.size // max(1, x.shape[1]))  # a map without pixels has nothing to divide
    g = gy if y is None else relu_gradient(gy, y)
    scale = 1 / library(x).sqrt(norm.var + norm.eps)
    xhat = per_channel(scale, x) * (x - per_channel(norm.mean, x))
    gbeta, ggamma = channel_sum(g), channel_sum(g * xhat)
    gx = g if frozen else g - per_channel(gbeta / M, x) - per_channel(ggamma / M, x) * xhat
    gx = per_channel(norm.gamma * scale, x) * gx
    return (gx, ggamma, gbeta, g) if split else (gx, ggamma, gbeta)
