"""A tensor has its numbers when the operation returns: whatever changes afterwards, they stay."""

from contextlib import nullcontext

import numpy as np
import pytest

from minires import Tensor, models, nn, no_grad
from minires.lab.gradients import OPERATIONS
from minires.nn import functional as F

VIEWS = {"broadcast_to", "flatten", "getitem", "permute", "reshape", "squeeze", "transpose", "unsqueeze"}


class Tiles(nn.Module):
    """One buffer for all tiles, as a program does that reads them from a file."""

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

        class Kept(nn.Module):
            def forward(self, function, inputs):
                self.y = function(*inputs)
                self.then = self.y.numpy().copy()
                shared = any(np.shares_memory(self.y.data, x.data) for x in inputs)
                if not shared:
                    for x in inputs:
                        x.data[...] = 7.0
                return shared

        kept, inputs = Kept(), [Tensor(value.copy(), requires_grad=True) for value in values]
        with gradients():
            shared = kept(function, inputs)
        np.testing.assert_array_equal(kept.y.numpy(), kept.then)
        assert type(kept.y) is Tensor
        assert not shared or name in VIEWS


def test_weights_may_change_inside_of_an_outer_forward(training, gradients, rng):
    class Searching(nn.Module):
        """Tries several weights, as an evolution strategy does; `look` at each result at once, or later."""

        def __init__(self, look):
            self.look = look
            self.conv, self.bn = nn.Conv2d(3, 4, 3, generator=0), nn.BatchNorm2d(4)

        def forward(self, x):
            results = []
            for factor in (2, 3, 4):
                y = self.bn(self.conv(x))
                results.append(y.numpy().copy() if self.look else y)
                for tensor in (self.conv.weight, self.conv.bias, self.bn.weight, self.bn.bias):
                    tensor.data *= factor
                self.bn.running_var.data *= factor
            return results

    x = Tensor(rng.standard_normal((2, 3, 6, 6)), dtype="float32")
    with gradients():
        at_once, later = (Searching(look).train(training)(x) for look in (True, False))
    for expected, ours in zip(at_once, later, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected)
    assert not np.allclose(at_once[0], at_once[1])


@pytest.mark.parametrize("ends_by", ["hook", "error"])
def test_a_forward_that_ends_early_leaves_numbers(ends_by, training, gradients, rng):
    """What a hook or a forward has kept of it does not change with the input."""

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
    for ours, other in zip(net.kept, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), other)


def test_a_derivative_by_hand(training, rng):
    """The input moves in place between two calls."""
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
