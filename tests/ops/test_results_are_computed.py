"""A result is computed when its operation returns: later changes of the inputs do not change it."""

from contextlib import nullcontext

import numpy as np
import pytest

from minires import Tensor, models, nn, no_grad
from minires.lab.gradients import OPERATIONS
from minires.nn import functional as F

VIEWS = {
    "broadcast_to",
    "flatten",
    "getitem",
    "permute",
    "reshape",
    "squeeze",
    "to",
    "transpose",
    "unsqueeze",
}


class Tiles(nn.Module):
    """Uses one buffer for all tiles, as a program would that reads the tiles from a file."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, tiles):
        buffer, results = np.empty_like(tiles[0]), []
        for tile in tiles:
            buffer[...] = tile
            results.append(self.layer(Tensor(buffer)))
        return results


LAYERS = {
    "conv": lambda: nn.Conv2d(3, 4, 3, generator=0),
    "conv without bias": lambda: nn.Conv2d(3, 4, 3, bias=False, generator=0),
    "bn": lambda: nn.BatchNorm2d(3),
    "relu": nn.ReLU,
    "conv, bn": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False, generator=0), nn.BatchNorm2d(4)),
    "bn, relu": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()),
    "bn, relu, conv": lambda: nn.Sequential(
        nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3, bias=False, generator=0)
    ),
    "block": lambda: models.blocks.BasicBlock(3, 3),
    "unit": lambda: models.preact.Unit(3, 3),
    "pool": lambda: nn.MaxPool2d(2),
    "mean": lambda: nn.AvgPool2d(2),
    "norm": lambda: nn.LocalResponseNorm(3),
}


@pytest.fixture(params=["training", "evaluation"])
def training(request):
    return request.param == "training"


@pytest.fixture(params=["gradients", "no_grad"])
def gradients(request):
    """nullcontext or no_grad."""
    return nullcontext if request.param == "gradients" else no_grad


@pytest.mark.parametrize("size", [6, 40], ids=["small", "large"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_tile_has_a_result_of_its_own(name, size, training, gradients, rng):
    layer = LAYERS[name]().train(training)
    tiles = rng.standard_normal((3, 2, 3, size, size)).astype(np.float32)
    with gradients():
        results = Tiles(layer)(tiles)
        for tile, result in zip(tiles, results, strict=True):
            np.testing.assert_array_equal(result.numpy(), layer(Tensor(tile)).numpy())


@pytest.mark.parametrize("name", OPERATIONS)
def test_inputs_may_change_afterwards(name, gradients):
    cases = OPERATIONS[name]
    for function, values in cases if isinstance(cases, list) else [cases]:

        class ChangesInputs(nn.Module):
            def forward(self, function, inputs):
                self.y = function(*inputs)
                self.expected = self.y.numpy().copy()
                shared = any(np.shares_memory(self.y.data, x.data) for x in inputs)
                if not shared:
                    for x in inputs:
                        x.data[...] = 7.0
                return shared

        module, inputs = ChangesInputs(), [Tensor(value.copy(), requires_grad=True) for value in values]
        with gradients():
            shared = module(function, inputs)
        np.testing.assert_array_equal(module.y.numpy(), module.expected)
        assert type(module.y) is Tensor
        assert not shared or name in VIEWS


def test_weights_may_change_inside_of_an_outer_forward(training, gradients, rng):
    class Searching(nn.Module):
        """Tries several weights, as an evolution strategy does. `at_once`: copy each result immediately."""

        def __init__(self, at_once):
            self.at_once = at_once
            self.conv, self.bn = nn.Conv2d(3, 4, 3, generator=0), nn.BatchNorm2d(4)

        def forward(self, x):
            results = []
            for factor in (2, 3, 4):
                y = self.bn(self.conv(x))
                results.append(y.numpy().copy() if self.at_once else y)
                for tensor in (self.conv.weight, self.conv.bias, self.bn.weight, self.bn.bias):
                    tensor.data *= factor
                self.bn.running_var.data *= factor
            return results

    x = Tensor(rng.standard_normal((2, 3, 6, 6)), dtype="float32")
    with gradients():
        copies, results = (Searching(at_once).train(training)(x) for at_once in (True, False))
    for copy, result in zip(copies, results, strict=True):
        np.testing.assert_array_equal(result.numpy(), copy)
    assert not np.allclose(copies[0], copies[1])


@pytest.mark.parametrize("ends_by", ["hook", "error"])
def test_results_of_a_forward_that_ends_early_are_computed(ends_by, training, gradients, rng):
    """Tensors that a hook or a forward has kept do not change with the input."""

    class StopError(Exception):
        pass

    class Net(nn.Module):
        def __init__(self):
            self.conv, self.bn, self.kept = nn.Conv2d(3, 4, 3, generator=0), nn.BatchNorm2d(4), []

        def forward(self, x):
            self.kept.append(self.conv(x))
            self.kept.append(self.bn(self.kept[0]))
            if ends_by == "error":
                raise StopError
            return F.relu(self.kept[1])

    net = Net().train(training)
    if ends_by == "hook":

        def stop(module, inputs, y):
            raise StopError

        net.register_forward_hook(stop)
    array = rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    with gradients():
        with pytest.raises(StopError):
            net(Tensor(array))
        expected = net.conv(Tensor(array)).numpy(), net.bn(net.conv(Tensor(array))).numpy()
        array[...] = 0
        net.conv.weight.data[...] = 0
    for kept, array in zip(net.kept, expected, strict=True):
        np.testing.assert_array_equal(kept.numpy(), array)


def test_a_derivative_by_hand(training, rng):
    """The input is changed in place between two calls."""
    net = models.CifarResNet(8, widths=(4, 6, 8), generator=0).to("float64").train(training)
    x = Tensor(rng.standard_normal((2, 3, 8, 8)), requires_grad=True)
    upstream = rng.standard_normal((2, 10))
    net(x).backward(upstream)
    step, eps = rng.standard_normal(x.shape), 1e-6
    with no_grad():
        x.data += eps * step
        above = net(x)
        x.data -= 2 * eps * step
        below = net(x)
        x.data += eps * step
        slope = ((above - below).numpy() * upstream).sum() / (2 * eps)
    assert slope == pytest.approx((x.grad.numpy() * step).sum(), rel=1e-6)
