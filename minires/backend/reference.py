"""The hot kernels in their plain versions, one formula each: what the fast ones are checked against.

Every function takes arrays of NumPy or CuPy. Maps are (N, C, H, W), in any order in memory, which elementwise
results and borders take over.
"""

from minires.backend.batch_normalization import BatchNormalization
from minires.backend.device import library


def padded(x, window, value=0):
    """(N, C, H, W) -> (N, C, HP, WP) with a border of `value`."""
    (N, C, H, W), (top, left) = x.shape, window.padding
    y = library(x).full_like(x, value, shape=(N, C, *window.padded_size(H, W)))
    y[:, :, top : top + H, left : left + W] = x
    return y


def cropped(y, window, H, W):
    """(N, C, HP, WP) -> (N, C, H, W): the adjoint of `padded`."""
    top, left = window.padding
    return y[:, :, top : top + H, left : left + W]


def im2col(x, window):
    """Every position's window as one column: (N, C, H, W) -> (C*KH*KW, N*OH*OW).

    A view with one axis per coordinate picks the windows out of the padded map without moving anything; the
    reshape at the end is the one copy.
    """
    (N, C, *size), (KH, KW) = x.shape, window.size
    OH, OW = window.output_size(*size)
    x = padded(x, window)
    sN, sC, sH, sW = x.strides
    (SH, SW), (DH, DW) = window.stride, window.dilation
    columns = library(x).lib.stride_tricks.as_strided(
        x,
        shape=(C, KH, KW, N, OH, OW),
        strides=(sC, DH * sH, DW * sW, sN, SH * sH, SW * sW),
    )
    return columns.reshape(C * KH * KW, N * OH * OW)


def col2im(columns, shape, window):
    """Add every column back to where im2col took it from: the adjoint of im2col.

    columns: (C*KH*KW, N*OH*OW); shape: (N, C, H, W) of the result.
    """
    (N, C, H, W), (OH, OW) = shape, window.output_size(*shape[2:])
    columns = columns.reshape(C, *window.size, N, OH, OW)
    x = library(columns).zeros((N, C, *window.padded_size(H, W)), columns.dtype)
    for i, j, covered in window.taps(H, W):
        x[covered] += columns[:, i, j].swapaxes(0, 1)
    return cropped(x, window, H, W)


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    """y = W col(x) + b, group by group: (N, C, H, W), (O, C/G, KH, KW), (O,) -> (N, O, OH, OW).

    z: a map of the same shape to be added to it; relu: whether to end with max(y, 0).
    """
    (N, _, *size), O = x.shape, W.shape[0]
    columns = im2col(x, window).reshape(groups, W[0].size, -1)  # (G, C/G*KH*KW, N*OH*OW)
    y = W.reshape(groups, O // groups, -1) @ columns  # (G, O/G, N*OH*OW)
    y = y.reshape(O, N, *window.output_size(*size)).swapaxes(0, 1)
    y = y if b is None else y + b[:, None, None]
    y = y if z is None else y + z
    return library(y).maximum(y, 0) if relu else y


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape."""
    O = W.shape[0]
    gy = gy.swapaxes(0, 1).reshape(groups, O // groups, -1)  # (G, O/G, N*OH*OW)
    columns = W.reshape(groups, O // groups, -1).swapaxes(1, 2) @ gy  # (G, C/G*KH*KW, N*OH*OW)
    return col2im(columns, shape, window)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    O, *receptive = shape
    gy = gy.swapaxes(0, 1).reshape(groups, O // groups, -1)  # (G, O/G, N*OH*OW)
    columns = im2col(x, window).reshape(groups, -1, gy.shape[2])  # (G, C/G*KH*KW, N*OH*OW)
    return (gy @ columns.swapaxes(1, 2)).reshape(O, *receptive)


def matmul(a, b):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P)."""
    return a @ b


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    xp, (H, W) = library(x), x.shape[2:]
    x = padded(x, window, value=-xp.inf)
    y = None
    for _, _, covered in window.taps(H, W):
        y = x[covered] if y is None else xp.maximum(y, x[covered])
    return y


def max_pool_gradient(gy, x, y, window):
    """gx: each window hands its gradient to its first maximum, (N, C, OH, OW) -> (N, C, H, W)."""
    xp, (H, W) = library(x), x.shape[2:]
    x = padded(x, window, value=-xp.inf)
    gx = xp.zeros_like(x, dtype=gy.dtype)
    unclaimed = xp.ones_like(y, dtype=bool)
    for _, _, covered in window.taps(H, W):
        first = (x[covered] == y) & unclaimed
        gx[covered] += gy * first
        unclaimed &= ~first
    return cropped(gx, window, H, W)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    (N, C, H, W), xp = x.shape, library(x)
    x = padded(x, window)
    y = xp.zeros_like(x, shape=(N, C, *window.output_size(H, W)))
    for _, _, covered in window.taps(H, W):
        y += x[covered]
    return y


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""
    N, C, H, W = shape
    gx = library(gy).zeros_like(gy, shape=(N, C, *window.padded_size(H, W)))
    for _, _, covered in window.taps(H, W):
        gx[covered] += gy
    return cropped(gx, window, H, W)


def global_mean(x):
    """The mean of each channel of each image: (N, C, H, W) -> (N, C)."""
    return x.mean(axis=(2, 3))


def global_mean_gradient(gy, shape, dtype=None):
    """gx = gy / (H W) for every pixel: (N, C) -> shape (N, C, H, W)."""
    return library(gy).broadcast_to((gy / (shape[2] * shape[3]))[:, :, None, None], shape)


def per_channel(values, x):
    """(C,) -> (C, 1, ...), which broadcasts against x, (N, C, ...)."""
    return values.reshape(-1, *(1 for _ in x.shape[2:]))


def batch_statistics(x):
    """The mean and the biased variance of each channel of (N, C, ...): (C,), (C,)."""
    axes = (0, *range(2, x.ndim))
    return x.mean(axis=axes), x.var(axis=axes)


def batch_normalization(gamma, beta, statistics, eps, running=None, momentum=0.0, count=0):
    """The BatchNormalization with these statistics; gamma, beta: (C,).

    statistics: what batch_statistics returns; here that is (mean, var), on a GPU something that has yet to be
    brought to an end.
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
    split: return as well what went through the ReLU, the gradient of a map that was added before it.
    frozen: mean and var are constants.
    """
    axes = (0, *range(2, x.ndim))
    M = x.size // x.shape[1]
    g = gy if y is None else gy * (y > 0)
    scale = 1 / library(x).sqrt(norm.var + norm.eps)
    xhat = per_channel(scale, x) * (x - per_channel(norm.mean, x))
    gbeta, ggamma = g.sum(axis=axes), (g * xhat).sum(axis=axes)
    gx = g if frozen else g - per_channel(gbeta / M, x) - per_channel(ggamma / M, x) * xhat
    gx = per_channel(norm.gamma * scale, x) * gx
    return (gx, ggamma, gbeta, g) if split else (gx, ggamma, gbeta)


def log_softmax(x, axis):
    """y = x - log sum e^x, along an axis."""
    xp = library(x)
    shifted = x - x.max(axis=axis, keepdims=True)  # the largest becomes 0: e^x cannot overflow
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


def cross_entropy(x, labels):
    """losses (N,), -log softmax(x_n)[label_n], and log softmax (N, K) of logits (N, K) and labels (N,)."""
    log_p = log_softmax(x, 1)
    return -log_p[library(x).arange(len(x)), labels], log_p


def cross_entropy_gradient(gy, log_p, labels):
    """gx_n = gy_n (softmax(x_n) - onehot(label_n)): (N,), (N, K), (N,) -> (N, K)."""
    xp = library(log_p)
    gx = xp.exp(log_p)
    gx[xp.arange(len(gx)), labels] -= 1
    gx *= gy[:, None]
    return gx


def count_batch(sums, loss, logits, labels):
    """Add to sums, float64 (3,): N times the mean loss, one element, how many predictions are wrong, and N.

    The prediction is the place of the largest of an image's logits, (N, K), the first if there are several.
    """
    sums[0] += len(logits) * loss.astype("float64").reshape(())
    sums[1] += (logits.argmax(axis=1) != labels).sum()
    sums[2] += len(logits)


def sgd_update(parameters, gradients, velocities, rate, momentum, weight_decay, nesterov, workspace=None):
    """p and v of stochastic gradient descent, formulas in optim/sgd.py, in place; None for no gradient.

    workspace: a dict that the optimizer keeps from one call to the next; a GPU's kernel puts there what it
        needs again, and this one nothing.
    """
    for p, g, v in zip(parameters, gradients, velocities, strict=True):
        if g is None:
            continue
        if weight_decay:
            g = g + weight_decay * p
        v *= momentum
        v += g
        p -= rate * (g + momentum * v if nesterov else v)


def relu(x):
    """y = max(x, 0), element by element."""
    return library(x).maximum(x, 0)


def relu_gradient(gy, y):
    """gx = gy where y > 0, else 0."""
    return gy * (y > 0)


def add(a, b):
    """y = a + b, broadcasting."""
    return a + b


def convolution_and_statistics(x, W, window, groups):
    """y = W col(x), and the statistics of y's channels, as of batch_statistics."""
    y = convolution(x, W, window, groups)
    return y, batch_statistics(y)


def normalized_convolution(u, norm, W, window, groups):
    """y = W col(a), a = max(scale u + shift, 0), and the statistics of y's channels."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_and_statistics(a, W, window, groups)


def normalized_convolution_input_gradient(gy, W, u, norm, window, groups):
    """gu, ggamma, gbeta: through the convolution of normalized_convolution, its ReLU and its batch norm."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    ga = convolution_input_gradient(gy, W, u.shape, window, groups)
    return batch_norm_gradient(ga, u, norm, y=a)


def normalized_convolution_weight_gradient(gy, u, norm, shape, window, groups):
    """gW = gy col(a)^T, a = max(scale u + shift, 0)."""
    a = scale_and_shift(u, norm.scale, norm.shift, relu=True)
    return convolution_weight_gradient(gy, a, shape, window, groups)
