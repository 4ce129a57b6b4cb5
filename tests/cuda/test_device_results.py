"""On the device, as on the CPU, a tensor has its values when the operation returns."""

from contextlib import nullcontext

import numpy as np
import pytest

from minires import Tensor, models, nn, no_grad
from minires.backend.cuda import kernel_settings

LAYERS = {
    "conv": lambda: nn.Conv2d(3, 4, 3, generator=0),
    "bn": lambda: nn.BatchNorm2d(3),
    "bn, relu": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()),
    "conv, bn, relu, conv": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False, generator=0),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, bias=False, generator=0),
    ),
    "block": lambda: models.blocks.BasicBlock(3, 3),
    "unit": lambda: models.preact.Unit(3, 3),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("recorded", [True, False], ids=["gradients", "no_grad"])
def test_an_input_that_is_overwritten_later_does_not_change_a_result(cupy, name, training, recorded, rng):
    layer = LAYERS[name]().to("cuda").train(training)

    class Tiles(nn.Module):
        def forward(self, tiles):
            buffer, results = cupy.empty_like(tiles[0]), []
            for tile in tiles:
                buffer[...] = tile
                results.append(layer(Tensor(buffer)))
            return results

    tiles = cupy.asarray(rng.standard_normal((2, 2, 3, 6, 6)).astype(np.float32))
    with kernel_settings.using("fused"), nullcontext() if recorded else no_grad():
        results = Tiles()(tiles)
        for tile, result in zip(tiles, results, strict=True):
            np.testing.assert_array_equal(result.numpy(), layer(Tensor(tile)).numpy())


def test_weights_may_change_inside_of_an_outer_forward(cupy, rng):
    conv, bn = nn.Conv2d(3, 4, 3, generator=0).to("cuda"), nn.BatchNorm2d(4).to("cuda")

    class Net(nn.Module):
        def forward(self, x):
            y = bn(conv(x), relu=True)
            expected = y.numpy()
            conv.weight.data *= 3
            bn.bias.data += 1
            return y, expected

    with kernel_settings.using("fused"):
        y, expected = Net()(Tensor(rng.standard_normal((2, 3, 6, 6)), dtype="float32").to("cuda"))
    np.testing.assert_array_equal(y.numpy(), expected)
