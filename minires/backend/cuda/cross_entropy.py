"""Softmax, cross-entropy, and counting the losses and errors of a batch, on a GPU. See cross_entropy.cu."""

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP
from minires.backend.device import library

FILE = "cross_entropy.cu"
WARPS = 4  # of a block; each warp computes a row of logits
MOST_WARPS = 32  # of the single block of count_batch


def cross_entropy(x, labels):
    """losses (N,) and log softmax (N, K) of logits (N, K) and labels (N,).

    For a label that is not a class, the loss is NaN, and so is the gradient of this row.
    """
    xp, (N, K) = library(x), x.shape
    losses, log_p = xp.empty((N,), "float32"), xp.empty((N, K), "float32")
    if N:
        arguments = xp.ascontiguousarray(x, "float32"), _labels(labels), N, K, losses, log_p
        launch(FILE, "cross_entropy", blocks_for(N, WARPS), WARPS * WARP, *arguments)
    return losses, log_p


def cross_entropy_gradient(gy, log_p, labels):
    """gx_n = gy_n (softmax(x_n) - onehot(label_n)): (N,), (N, K), (N,) -> (N, K)."""
    xp, (N, K) = library(log_p), log_p.shape
    gx = xp.empty((N, K), "float32")
    if N:
        arguments = xp.ascontiguousarray(gy, "float32"), log_p, _labels(labels), N, K, gx
        launch(FILE, "cross_entropy_gradient", blocks_for(N, WARPS), WARPS * WARP, *arguments)
    return gx


def count_batch(sums, loss, logits, labels):
    """sums += (N loss, wrong predictions, N), float64 (3,)."""
    xp, (N, K) = library(logits), logits.shape
    if N:
        warps = min(N, MOST_WARPS)
        arguments = sums, loss, xp.ascontiguousarray(logits, "float32"), _labels(labels), N, K
        launch(FILE, "count_batch", 1, warps * WARP, *arguments, shared=4 * warps)


def _labels(labels):
    return library(labels).ascontiguousarray(labels, "int64")
