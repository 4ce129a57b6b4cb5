"""The gradient of a broadcast input has the input's shape and sums over its copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from minires import Tensor, ops

# (op, its derivatives by a and by b before they are summed over copies)
OPERATIONS = {
    "add": (ops.add, lambda a, b: (1, 1)),
    "sub": (ops.sub, lambda a, b: (1, -1)),
    "mul": (ops.mul, lambda a, b: (b, a)),
    "div": (ops.div, lambda a, b: (1 / b, -a / b**2)),
    "pow": (ops.pow, lambda a, b: (b * a ** (b - 1), a**b * np.log(a))),
    "maximum": (ops.maximum, lambda a, b: (a > b, b > a)),
}


def summed_to(gradient, shape):
    """The sum by its definition: each element is added to the element that it was copied from."""
    result = np.zeros(shape)
    for index in np.ndindex(gradient.shape):
        source = index[len(index) - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(source, shape, strict=True))] += gradient[index]
    return result


@pytest.mark.parametrize("name", OPERATIONS)
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=1, max_side=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradient_sums_over_the_copies(name, shapes, seed):
    op, derivatives = OPERATIONS[name]
    rng = np.random.default_rng(seed)
    a, b = (Tensor(rng.uniform(0.5, 2, shape), requires_grad=True) for shape in shapes.input_shapes)
    u = rng.standard_normal(shapes.result_shape)
    y = op(a, b)
    assert y.shape == shapes.result_shape
    y.backward(u)
    for tensor, derivative in zip((a, b), derivatives(a.data, b.data), strict=True):
        assert tensor.grad.shape == tensor.shape
        expected = summed_to(np.broadcast_to(u * derivative, u.shape), tensor.shape)
        np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-11, atol=1e-11)


@given(shapes=mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 3, 4), min_side=1))
def test_broadcast_to_sends_back_the_sum(shapes):
    (shape,) = shapes.input_shapes
    if len(shape) > 3:
        return
    x = Tensor(np.ones(shape), requires_grad=True)
    x.broadcast_to(2, 3, 4).backward(np.ones((2, 3, 4)))
    assert x.grad.tolist() == np.full(shape, 24 / x.numel()).tolist()
