"""A leaf keeps a fresh gradient without a copy, and yet no other array shares its memory."""

from itertools import combinations

import numpy as np
import pytest

from minires import Function, Tensor
from minires.ops import batch_norm, conv2d, linear
from minires.ops.linear import Linear


def leaf(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def batch_norm_of(x, gamma, beta, **following):
    return batch_norm(x, Tensor(np.zeros(3)), Tensor(np.ones(3)), gamma, beta, True, **following)


def with_addend(operation, relu):
    """The operation as a function whose last input is a map to be added."""
    return lambda *inputs: operation(*inputs[:-1], add=inputs[-1], relu=relu)


CONVOLUTION = [(2, 3, 4, 4), (3, 3, 1, 1), (3,)]
NORM = [(2, 3, 4, 4), (3,), (3,)]
OPERATIONS = {
    "conv2d": (conv2d, CONVOLUTION),
    "linear": (linear, [(2, 3), (4, 3), (4,)]),
    "batch_norm": (batch_norm_of, NORM),
    **{
        f"{name} + z{', relu' * relu}": (with_addend(operation, relu), [*shapes, (2, 3, 4, 4)])
        for name, operation, shapes in (
            ("conv2d", conv2d, CONVOLUTION),
            ("batch_norm", batch_norm_of, NORM),
        )
        for relu in (False, True)
    },
}


def test_a_fresh_gradient_is_not_copied(monkeypatch):
    returned = []
    backward = Linear.backward
    monkeypatch.setattr(
        Linear, "backward", lambda self, gy: returned.append(backward(self, gy)) or returned[-1]
    )
    leaves = leaf(2, 3), leaf(4, 3), leaf(4)
    linear(*leaves).backward(np.ones((2, 4)))
    for tensor, array in zip(leaves, *returned, strict=True):
        assert tensor.grad.data is array


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_share_memory_with_nothing(name):
    operation, shapes = OPERATIONS[name]
    leaves = [leaf(*shape) for shape in shapes]
    y = operation(*leaves)
    upstream = np.ones(y.shape)
    y.backward(upstream)
    arrays = [upstream, *(t.data for t in leaves), *(t.grad.data for t in leaves)]
    assert not any(np.shares_memory(a, b) for a, b in combinations(arrays, 2))


def test_a_leaf_that_is_used_twice():
    x, weight = leaf(2, 3), leaf(3, 3)
    linear(linear(x, weight), weight).backward(np.ones((2, 3)))
    middle = x.data @ weight.data.T
    upstream = np.ones((2, 3))
    np.testing.assert_allclose(weight.grad.numpy(), upstream.T @ middle + (upstream @ weight.data).T @ x.data)


def test_a_leaf_that_is_both_inputs():
    weight = leaf(3, 3)
    linear(weight, weight).backward(np.ones((3, 3)))
    np.testing.assert_allclose(weight.grad.numpy(), 2 * np.ones((3, 3)) @ weight.data)


def test_a_second_backward_adds_to_the_gradient_that_was_kept():
    x, weight = leaf(2, 3), leaf(4, 3)
    linear(x, weight).backward(np.ones((2, 4)))
    first = weight.grad.numpy().copy()
    linear(x, weight).backward(np.ones((2, 4)))
    np.testing.assert_array_equal(weight.grad.numpy(), 2 * first)


def test_a_gradient_whose_elements_lie_in_another_order_is_copied():
    class Transposed(Function):
        fresh_gradients = True

        def forward(self, x):
            return x * 1

        def backward(self, gy):
            return (gy.T * 1).T

    x = leaf(2, 3)
    Transposed()(x).backward(np.ones((2, 3)))
    assert x.grad.data.flags.c_contiguous


@pytest.mark.parametrize("fresh", [False, True])
def test_gradients_that_are_not_declared_fresh_are_copied(fresh):
    """Were they declared fresh, two leaves would share one array as their gradient."""

    class Sum(Function):
        fresh_gradients = fresh

        def forward(self, a, b):
            return a + b

        def backward(self, gy):
            return gy, gy

    a, b = leaf(2), leaf(2)
    Sum()(a, b).backward(np.ones(2))
    assert np.shares_memory(a.grad.data, b.grad.data) == fresh
