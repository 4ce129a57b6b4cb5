"""Batch norm, addition and ReLU joined into one operation: the same numbers, gradients and graph."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, no_grad
from minires.nn import functional as F
from minires.ops.fusion import OpenTensor


@pytest.fixture
def tensors(rng):
    """x, z: (4, 3, 5, 5), gamma, beta: (3,), all with gradients."""
    shapes = (4, 3, 5, 5), (4, 3, 5, 5), (3,), (3,)
    return [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def normalized(x, gamma, beta, training=True):
    running = Tensor(np.zeros(3)), Tensor(np.ones(3))
    return F.batch_norm(x, *running, gamma, beta, training=training)


def apart(monkeypatch):
    """Let nothing join."""
    monkeypatch.setattr(OpenTensor, "join", lambda self, *more, **options: None)


def computed(expression, tensors, upstream):
    for tensor in tensors:
        tensor.grad = None
    y = expression(*tensors)
    y.backward(upstream)
    return [y.numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)]


EXPRESSIONS = {
    "bn": lambda x, z, g, b: normalized(x, g, b),
    "relu": lambda x, z, g, b: F.relu(normalized(x, g, b)),
    "add": lambda x, z, g, b: normalized(x, g, b) + z,
    "add from the left": lambda x, z, g, b: z + normalized(x, g, b),
    "block": lambda x, z, g, b: F.relu(normalized(x, g, b) + z),
    "two of them": lambda x, z, g, b: F.relu(normalized(x, g, b) + normalized(z, g, b)),
    "with itself": lambda x, z, g, b: (lambda y: F.relu(y + y))(normalized(x, g, b)),
    "used twice": lambda x, z, g, b: (lambda y: F.relu(y) * y)(normalized(x, g, b)),
    "broadcast": lambda x, z, g, b: F.relu(normalized(x, g, b) + z[:1, :, :1]),
    "a number": lambda x, z, g, b: F.relu(normalized(x, g, b) + 1),
    "evaluation": lambda x, z, g, b: F.relu(normalized(x, g, b, training=False) + z),
    "the input once more": lambda x, z, g, b: F.relu(normalized(x, g, b) + x),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_joined_and_apart_agree(name, tensors, rng, monkeypatch):
    expression = EXPRESSIONS[name]
    upstream = rng.standard_normal(expression(*tensors).shape)
    together = computed(expression, tensors, upstream)
    apart(monkeypatch)
    one_by_one = computed(expression, tensors, upstream)
    assert len(together) == len(one_by_one)
    for a, b in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "block", "two of them", "evaluation"])
def test_gradients_of_joined_operations(name, rng):
    shapes = (3, 3, 2, 2), (3, 3, 2, 2), (3,), (3,)
    inputs = [rng.standard_normal(shape) + 0.1 for shape in shapes]
    assert gradcheck(EXPRESSIONS[name], inputs) < 1e-6


def test_a_block_is_one_node(tensors):
    x, z, gamma, beta = tensors
    y = F.relu(normalized(x, gamma, beta) + z)
    assert y.creator.name == "batch_norm"
    assert [t.creator for t in y.creator.inputs] == [None] * 4


def test_shape_and_dtype_are_known_before_the_numbers(tensors):
    x, _, gamma, beta = tensors
    y = normalized(x, gamma, beta)
    assert isinstance(y, OpenTensor)
    assert (y.shape, y.ndim, y.dtype, y.size(1)) == ((4, 3, 5, 5), 4, np.float64, 3)
    assert y.compute is not None
    y.numpy()
    assert y.compute is None
    assert y.shape == (4, 3, 5, 5)


def test_nothing_joins_numbers_that_were_looked_at(tensors):
    x, _, gamma, beta = tensors
    y = normalized(x, gamma, beta)
    y.numpy()
    assert F.relu(y).creator.name == "relu"


def test_parameters_may_change_before_the_numbers_are_looked_at(tensors):
    x, _, gamma, beta = tensors
    expected = normalized(x, gamma, beta).numpy().copy()
    y = normalized(x, gamma, beta)
    gamma.data = gamma.data * 2
    beta.data[...] = 7
    np.testing.assert_array_equal(y.numpy(), expected)


def test_no_grad_on_one_side_only(tensors):
    x, _, gamma, beta = tensors
    with no_grad():
        constant = normalized(x, gamma, beta)
    assert not F.relu(constant).requires_grad
    y = normalized(x, gamma, beta)
    with no_grad():
        assert not F.relu(y).requires_grad
    assert F.relu(y).requires_grad


def test_running_statistics_move_once(rng):
    running = Tensor(np.zeros(3)), Tensor(np.ones(3))
    x = Tensor(rng.standard_normal((4, 3, 5, 5)))
    y = F.relu(F.batch_norm(x, *running, Tensor(np.ones(3)), Tensor(np.zeros(3)), training=True))
    y.numpy()
    np.testing.assert_allclose(running[0].numpy(), 0.1 * x.numpy().mean(axis=(0, 2, 3)), rtol=1e-12)
