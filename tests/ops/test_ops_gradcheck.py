"""Every operation's gradient against central differences, with a random upstream gradient."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, ops

LABELS = np.array([0, 2, 1, 2])
MEAN, VAR = Tensor(np.array([0.1, -0.2, 0.3])), Tensor(np.array([0.5, 1.0, 2.0]))


def running():
    """Statistics to be changed in place by training, new for every call."""
    return Tensor(np.zeros(3)), Tensor(np.ones(3))


def case(name, f, *shapes):
    return pytest.param(f, shapes, id=name)


IMAGE = (2, 3, 5, 5)

CASES = [
    case("abs", ops.abs, (3, 4)),
    case("add", ops.add, (3, 4), (4,)),
    case("avg_pool2d", lambda x: ops.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGE),
    case("batch_norm", lambda x, w, b: ops.batch_norm(x, *running(), w, b, training=True), IMAGE, (3,), (3,)),
    case("batch_norm_frozen", lambda x, w, b: ops.batch_norm(x, MEAN, VAR, w, b), IMAGE, (3,), (3,)),
    case("broadcast_to", lambda x: ops.broadcast_to(x, 2, 3, 4), (3, 1)),
    case("clip", lambda x: ops.clip(x, 0.4, 1.1), (3, 4)),
    case("concatenate", lambda a, b: ops.concatenate([a, b, a], 1), (2, 3), (2, 1)),
    case("conv2d", lambda x, W, b: ops.conv2d(x, W, b, 2, 1), IMAGE, (4, 3, 3, 3), (4,)),
    case("conv2d_groups", lambda x, W: ops.conv2d(x, W, None, 1, 2, 2, 3), IMAGE, (6, 1, 3, 2)),
    case("cross_entropy", lambda x: ops.cross_entropy(x, LABELS), (4, 3)),
    case("div", ops.div, (3, 4), (3, 1)),
    case("dropout", lambda x: ops.dropout(x, 0.4, generator=np.random.default_rng(5)), (4, 5)),
    case("exp", ops.exp, (3, 4)),
    case("flatten", lambda x: ops.flatten(x, 1), IMAGE),
    case("getitem", lambda x: ops.getitem(x, (slice(1, None), np.array([0, 0, 2]))), (3, 4)),
    case("global_avg_pool2d", ops.global_avg_pool2d, IMAGE),
    case("linear", ops.linear, (5, 3), (4, 3), (4,)),
    case("local_response_norm", lambda x: ops.local_response_norm(x, 4, 0.5, 0.75, 2.0), (2, 6, 2, 2)),
    case("log", ops.log, (3, 4)),
    case("log_softmax", ops.log_softmax, (3, 4)),
    case("matmul", ops.matmul, (2, 3, 4), (4, 2)),
    case("max", lambda x: ops.max(x, 1), (3, 4)),
    case("max_pool2d", lambda x: ops.max_pool2d(x, 3, 2, 1), IMAGE),
    case("maximum", ops.maximum, (3, 4), (3, 4)),
    case("mean", lambda x: ops.mean(x, (0, 2)), (2, 3, 4)),
    case("mse_loss", ops.mse_loss, (3, 4), (3, 4)),
    case("mul", ops.mul, (3, 4), (1, 4)),
    case("neg", ops.neg, (3, 4)),
    case("pad", lambda x: ops.pad(x, (1, 0, 2, 1)), (3, 4)),
    case("permute", lambda x: ops.permute(x, 2, 0, 1), (2, 3, 4)),
    case("pow", ops.pow, (3, 4), (4,)),
    case("relu", lambda x: ops.relu(x - 1), (3, 4)),
    case("reshape", lambda x: ops.reshape(x, 4, 3), (3, 4)),
    case("sigmoid", ops.sigmoid, (3, 4)),
    case("softmax", ops.softmax, (3, 4)),
    case("sqrt", ops.sqrt, (3, 4)),
    case("sub", ops.sub, (3, 4), ()),
    case("sum", lambda x: ops.sum(x, -1, keepdim=True), (3, 4)),
    case("tanh", ops.tanh, (3, 4)),
    case("to", lambda x: ops.to(x, "cpu"), (3, 4)),
    case("transpose", lambda x: ops.transpose(x, 0, 2), (2, 3, 4)),
    case("var", lambda x: ops.var(x, (0, 2)), (2, 3, 4)),
]


def distinct(shape, generator):
    """Values from 0.3 to 1.7, at least 0.001 apart: no ties, and none within reach of the kinks above."""
    n = int(np.prod(shape))
    return generator.permutation(np.linspace(0.3037, 1.7031, n)).reshape(shape)


@pytest.mark.parametrize(("f", "shapes"), CASES)
def test_gradient_agrees_with_differences(f, shapes):
    generator = np.random.default_rng(3)
    assert gradcheck(f, [distinct(shape, generator) for shape in shapes]) < 1e-6


@pytest.mark.parametrize(("f", "shapes"), CASES)
def test_slope_along_a_direction_agrees_with_differences(f, shapes):
    generator = np.random.default_rng(4)
    assert gradcheck(f, [distinct(shape, generator) for shape in shapes], direction=True) < 1e-6


def test_every_differentiable_operation_is_checked():
    checked = {parameters.id for parameters in CASES}
    assert set(ops.__all__) - checked == {"argmax"}
