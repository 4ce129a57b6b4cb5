"""Every operation with inputs to nudge: the first table of gradients.py.

Inputs stay away from kinks and ties: the entries of `spread` differ by at least 0.1 from each other and by at
least 0.05 from 0, which is far more than the nudge.
"""

import numpy as np

from minires import ops
from minires.engine import Tensor


def spread(*shape):
    """Numbers of both signs, 0.1 apart, half a step away from 0, in a random order."""
    n = int(np.prod(shape))
    values = 0.1 * (np.arange(n) - n // 2) + 0.05
    return np.random.default_rng(n).permutation(values).reshape(shape)


def positive(*shape):
    """Numbers between 0.5 and 2."""
    return np.asarray(np.random.default_rng(1).uniform(0.5, 2, shape))


def noise(*shape):
    """Numbers from the standard normal distribution."""
    return np.random.default_rng(2).standard_normal(shape)


def batch_norm(training, relu=False):
    """Batch norm as a function of x, gamma, beta, and of a map to add if there is one."""

    def f(x, gamma, beta, add=None):
        mean, var = (Tensor(np.full(3, value)).to(x.dtype).to(x.device) for value in (0.1, 1.5))
        return ops.batch_norm(x, mean, var, gamma, beta, training, add=add, relu=relu)

    return f


def fixed_dropout(x):
    return ops.dropout(x, 0.4, generator=np.random.default_rng(3))


LABELS = Tensor(np.array([0, 4, 2]))

# operation: (function, inputs), or a list of such pairs where its options use different code
OPERATIONS = {
    "add": (ops.add, [noise(3, 4), noise(4)]),
    "sub": (ops.sub, [noise(3, 1), noise(4)]),
    "mul": (ops.mul, [noise(2, 3, 4), noise(3, 1)]),
    "div": (ops.div, [noise(3, 4), positive(4)]),
    "neg": (ops.neg, [noise(3, 4)]),
    "pow": [(ops.pow, [positive(3, 4), noise(4)]), (lambda x: x**3, [noise(3, 4)])],
    "exp": (ops.exp, [noise(3, 4)]),
    "log": (ops.log, [positive(3, 4)]),
    "sqrt": (ops.sqrt, [positive(3, 4)]),
    "abs": (ops.abs, [spread(3, 4)]),
    "maximum": (ops.maximum, [spread(3, 4), spread(2, 3, 4)[1] + 0.03]),
    "minimum": (ops.minimum, [spread(3, 4), spread(2, 3, 4)[1] + 0.03]),
    "clip": [
        (lambda x: ops.clip(x, -0.3, 0.4), [spread(3, 4)]),
        (ops.clip, [spread(3, 4), spread(2, 3, 4)[1] - 0.42, spread(2, 3, 4)[1] + 0.43]),
    ],
    "sigmoid": (ops.sigmoid, [noise(3, 4)]),
    "tanh": (ops.tanh, [noise(3, 4)]),
    "relu": (ops.relu, [spread(3, 4)]),
    "sum": [(lambda x: ops.sum(x, (0, 2)), [noise(2, 3, 4)]), (ops.sum, [noise(3, 4)])],
    "mean": [(lambda x: ops.mean(x, 1), [noise(2, 3, 4)]), (ops.mean, [noise(3, 4)])],
    "max": [(lambda x: ops.max(x, 1, keepdim=True)[0], [spread(2, 3, 4)]), (ops.max, [spread(3, 4)])],
    "min": [(lambda x: ops.min(x, 1)[0], [spread(2, 3, 4)]), (ops.min, [spread(3, 4)])],
    "amax": (lambda x: ops.amax(x, (0, 2), keepdim=True), [spread(2, 3, 4)]),
    "amin": (lambda x: ops.amin(x, (0, 2)), [spread(2, 3, 4)]),
    "var": [(lambda x: ops.var(x, (0, 2)), [noise(2, 3, 4)]), (ops.var, [noise(3, 4)])],
    "squeeze": (ops.squeeze, [noise(3, 1, 4)]),
    "unsqueeze": (lambda x: ops.unsqueeze(x, 1), [noise(3, 4)]),
    "reshape": (lambda x: ops.reshape(x, 4, -1), [noise(2, 3, 4)]),
    "transpose": (lambda x: ops.transpose(x, 0, 2), [noise(2, 3, 4)]),
    "permute": (lambda x: ops.permute(x, 1, 2, 0), [noise(2, 3, 4)]),
    "getitem": [(lambda x: x[1:, ::2], [noise(3, 4)]), (lambda x: x[[0, 2, 0]], [noise(3, 4)])],
    "pad": (lambda x: ops.pad(x, (1, 2, 0, 1)), [noise(2, 3, 4)]),
    "concatenate": (lambda a, b: ops.concatenate([a, b], 1), [noise(2, 3), noise(2, 4)]),
    "flatten": (lambda x: ops.flatten(x, 1), [noise(2, 3, 4)]),
    "broadcast_to": (lambda x: ops.broadcast_to(x, 2, 3, 4), [noise(3, 1)]),
    "to": (lambda x: ops.to(x, "float64"), [noise(3, 4)]),
    "matmul": (ops.matmul, [noise(2, 3, 4), noise(4, 2)]),
    "linear": (ops.linear, [noise(3, 4), noise(5, 4), noise(5)]),
    "conv2d": [
        (lambda x, W, b: ops.conv2d(x, W, b, padding=1), [noise(2, 3, 5, 5), noise(4, 3, 3, 3), noise(4)]),
        (
            lambda x, W: ops.conv2d(x, W, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
            [noise(2, 4, 6, 7), noise(6, 2, 3, 3)],
        ),
        (
            lambda x, W, b, z: ops.conv2d(x, W, b, add=z, relu=True),
            [noise(2, 3, 4, 4), noise(4, 3, 3, 3), noise(4), spread(2, 4, 2, 2)],
        ),
        (lambda x, W, z: ops.conv2d(x, W, add=z), [noise(2, 3, 4, 4), noise(4, 3, 3, 3), noise(2, 4, 2, 2)]),
    ],
    "max_pool2d": [
        (lambda x: ops.max_pool2d(x, 2), [spread(2, 2, 4, 4)]),
        (lambda x: ops.max_pool2d(x, 3, 2, 1, ceil_mode=True), [spread(2, 2, 6, 7)]),
    ],
    "avg_pool2d": [
        (lambda x: ops.avg_pool2d(x, 2), [noise(2, 2, 4, 4)]),
        (lambda x: ops.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), [noise(2, 2, 6, 7)]),
    ],
    "adaptive_avg_pool2d": [
        (lambda x: ops.adaptive_avg_pool2d(x, (2, 3)), [noise(2, 2, 4, 6)]),
        (lambda x: ops.adaptive_avg_pool2d(x, (3, 2)), [noise(2, 2, 5, 7)]),
        (lambda x: ops.adaptive_avg_pool2d(x, 1), [noise(2, 2, 3, 4)]),
        (lambda x: ops.adaptive_avg_pool2d(x, (5, 3)), [noise(2, 2, 3, 2)]),
    ],
    "global_avg_pool2d": (ops.global_avg_pool2d, [noise(2, 3, 4, 4)]),
    "batch_norm": [
        (batch_norm(training=True), [noise(4, 3, 2, 2), positive(3), noise(3)]),
        (batch_norm(training=False), [noise(4, 3, 2, 2), positive(3), noise(3)]),
        (batch_norm(True, relu=True), [noise(4, 3, 2, 2), positive(3), noise(3), spread(4, 3, 2, 2)]),
        (batch_norm(False, relu=True), [noise(4, 3, 2, 2), positive(3), noise(3), spread(4, 3, 2, 2)]),
        (batch_norm(True), [noise(4, 3, 2, 2), positive(3), noise(3), noise(4, 3, 2, 2)]),
    ],
    "dropout": (fixed_dropout, [noise(3, 4)]),
    "local_response_norm": (lambda x: ops.local_response_norm(x, 3, 0.5, k=2.0), [noise(2, 5, 2, 2)]),
    "log_softmax": (ops.log_softmax, [noise(3, 5)]),
    "softmax": (ops.softmax, [noise(3, 5)]),
    "cross_entropy": (lambda x: ops.cross_entropy(x, LABELS.to(x.device)), [noise(3, 5)]),
    "mse_loss": (ops.mse_loss, [noise(3, 4), spread(3, 4)]),
}

# Operations on a single number, of shape (): NumPy makes scalars of such results, which are no arrays.
OF_ONE_NUMBER = {
    "add": lambda x: ops.add(x, x),
    "sub": lambda x: ops.sub(1, x),
    "mul": lambda x: ops.mul(x, x),
    "div": lambda x: ops.div(1, x),
    "neg": ops.neg,
    "pow": lambda x: ops.pow(x, x),
    "exp": ops.exp,
    "log": ops.log,
    "sqrt": ops.sqrt,
    "abs": ops.abs,
    "maximum": lambda x: ops.maximum(x, 0.1),
    "minimum": lambda x: ops.minimum(x, 3),
    "clip": lambda x: ops.clip(x, 0, 3),
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "relu": ops.relu,
    "sum": lambda x: ops.sum(x, -1),
    "mean": lambda x: ops.mean(x, 0, keepdim=True),
    "max": lambda x: ops.max(x, 0)[0],
    "min": ops.min,
    "amax": ops.amax,
    "amin": lambda x: ops.amin(x, -1),
    "var": lambda x: ops.var(x, correction=0) + x,
    "squeeze": lambda x: ops.squeeze(x, 0),
    "unsqueeze": lambda x: ops.unsqueeze(x, 0),
    "reshape": lambda x: ops.reshape(x, 1, 1),
    "transpose": lambda x: ops.transpose(x, 0, -1),
    "permute": lambda x: ops.permute(x, ()),
    "getitem": lambda x: x[None] + x[...],
    "pad": lambda x: ops.pad(x, ()),
    "flatten": ops.flatten,
    "broadcast_to": lambda x: ops.broadcast_to(x, 2, 3),
    "to": lambda x: ops.to(x, "float64"),
    "dropout": fixed_dropout,
    "log_softmax": lambda x: ops.log_softmax(x, 0) + x,
    "softmax": lambda x: ops.softmax(x, -1) * x,
    "mse_loss": lambda x: ops.mse_loss(x, x * x),
}
for _name, _function in OF_ONE_NUMBER.items():
    _cases = OPERATIONS[_name] if isinstance(OPERATIONS[_name], list) else [OPERATIONS[_name]]
    OPERATIONS[_name] = [*_cases, (_function, [positive()])]
