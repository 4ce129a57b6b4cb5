"""Pooling: maximum, sum and global mean, with their gradients."""

from minires.backend.device import library
from minires.backend.reference.convolution import cropped, padded
from minires.backend.reference.elementwise import select
from minires.backend.reference.sums import precise_mean

PRECISE_FROM_PIXELS = 32  # pixels under a window, whose sum is then taken in float64, see sums.py


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    xp, (H, W) = library(x), x.shape[2:]
    x = padded(x, window, value=-xp.inf)
    y = None
    for _, _, covered in window.taps(H, W):
        y = x[covered] if y is None else xp.maximum(y, x[covered])
    return y


def max_pool_gradient(gy, x, y, window):
    """gx: each window hands its gradient to its first maximum, (N, C, OH, OW) -> (N, C, H, W).

    A window that holds NaN hands it to its last NaN (PyTorch's choice).
    """
    xp, (H, W) = library(x), x.shape[2:]
    # The border must not look like a maximum: -inf is that of a window with nothing larger.
    is_pixel = padded(xp.ones_like(x[:1, :1], dtype=bool), window, value=False)
    x = padded(x, window)
    gx = xp.zeros_like(x, dtype=gy.dtype)
    unclaimed = xp.ones_like(y, dtype=bool)
    covered_by_taps = [covered for _, _, covered in window.taps(H, W)]

    def claim(covered, candidates):
        nonlocal unclaimed
        claimed = candidates & is_pixel[covered] & unclaimed
        gx[covered] += select(claimed, gy)
        unclaimed = unclaimed & ~claimed

    for covered in covered_by_taps:
        claim(covered, x[covered] == y)
    if unclaimed.any():
        for covered in reversed(covered_by_taps):
            claim(covered, xp.isnan(x[covered]))
    return cropped(gx, window, H, W)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    (N, C, H, W), xp = x.shape, library(x)
    x = padded(x, window)
    is_large = window.size[0] * window.size[1] >= PRECISE_FROM_PIXELS
    dtype = xp.float64 if is_large else x.dtype
    y = xp.zeros_like(x, shape=(N, C, *window.output_size(H, W)), dtype=dtype)
    for _, _, covered in window.taps(H, W):
        y += x[covered]
    return y.astype(x.dtype, copy=False)


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""
    N, C, H, W = shape
    gx = library(gy).zeros_like(gy, shape=(N, C, *window.padded_size(H, W)))
    for _, _, covered in window.taps(H, W):
        gx[covered] += gy
    return cropped(gx, window, H, W)


def global_mean(x):
    """The mean of each channel of each image: (N, C, H, W) -> (N, C)."""
    return precise_mean(x, (2, 3))


def global_mean_gradient(gy, shape, dtype=None):
    """gx = gy / (H W) for every pixel: (N, C) -> shape (N, C, H, W); dtype: for the GPU's version only."""
    return library(gy).broadcast_to((gy / (shape[2] * shape[3]))[:, :, None, None], shape)
