"""Small random graphs of scalars and of tensors that broadcast, against PyTorch in float32.

Most shapes have a single element or none at all: there NumPy turns results into scalars, which are no arrays.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires import Tensor, ops

torch = pytest.importorskip("torch")

NUMBERS = [2, 0.5, -1, True, np.float64(0.3), np.float32(1.5), np.int64(3)]

# Each takes the module of the functions (minires.ops or torch) and tensors; results stay small and smooth.
UNARY = [
    lambda ops, x: -x,
    lambda ops, x: abs(x),
    lambda ops, x: ops.tanh(x),
    lambda ops, x: ops.sigmoid(x),
    lambda ops, x: ops.relu(x),
    lambda ops, x: ops.exp(-x * x),
    lambda ops, x: ops.log(x * x + 1),
    lambda ops, x: ops.sqrt(x * x + 0.5),
    lambda ops, x: x**2 - x,
    lambda ops, x: 2 ** ops.tanh(x),
    lambda ops, x: x.clip(-0.7, 1.1),
    lambda ops, x: x.sum(),
    lambda ops, x: x.mean(),
    lambda ops, x: x.max(),
    lambda ops, x: x.min(),
    lambda ops, x: x.sum(-1),
    lambda ops, x: x.mean(0),
    lambda ops, x: x.amax(-1, keepdim=True),
    lambda ops, x: x.max(0)[0],
    lambda ops, x: x.min(-1, True)[0],
    lambda ops, x: x.reshape(-1),
    lambda ops, x: x.reshape(-1)[0],
    lambda ops, x: x.unsqueeze(0),
    lambda ops, x: x.squeeze(),
    lambda ops, x: x.transpose(0, -1),
    lambda ops, x: x.softmax(-1) * x,
    lambda ops, x: ops.log_softmax(x, 0) * 0.1 + x,
    lambda ops, x: x[...],
    lambda ops, x: x.detach() * x,
]
BINARY = [
    lambda ops, a, b: a + b,
    lambda ops, a, b: a - b,
    lambda ops, a, b: a * b,
    lambda ops, a, b: a / (b * b + 1),
    lambda ops, a, b: ops.maximum(a, b),
    lambda ops, a, b: ops.minimum(a, b),
    lambda ops, a, b: (a * a + 0.5) ** ops.tanh(b),
    lambda ops, a, b: a.clip(b, b + 1),
    lambda ops, a, b: (a > b) * a,
    lambda ops, a, b: added_in_place(a * 1, b.sum()),
]
WITH_NUMBER = [
    lambda ops, x, number: x + number,
    lambda ops, x, number: number * x,
    lambda ops, x, number: number / (x * x + 1),
    lambda ops, x, number: (x <= number) * x,
]
SHAPES = [(), (), (), (1,), (2,), (1, 1), (2, 1), (1, 3), (2, 3)]


def added_in_place(x, y):
    x += y
    return x


@st.composite
def graphs(draw):
    """(shapes of the leaves, seed of their values, steps); a step: (function, operands, numbers)."""
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    steps = []
    for i in range(draw(st.integers(1, 6))):
        operand = st.integers(0, len(shapes) + i - 1)
        kind = draw(st.sampled_from(["unary", "binary", "number"]))
        if kind == "unary":
            steps.append((draw(st.sampled_from(UNARY)), [draw(operand)], []))
        elif kind == "binary":
            steps.append((draw(st.sampled_from(BINARY)), [draw(operand), draw(operand)], []))
        else:
            steps.append(
                (draw(st.sampled_from(WITH_NUMBER)), [draw(operand)], [draw(st.sampled_from(NUMBERS))])
            )
    return shapes, draw(st.integers(0, 2**32 - 1)), steps


def run(ops, leaves, steps):
    """The values after each step. Operands that do not broadcast are summed first."""
    values = list(leaves)
    for function, operands, numbers in steps:
        inputs = [values[i] for i in operands]
        if not fit([tuple(x.shape) for x in inputs]):
            inputs = [x.sum() for x in inputs]
        values.append(function(ops, *inputs, *numbers))
    return values


def fit(shapes):
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def loss_of(values):
    """The sum of all results, so that each of them is used."""
    total = values[0].sum()
    for value in values[1:]:
        total = total + value.sum() * 0.5
    return total


def check(graph):
    shapes, seed, steps = graph
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.uniform(-1.5, 1.5, shape), np.float32) for shape in shapes]
    ours = [Tensor(array, requires_grad=True) for array in arrays]
    theirs = [torch.tensor(array, requires_grad=True) for array in arrays]
    with warnings.catch_warnings():  # PyTorch warns of transposing vectors, for example
        warnings.simplefilter("ignore")
        results, expected = run(ops, ours, steps), run(torch, theirs, steps)
        loss_of(results).backward()
        loss_of(expected).backward()
    for y, z in zip(results, expected, strict=True):
        assert isinstance(y.data, np.ndarray)
        assert (y.shape, str(y.dtype)) == (tuple(z.shape), str(z.dtype).removeprefix("torch."))
        agree(y.numpy(), z.detach().numpy())
    for x, z in zip(ours, theirs, strict=True):
        assert isinstance(x.grad.data, np.ndarray)
        assert (x.grad.shape, x.grad.dtype) == (x.shape, np.float32)
        agree(x.grad.numpy(), z.grad.numpy())


def agree(ours, theirs):
    """Up to rounding in float32, relative to the largest entry, or to 1: the terms of a sum may cancel."""
    scale = max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * scale)


@given(graphs())
def test_random_graphs(graph):
    check(graph)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(graphs())
def test_ten_thousand_random_graphs(graph):
    check(graph)
