"""Normalization: over the batch (batch norm), and across neighbouring channels (AlexNet's)."""

import math
from numbers import Integral, Real

from minires.backend import arithmetic_dtype, floating_dtype, kernels, library, same_library
from minires.engine import Function, Tensor
from minires.errors import OptionError, ShapeError
from minires.ops.checks import as_tensors, check_same_float
from minires.ops.epilogue import add_and_relu, kernel_can_add
from minires.options import check_flags


class BatchNorm(Function):
    """y = gamma xhat + beta,    xhat = (x - mean) / sqrt(var + eps)

    gbeta = sum gy        ggamma = sum gy xhat
    gx    = gamma / sqrt(var + eps) (gy - gbeta / M - xhat ggamma / M)

    The sums, mean and var are those of each channel, over its M = N*H*W values. x, y: (N, C, ...), gamma,
    beta: (C,). Source: Ioffe and Szegedy 2015, Algorithm 1 and section 3.

    added, relu: whether a map z, the last input, is added, and whether a ReLU follows. With both,
        y = max(gamma xhat + beta + z, 0), and gz = 0 where y <= 0, else gy, takes the place of gy above.
    statistics: those of x, as kernels.batch_statistics returns them, if they are known already.
    update: the arguments running, momentum and count of kernels.batch_normalization.
    """

    frozen = False

    def __init__(self, eps, statistics=None, *, added=False, relu=False, **update):
        self.eps, self.statistics, self.update = eps, statistics, update
        self.added, self.relu = added, relu
        self.fresh_gradients = relu or not added  # without a ReLU, gz is gy itself

    def normalization(self, x, gamma, beta):
        """The BatchNormalization of x; the running statistics move."""
        statistics = kernels.batch_statistics(x) if self.statistics is None else self.statistics
        return kernels.batch_normalization(gamma, beta, statistics, self.eps, **self.update)

    def forward(self, x, gamma, beta, z=None):
        norm = self.normalization(x, gamma, beta)
        y = kernels.scale_and_shift(x, norm.scale, norm.shift, z, relu=self.relu)
        self.saved = x, gamma, norm, y if self.relu else None  # gamma is in norm; here, its change is noticed
        return y

    def backward(self, gy):
        x, _, norm, y = self.saved
        return kernels.batch_norm_gradient(gy, x, norm, y, split=self.added, frozen=self.frozen)


class FrozenBatchNorm(BatchNorm):
    """y = gamma xhat + beta,    xhat = (x - mean) / sqrt(var + eps),    with given statistics

    gbeta = sum gy        ggamma = sum gy xhat        gx = gamma / sqrt(var + eps) gy

    Batch norm in evaluation: the `statistics` (mean, var), each (C,), are constants.
    """

    frozen = True


class LocalResponseNorm(Function, computes_in=floating_dtype):
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
            target = slice(max(0, -shift), C - max(0, shift))
            source = slice(max(0, shift), C - max(0, -shift))
            if abs(shift) < C:
                total[:, target] += x[:, source]
        return total


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5, *,
    add=None, relu=False, statistics=None,
):  # fmt: skip
    """Batch normalization of (N, C, ...) per channel.

    Training uses the batch's statistics s and changes the running statistics r, Tensors of shape (C,), in
    place: r = (1 - momentum) r + momentum s, with the unbiased variance. Evaluation uses r. In training r may
    be None, and nothing is kept. A weight of None is 1, a bias of None is 0.

    add: a tensor, array or number to add to the result. relu: whether max(result, 0) is returned. A map of
        the result's shape, dtype and device is added, and the ReLU applied, while the result is written; for
        any other addend both are operations of their own.
    statistics: those of x, in training only, if conv2d_and_statistics has computed them.
    Raises ShapeError or OptionError that names the argument that does not fit.
    """
    (x,) = as_tensors("batch_norm", input)
    weight = constant_vector(1, x) if weight is None else weight
    bias = constant_vector(0, x) if bias is None else bias
    weight, bias = as_tensors("batch_norm, weight and bias", weight, bias)
    arguments = x, running_mean, running_var, weight, bias, training, momentum, eps, statistics
    if add is None:
        return batch_norm_operation(*arguments, relu=relu)(x, weight, bias)
    if kernel_can_add(add, x.shape, x):
        return batch_norm_operation(*arguments, added=True, relu=relu)(x, weight, bias, add)
    return add_and_relu(batch_norm_operation(*arguments)(x, weight, bias), add, relu)


def constant_vector(value, x):
    """The number for each channel of x, (C,), in the dtype of the parameters that fit x."""
    return library(x.data).full(x.shape[1:2], value, arithmetic_dtype(x))


def batch_norm_operation(
    x, running_mean, running_var, weight, bias, training, momentum, eps, statistics=None, **options
):
    """The BatchNorm or FrozenBatchNorm to call on x; ShapeError or OptionError where it does not fit."""
    check_flags(training=training)
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: input {x.shape} has no channels; it needs (N, C, ...) and (C,)")
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    keeps_statistics = running_mean is not None or running_var is not None
    if training and not keeps_statistics:
        del vectors["running_mean"], vectors["running_var"]
    shapes = {name: getattr(vector, "shape", None) for name, vector in vectors.items()}
    if misfits := [f"{name} {shape}" for name, shape in shapes.items() if shape != x.shape[1:2]]:
        raise ShapeError(
            f"batch_norm: input {x.shape} does not fit {', '.join(misfits)}; it needs (N, C, ...) and (C,)"
        )
    check_same_float("batch_norm", x, weight, bias)
    check_numbers("batch_norm", eps=eps, momentum=momentum)
    running = None
    if keeps_statistics:
        tensors = as_tensors("batch_norm, running_mean and running_var", running_mean, running_var)
        running = tuple(tensor.data for tensor in tensors)
    same_library([weight.data, *(running or ())], "batch_norm, weight and statistics")
    for r in (running_mean, running_var):
        if training and isinstance(r, Tensor):
            r.changed()  # the forward pass will change it
    if not training:
        if statistics is not None:
            raise OptionError(
                "batch_norm: statistics are for training; evaluation uses the running statistics"
            )
        # Copies: a training step of the same layer may change them before backward needs them.
        return FrozenBatchNorm(eps, tuple(r.copy() for r in running), **options)
    M = math.prod(x.shape) // max(x.shape[1], 1)
    if M == 1:
        raise ShapeError(
            f"batch_norm: in training each channel needs more than one value, input {x.shape} has {M}"
        )
    running = running if M else None  # an empty batch has no statistics
    return BatchNorm(eps, statistics, running=running, momentum=momentum, count=M, **options)


def check_numbers(op, eps, momentum):
    """OptionError unless eps is a positive number and momentum a number."""
    for name, value in {"eps": eps, "momentum": momentum}.items():
        if not isinstance(value, Real) or not (name == "momentum" or value > 0):
            expected = "a positive number" if name == "eps" else "a number"
            raise OptionError(f"{op}: {name} must be {expected}, not {value!r}")


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta, for x of shape (N, C, ...).

    AlexNet's constants are size=5, alpha=5e-4 (its 1e-4 is not divided by 5), beta=0.75, k=2.
    """
    (x,) = as_tensors("local_response_norm", input)
    if not isinstance(size, Integral) or size < 1:
        raise OptionError(f"local_response_norm: size must be a positive whole number, not {size!r}")
    for name, value in {"alpha": alpha, "beta": beta, "k": k}.items():
        if not isinstance(value, Real):
            raise OptionError(f"local_response_norm: {name} must be a number, not {value!r}")
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: the input must be (N, C, ...), not {x.shape}")
    return LocalResponseNorm(size, alpha, beta, k)(x)
