"""No float64 array appears in a float32 training step, except in sums: a number for each channel, or less."""

import numpy as np
import pytest

from minires import Function, Tensor, models
from minires.backend import as_array
from minires.backend.kernels import reference_kernels
from minires.engine import tensor
from minires.ops import cross_entropy
from minires.optim import SGD

MAX_SUMS = 64  # elements of the sums of 16 channels of 4 images; all maps, and the weights, are larger


class Watched(np.ndarray):
    """Records the dtypes of all but the smallest arrays computed from it, because these get its class too."""

    dtypes: set

    def __array_finalize__(self, source):
        if self.size > MAX_SUMS:
            Watched.dtypes.add(self.dtype.name)

    def mean(self, **options):
        """NumPy's mean divides by a whole number in float64 inside; only its result is recorded."""
        return np.asarray(self.view(np.ndarray).mean(**options)).view(Watched)


def is_watched(array):
    return isinstance(array, Watched)


@pytest.fixture
def watch(monkeypatch):
    """A function that makes an array Watched. NumPy's functions that lose the class are made to keep it."""
    monkeypatch.setattr(Watched, "dtypes", set(), raising=False)

    def keeping_class(function):
        return lambda *args, **options: np.asarray(function(*args, **options)).view(Watched)

    monkeypatch.setattr(
        tensor, "as_array", lambda data, dtype=None: data if is_watched(data) else as_array(data, dtype)
    )
    for name in ("zeros", "ones", "full", "einsum", "broadcast_to", "where"):
        monkeypatch.setattr(np, name, keeping_class(getattr(np, name)))
    tricks = np.lib.stride_tricks
    monkeypatch.setattr(tricks, "as_strided", keeping_class(tricks.as_strided))
    return lambda array: array.view(Watched)


def training_step(model, x, labels, optimizer):
    loss = cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    return loss


def resnet8(rng):
    return models.CifarResNet(8, "B", widths=(4, 8, 16), generator=rng)


def test_no_float64_in_a_float32_training_step(watch, monkeypatch, rng):
    model = resnet8(rng)
    for _, weight in model.named_parameters() + model.named_buffers():
        weight.data = watch(weight.data)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True)
    x = Tensor(watch(rng.standard_normal((4, 3, 16, 16)).astype(np.float32)))

    arrays = []
    backward = Function.input_gradients

    def spy(node, gy):
        saved = node.saved if isinstance(node.saved, tuple) else (node.saved,)
        pairs = backward(node, gy)
        arrays.extend([gy, *saved, *(gx for *_, gx in pairs)])
        return pairs

    monkeypatch.setattr(Function, "input_gradients", spy)
    labels = rng.integers(0, 10, 4)
    Watched.dtypes.clear()  # weights and images were drawn in float64
    with reference_kernels():  # the fast ones work in arrays that are not Watched
        loss = training_step(model, x, labels, optimizer)

    arrays = [a for a in arrays if isinstance(a, np.ndarray)]
    state = [*model.state_dict().values(), *optimizer.state_dict().values()]
    grads = [p.grad.data for p in model.parameters()]
    all_arrays = [loss.data, *arrays, *state, *grads]
    assert {array.dtype.name for array in all_arrays} == {"float32"}
    assert "float32" in Watched.dtypes
    assert "float64" not in Watched.dtypes
    assert all(isinstance(a, Watched) for a in all_arrays if a.ndim)  # no array has lost the class


def test_a_temporary_float64_array_is_recorded(watch):
    x = watch(np.ones(MAX_SUMS + 1, np.float32))
    x += (x * np.float64(2)).astype(np.float32)
    assert x.dtype == np.float32
    assert "float64" in Watched.dtypes


def test_a_float64_step_is_recorded(watch, rng):
    model = resnet8(rng).to("float64")
    x = Tensor(watch(rng.standard_normal((4, 3, 16, 16))))
    labels = rng.integers(0, 10, 4)
    Watched.dtypes.clear()
    training_step(model, x, labels, SGD(model.parameters(), lr=0.1))
    assert "float64" in Watched.dtypes


@pytest.mark.parametrize("number", [np.float64(0.1), np.int64(1)], ids=["float64", "int64"])
def test_learning_rate_from_numpy_leaves_no_float64(watch, number):
    p = Tensor(watch(np.ones(MAX_SUMS + 1, np.float32)), requires_grad=True)
    optimizer = SGD([p], lr=0.5, momentum=0.9)
    (p * p).sum().backward()
    optimizer.lr = number
    optimizer.step()
    assert "float64" not in Watched.dtypes


def test_all_arrays_of_a_step_have_the_models_dtype(dtype, rng):
    model = resnet8(rng).to(dtype)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    x = Tensor(rng.standard_normal((4, 3, 16, 16)).astype(dtype))
    loss = training_step(model, x, rng.integers(0, 10, 4), optimizer)
    state = [*model.state_dict().values(), *optimizer.state_dict().values()]
    grads = [p.grad for p in model.parameters()]
    assert {array.dtype for array in (loss, *state, *grads)} == {np.dtype(dtype)}
