"""Gradient checks of every operation and of whole networks, as one table.

A case is a function of tensors and the float64 inputs to nudge. Inputs stay away from kinks and ties: the
entries of `spread` differ by at least 0.05 from each other and from 0, which is far more than the nudge.
"""

from dataclasses import dataclass

import numpy as np

from minires import models, ops
from minires.engine import Tensor, gradcheck
from minires.errors import UnknownNameError

OP_TOLERANCE = 1e-6
MODEL_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Result:
    """One row of the table: what was checked, how many numbers and how, and the largest relative error."""

    name: str
    numbers: int
    nudged: str
    error: float
    tolerance: float

    @property
    def passed(self):
        return self.error <= self.tolerance


def spread(*shape):
    """Numbers of both signs, 0.1 apart, half a step away from 0, in a random order."""
    n = int(np.prod(shape))
    values = 0.1 * (np.arange(n) - n // 2) + 0.05
    return np.random.default_rng(n).permutation(values).reshape(shape)


def positive(*shape):
    """Numbers between 0.5 and 2."""
    return np.random.default_rng(1).uniform(0.5, 2, shape)


def image(*shape):
    """Normal numbers."""
    return np.random.default_rng(2).standard_normal(shape)


def batch_norm(training):
    def f(x, gamma, beta):
        mean, var = Tensor(np.full(3, 0.1)), Tensor(np.full(3, 1.5))
        return ops.batch_norm(x, mean, var, gamma, beta, training)

    return f


def fixed_dropout(x):
    return ops.dropout(x, 0.4, generator=np.random.default_rng(3))


LABELS = np.array([0, 4, 2])

# operation: (function, inputs), or a list of them where its options lead through different code
CASES = {
    "add": (ops.add, [image(3, 4), image(4)]),
    "sub": (ops.sub, [image(3, 1), image(4)]),
    "mul": (ops.mul, [image(2, 3, 4), image(3, 1)]),
    "div": (ops.div, [image(3, 4), positive(4)]),
    "neg": (ops.neg, [image(3, 4)]),
    "pow": [(ops.pow, [positive(3, 4), image(4)]), (lambda x: x**3, [image(3, 4)])],
    "exp": (ops.exp, [image(3, 4)]),
    "log": (ops.log, [positive(3, 4)]),
    "sqrt": (ops.sqrt, [positive(3, 4)]),
    "abs": (ops.abs, [spread(3, 4)]),
    "maximum": (ops.maximum, [spread(3, 4), spread(2, 3, 4)[1] + 0.03]),
    "clip": (lambda x: ops.clip(x, -0.3, 0.4), [spread(3, 4)]),
    "sigmoid": (ops.sigmoid, [image(3, 4)]),
    "tanh": (ops.tanh, [image(3, 4)]),
    "relu": (ops.relu, [spread(3, 4)]),
    "sum": [(lambda x: ops.sum(x, (0, 2)), [image(2, 3, 4)]), (ops.sum, [image(3, 4)])],
    "mean": [(lambda x: ops.mean(x, 1), [image(2, 3, 4)]), (ops.mean, [image(3, 4)])],
    "max": [(lambda x: ops.max(x, 1, keepdim=True), [spread(2, 3, 4)]), (ops.max, [spread(3, 4)])],
    "var": [(lambda x: ops.var(x, (0, 2)), [image(2, 3, 4)]), (ops.var, [image(3, 4)])],
    "squeeze": (ops.squeeze, [image(3, 1, 4)]),
    "unsqueeze": (lambda x: ops.unsqueeze(x, 1), [image(3, 4)]),
    "reshape": (lambda x: ops.reshape(x, 4, -1), [image(2, 3, 4)]),
    "transpose": (lambda x: ops.transpose(x, 0, 2), [image(2, 3, 4)]),
    "permute": (lambda x: ops.permute(x, 1, 2, 0), [image(2, 3, 4)]),
    "getitem": [(lambda x: x[1:, ::2], [image(3, 4)]), (lambda x: x[[0, 2, 0]], [image(3, 4)])],
    "pad": (lambda x: ops.pad(x, (1, 2, 0, 1)), [image(2, 3, 4)]),
    "concatenate": (lambda a, b: ops.concatenate([a, b], 1), [image(2, 3), image(2, 4)]),
    "flatten": (lambda x: ops.flatten(x, 1), [image(2, 3, 4)]),
    "broadcast_to": (lambda x: ops.broadcast_to(x, 2, 3, 4), [image(3, 1)]),
    "to": (lambda x: ops.to(x, "float64"), [image(3, 4)]),
    "matmul": (ops.matmul, [image(2, 3, 4), image(4, 2)]),
    "linear": (ops.linear, [image(3, 4), image(5, 4), image(5)]),
    "conv2d": [
        (lambda x, W, b: ops.conv2d(x, W, b, padding=1), [image(2, 3, 5, 5), image(4, 3, 3, 3), image(4)]),
        (
            lambda x, W: ops.conv2d(x, W, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
            [image(2, 4, 6, 7), image(6, 2, 3, 3)],
        ),
    ],
    "max_pool2d": [
        (lambda x: ops.max_pool2d(x, 2), [spread(2, 2, 4, 4)]),
        (lambda x: ops.max_pool2d(x, 3, 2, 1, ceil_mode=True), [spread(2, 2, 6, 7)]),
    ],
    "avg_pool2d": [
        (lambda x: ops.avg_pool2d(x, 2), [image(2, 2, 4, 4)]),
        (lambda x: ops.avg_pool2d(x, 3, 2, 1, True, count_include_pad=False), [image(2, 2, 6, 7)]),
    ],
    "global_avg_pool2d": (ops.global_avg_pool2d, [image(2, 3, 4, 4)]),
    "batch_norm": [
        (batch_norm(training=True), [image(4, 3, 2, 2), positive(3), image(3)]),
        (batch_norm(training=False), [image(4, 3, 2, 2), positive(3), image(3)]),
    ],
    "dropout": (fixed_dropout, [image(3, 4)]),
    "local_response_norm": (lambda x: ops.local_response_norm(x, 3, 0.5, k=2.0), [image(2, 5, 2, 2)]),
    "log_softmax": (ops.log_softmax, [image(3, 5)]),
    "softmax": (ops.softmax, [image(3, 5)]),
    "cross_entropy": (lambda x: ops.cross_entropy(x, LABELS), [image(3, 5)]),
    "mse_loss": (ops.mse_loss, [image(3, 4), spread(3, 4)]),
}


def check_op(name):
    """Check every element of an operation's inputs, in each of its cases."""
    cases = CASES[name] if isinstance(CASES[name], list) else [CASES[name]]
    error = max(gradcheck(f, inputs, tolerance=np.inf) for f, inputs in cases)
    return Result(name, sum(x.size for _, inputs in cases for x in inputs), "one by one", error, OP_TOLERANCE)


def check_model(name):
    """Check a whole network's parameters along one random direction.

    Two random images in training mode. The nudge is small, since a deep net has many ReLUs near their kinks.
    """
    generator = np.random.default_rng(0)
    model = models.create(name, generator=generator).to("float64")
    x = Tensor(generator.standard_normal((2, 3, 16, 16)))
    parameters = list(model.parameters())
    options = {"direction": True, "eps": 1e-7, "tolerance": np.inf, "generator": generator}
    error = gradcheck(lambda *_: model(x), parameters, **options)
    return Result(name, sum(p.numel() for p in parameters), "together", error, MODEL_TOLERANCE)


def check(name):
    """Check the operation or the network called `name`; UnknownNameError if it is neither."""
    if name in CASES:
        return check_op(name)
    try:
        return check_model(name)
    except UnknownNameError as error:
        raise UnknownNameError("operation or model", name, [*CASES, *models.names()]) from error
