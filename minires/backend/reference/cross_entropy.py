"""Cross entropy of logits and labels, its gradient, and the sums over a run."""

from minires.backend.device import library
from minires.backend.reference.sums import precise_sum


def log_softmax(x, axis):
    """y = x - log sum e^x, along an axis."""
    xp = library(x)
    if not x.size:
        return x
    shifted = x - x.max(axis=axis, keepdims=True)  # the largest becomes 0: e^x cannot overflow
    return shifted - xp.log(precise_sum(xp.exp(shifted), axis, keepdims=True))


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
    """Add N times the mean loss (one element), the number of wrong predictions, and N to sums, float64 (3,).

    The prediction is the index of the largest of an image's logits, (N, K), the first if there are several.
    """
    sums[0] += len(logits) * loss.astype("float64").reshape(())
    sums[1] += (logits.argmax(axis=1) != labels).sum()
    sums[2] += len(logits)
