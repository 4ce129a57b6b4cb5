"""Normalization: over the batch (batch norm), and across neighbouring channels (AlexNet's)."""

import math

from minires.backend import kernels, same_library
from minires.engine import Function
from minires.engine.function import as_tensors
from minires.errors import OptionError, ShapeError
from minires.ops.fusion import Joinable, OpenTensor, join_scale
from minires.ops.window import same_float


class BatchNorm(Joinable):
    """y = gamma xhat + beta,    xhat = (x - mean) / sqrt(var + eps),    statistics over the M = N*H*W values

    gbeta = sum gy        ggamma = sum gy xhat
    gx    = gamma / sqrt(var + eps) (gy - gbeta / M - xhat ggamma / M)

    each channel on its own. x, y: (N, C, ...), gamma, beta: (C,). After a call `mean` and `var` (biased) hold
    the batch's statistics, (C,). Source: Ioffe and Szegedy 2015, Algorithm 1 and section 3.

    What follows may join in (fusion.py): y = max(gamma xhat + beta + z, 0), gz = gy where y > 0, and this gz
    in place of gy above.
    """

    frozen = False

    def __init__(self, eps, statistics=None, **following):
        self.eps, self.statistics = eps, statistics
        self.following = following  # what moves the running statistics, see kernels.batch_norm_factors

    @property
    def fresh_gradients(self):
        return self.relu or not self.added  # without a ReLU, gz is gy itself

    def measure(self, x):
        """The statistics of x; those that the convolution before has taken already, if it has."""
        return kernels.batch_statistics(x) if self.statistics is None else self.statistics

    def forward(self, x, gamma, beta, z=None):
        if not self.joined:
            self.mean, self.var, self.scale, self.shift = self.factors(self.measure(x), gamma, beta)

        def compute():
            return kernels.scale_and_shift(x, self.scale, self.shift, z, relu=self.relu)

        through = self.relu and z is None and not self.frozen and kernels.reads_through_batch_norm(x)
        y = self.open(compute, x.shape, x.dtype, through)
        # What is open must not be kept by its own operation, or it would be computed for nobody.
        self.saved = x, gamma, y if self.relu and not isinstance(y, OpenTensor) else None
        return y

    def factors(self, statistics, gamma, beta):
        """mean, var, and scale and shift of y = scale x + shift, (C,) each."""
        return kernels.batch_norm_factors(gamma, beta, statistics, self.eps, **self.following)

    def backward(self, gy):
        x, gamma, y = self.saved
        split = len(self.needs_grad) == 4
        if self.relu and y is None:
            y = kernels.scale_and_shift(x, self.scale, self.shift, relu=True)
        return kernels.batch_norm_gradient(
            gy, x, gamma, self.mean, self.var, self.eps, y=y, split=split, frozen=self.frozen
        )


class FrozenBatchNorm(BatchNorm):
    """y = gamma xhat + beta,    xhat = (x - mean) / sqrt(var + eps),    with given statistics

    gbeta = sum gy        ggamma = sum gy xhat        gx = gamma / sqrt(var + eps) gy

    What batch norm does in evaluation: mean and var, (C,), are constants.
    """

    frozen = True

    def __init__(self, mean, var, eps):
        super().__init__(eps, (mean, var))


class LocalResponseNorm(Function):
    """y = x / d^beta,    d_c = k + alpha / n sum over the n channels j around c of x_j^2

    gx_c = gy_c / d_c^beta - 2 alpha beta / n x_c sum over the j whose window holds c of gy_j y_j / d_j

    x, y: (N, C, ...). Source: Krizhevsky et al. 2012, section 3.3, with PyTorch's alpha / n for their alpha.
    """

    def __init__(self, n, alpha, beta, k):
        self.n, self.alpha, self.beta, self.k = n, alpha, beta, k

    def forward(self, x):
        d = self.k + self.alpha / self.n * self._neighbour_sum(x * x, before=self.n // 2)
        y = x * d**-self.beta
        self.saved = x, y, d
        return y

    def backward(self, gy):
        x, y, d = self.saved
        inner = self._neighbour_sum(gy * y / d, before=(self.n - 1) // 2)
        return gy * d**-self.beta - (2 * self.alpha * self.beta / self.n) * x * inner

    def _neighbour_sum(self, x, before):
        """s[:, c] = sum of x[:, c - before : c - before + n], as far as these channels exist."""
        C = x.shape[1]
        total = self.xp.zeros(x.shape, x.dtype)
        for shift in range(-before, self.n - before):
            here = slice(max(0, -shift), C - max(0, shift))
            there = slice(max(0, shift), C - max(0, -shift))
            if abs(shift) < C:
                total[:, here] += x[:, there]
        return total


def batch_norm(x, running_mean, running_var, weight, bias, training=False, momentum=0.1, eps=1e-5):
    """Batch normalization of (N, C, ...) per channel.

    In training with the batch's own statistics, which also move the running ones, Tensors of shape (C,) that
    are changed in place: r = (1 - momentum) r + momentum s, the variance among them unbiased. Otherwise with
    the running ones.
    """
    if x.ndim < 2 or any(t.shape != x.shape[1:2] for t in (running_mean, running_var, weight, bias)):
        raise ShapeError(
            f"batch_norm: input {x.shape} does not fit weight {weight.shape}; it needs (N, C, ...), (C,)"
        )
    x, weight, bias = as_tensors((x, weight, bias))
    same_float("batch_norm", x, weight, bias)
    same_library([weight.data, running_mean.data, running_var.data], "batch_norm, weight and statistics")
    if not training:
        op = FrozenBatchNorm(running_mean.data, running_var.data, eps)
        y = join_scale(x, lambda: op.factors(op.statistics, weight.data, bias.data)[2:])
        return op(x, weight, bias) if y is None else y
    M = math.prod(x.shape) // max(x.shape[1], 1)
    if M < 2:
        raise ShapeError(
            f"batch_norm: in training each channel needs more than one value, input {x.shape} has {M}"
        )
    running = running_mean.data, running_var.data
    taken = getattr(x.creator, "output_statistics", None)
    return BatchNorm(eps, taken, running=running, momentum=momentum, count=M)(x, weight, bias)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta, for x of shape (N, C, ...).

    AlexNet's constants are size=5, alpha=5e-4 (its 1e-4 is not divided by 5), beta=0.75, k=2.
    """
    if size < 1:
        raise OptionError(f"local_response_norm: size must be at least 1, not {size}")
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: the input must be (N, C, ...), not {x.shape}")
    return LocalResponseNorm(size, alpha, beta, k)(x)
