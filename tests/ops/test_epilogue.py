"""conv2d and batch_norm with `add` and `relu` give the numbers and gradients of separate operations."""

import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.backend import kernels
from minires.errors import ShapeError
from minires.nn import functional as F

MAPS = {"small": (4, 3, 5, 5), "large": (8, 3, 24, 24)}  # for the plain kernels and for the fast ones


def batch_norm(x, gamma, beta, training=True, **options):
    mean, var = (Tensor(np.full(3, value, x.dtype)) for value in (0.1, 1.5))
    return F.batch_norm(x, mean, var, gamma, beta, training, **options)


def batch_norm_in_evaluation(x, gamma, beta, **options):
    return batch_norm(x, gamma, beta, training=False, **options)


def conv2d(x, W, b, **options):
    return F.conv2d(x, W, b, padding=1, **options)


def conv2d_without_bias(x, W, b, **options):
    return F.conv2d(x, W, padding=1, **options)


def parameters(operation, rng):
    shapes = [(3, 3, 3, 3), (3,)] if operation in (conv2d, conv2d_without_bias) else [(3,), (3,)]
    return [rng.standard_normal(shape) for shape in shapes]


OPERATIONS = [batch_norm, batch_norm_in_evaluation, conv2d, conv2d_without_bias]
ADDENDS = {
    "nothing": lambda z: None,
    "a map": lambda z: z,
    "a row of a map": lambda z: z[:1, :, :1],
    "a number": lambda z: 0.5,
    "an array": lambda z: z.numpy()[0],
}


def tensors(operation, size, dtype, rng):
    values = [*rng.standard_normal((2, *MAPS[size])), *parameters(operation, rng)]
    return [Tensor(value.astype(dtype), requires_grad=True) for value in values]


def result_and_gradients(f, inputs, upstream):
    for x in inputs:
        x.grad = None
    y = f()
    y.backward(upstream)
    return [y.numpy(), *(x.grad.numpy() for x in inputs if x.grad is not None)]


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("addend", ADDENDS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_same_as_separate_operations(operation, addend, relu, size, dtype, rng, agree):
    x, z, *weights = inputs = tensors(operation, size, dtype, rng)
    upstream = rng.standard_normal(MAPS[size]).astype(dtype)

    def together():
        return operation(x, *weights, add=ADDENDS[addend](z), relu=relu)

    def apart():
        y, add = operation(x, *weights), ADDENDS[addend](z)
        y = y if add is None else y + add
        return F.relu(y) if relu else y

    arrays, expected = (result_and_gradients(f, inputs, upstream) for f in (together, apart))
    assert len(arrays) == len(expected)
    for array, expected_array in zip(arrays, expected, strict=True):
        agree(array, expected_array)
    with no_grad():
        agree(together(), expected[0])


@pytest.mark.parametrize("size", MAPS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_as_in_pytorch(operation, size, same_as_torch, rng):
    torch = pytest.importorskip("torch")
    values = [rng.standard_normal(MAPS[size]), rng.standard_normal(MAPS[size]), *parameters(operation, rng)]
    values = [value.astype(np.float32) for value in values]

    def function(x, z, weight, bias):
        return operation(x, weight, bias, add=z, relu=True)

    def torch_function(x, z, weight, bias):
        if operation in (conv2d, conv2d_without_bias):
            y = torch.nn.functional.conv2d(x, weight, bias if operation is conv2d else None, padding=1)
        else:
            statistics = torch.full((3,), 0.1), torch.full((3,), 1.5)
            y = torch.nn.functional.batch_norm(x, *statistics, weight, bias, operation is batch_norm)
        return torch.relu(y + z)

    if operation is conv2d_without_bias:
        same_as_torch(lambda *v: function(*v, None), lambda *v: torch_function(*v, None), values[:3])
    else:
        same_as_torch(function, torch_function, values)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_map_and_a_relu_are_part_of_the_node(operation, rng):
    x, z, *weights = tensors(operation, "small", "float64", rng)
    y = operation(x, *weights, add=z, relu=True)
    assert y.creator.name in ("batch_norm", "frozen_batch_norm", "conv2d")
    assert all(t.creator is None for t in y.creator.inputs)
    assert any(t is z for t in y.creator.inputs)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_addition_and_the_relu_take_no_sweep_of_their_own(operation, rng, monkeypatch):
    x, z, *weights = tensors(operation, "large", "float32", rng)
    monkeypatch.setattr(kernels, "relu", None)
    monkeypatch.setattr(kernels, "add", None)
    operation(x, *weights, add=z, relu=True)


def test_the_running_statistics_move_once(rng):
    x, z, *_ = tensors(batch_norm, "small", "float64", rng)
    running = Tensor(np.zeros(3)), Tensor(np.ones(3))
    for add in (z, 1.0):
        running[0].data[...] = 0
        F.batch_norm(x, *running, Tensor(np.ones(3)), Tensor(np.zeros(3)), training=True, add=add, relu=True)
        np.testing.assert_allclose(running[0].numpy(), 0.1 * x.numpy().mean(axis=(0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_addend_of_a_wrong_shape_is_refused(operation, rng):
    x, _, *weights = tensors(operation, "small", "float64", rng)
    with pytest.raises(ShapeError, match=r"add: inputs of shape \(4, 3, 5, 5\), \(4, 3, 2, 5\) do not fit"):
        operation(x, *weights, add=Tensor(np.zeros((4, 3, 2, 5))))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_addend_of_another_dtype_is_added_as_by_plus(operation, rng):
    x, z, *weights = tensors(operation, "small", "float32", rng)
    z = z.to("float64")
    y = operation(x, *weights, add=z, relu=True)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.numpy(), F.relu(operation(x, *weights) + z).numpy())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_nan_stays(operation, rng):
    x, z, *weights = tensors(operation, "large", "float32", rng)
    z.data[0, 0, 0, 0] = np.nan
    assert np.isnan(operation(x, *weights, add=z, relu=True).numpy()[0, 0, 0, 0])
