"""Graphs of single numbers, as in the tests of autograd and DeZero: deep ones, and loops that the values end.

Their gradients are known in closed form. tests/engine/test_random_graphs.py compares short ones with PyTorch.
"""

import math

import numpy as np
import pytest

from minires import Tensor


def matyas(x, y):
    return 0.26 * (x**2 + y**2) - 0.48 * x * y


def rosenbrock(x, y):
    return 100 * (y - x**2) ** 2 + (x - 1) ** 2


def goldstein_price(x, y):
    """Some forty operations, in which x and y occur eight times each."""
    near = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    far = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return near * far


def sine_by_series(x, y):
    """y sin(x), summed by a loop whose length depends on the values."""
    total, term, k = 0.0, x, 1
    while abs(float(term)) > 1e-20:
        total = total + term
        term = -term * x * x / ((k + 1) * (k + 2))
        k += 2
    return y * total


# function, x, y, value, gradients
GRAPHS = [
    (matyas, 1.0, 1.0, 0.04, (0.04, 0.04)),
    (rosenbrock, 0.0, 2.0, 401.0, (-2.0, 400.0)),
    (goldstein_price, 1.0, 1.0, 1876.0, (-5376.0, 8064.0)),
    (sine_by_series, 0.7, 2.0, 2 * math.sin(0.7), (2 * math.cos(0.7), math.sin(0.7))),
]


@pytest.mark.parametrize("shape", [(), (1,)], ids=["no_axes", "one_axis"])
@pytest.mark.parametrize(
    ("function", "x", "y", "value", "gradients"), GRAPHS, ids=[graph[0].__name__ for graph in GRAPHS]
)
def test_value_and_gradients(function, x, y, value, gradients, shape, dtype):
    inputs = [Tensor(np.full(shape, number, dtype), requires_grad=True) for number in (x, y)]
    result = function(*inputs)
    result.backward()
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    for tensor, number in zip([result, *(x.grad for x in inputs)], [value, *gradients], strict=True):
        assert tensor.dtype == dtype
        assert tensor.shape == shape
        assert tensor.item() == pytest.approx(number, rel=tolerance)


def test_descent_on_rosenbrocks_valley():
    """A thousand graphs one after the other, each thrown away: the minimum is at (1, 1)."""
    x, y = (Tensor(np.array(number), requires_grad=True) for number in (0.0, 2.0))
    values = []
    for _ in range(1000):
        loss = rosenbrock(x, y)
        x.grad = y.grad = None
        loss.backward()
        x.data -= 0.001 * x.grad.numpy()
        y.data -= 0.001 * y.grad.numpy()
        values.append(loss.item())
    assert values[-1] < 0.15 < 400 < values[0]
    assert y.item() == pytest.approx(x.item() ** 2, abs=0.01)
