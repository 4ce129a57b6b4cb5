import math

import numpy as np
import pytest

from minires.nn import BatchNorm2d, Conv2d, Linear, Sequential
from minires.nn.init import fan_in, he_normal, initialize


def net(seed=None):
    generator = None if seed is None else np.random.default_rng(seed)
    return initialize(Sequential(Conv2d(3, 4, 3), BatchNorm2d(4), Linear(4, 2)), generator)


def weights(module):
    return np.concatenate([p.numpy().ravel() for p in module.parameters()])


def test_same_seed_same_weights():
    np.testing.assert_array_equal(weights(net(7)), weights(net(7)))


def test_other_weights_with_another_seed_or_none():
    assert not np.array_equal(weights(net(7)), weights(net(8)))
    assert not np.array_equal(weights(net()), weights(net()))


def test_layers_draw_one_after_the_other_from_one_generator():
    both = initialize(Sequential(Linear(3, 4), Linear(4, 2)), np.random.default_rng(1))
    generator = np.random.default_rng(1)
    for layer in both:
        np.testing.assert_array_equal(layer.weight.numpy(), he_normal(layer.weight.shape, generator))


def test_layer_takes_a_generator_itself():
    a, b = (Conv2d(3, 4, 3, generator=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a.weight.numpy(), b.weight.numpy())


@pytest.mark.parametrize(
    ("shape", "expected"), [((64, 32, 3, 3), 288), ((64, 8, 5, 1), 40), ((10, 64), 64)], ids=str
)
def test_fan_in_counts_the_inputs_of_one_output(shape, expected):
    assert fan_in(shape) == expected


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(32, 64, 3, generator=np.random.default_rng(0)),
        Conv2d(64, 64, 3, groups=8, generator=np.random.default_rng(1)),
        Linear(200, 100, generator=np.random.default_rng(2)),
    ],
    ids=["conv", "grouped", "linear"],
)
def test_weights_have_hes_deviation(layer):
    """Of n normal numbers the mean deviates by s / sqrt(n), and their deviation from s by s / sqrt(2 n).

    A deviation five times as large happens once in two million draws.
    """
    weight = layer.weight.numpy().astype(np.float64)
    n, expected = weight.size, math.sqrt(2 / fan_in(weight.shape))
    assert abs(weight.mean()) < 5 * expected / math.sqrt(n)
    assert abs(weight.std() / expected - 1) < 5 / math.sqrt(2 * n)
    assert layer.weight.dtype == np.float32
    assert not layer.bias.numpy().any()


def test_initializing_again_resets_batch_norm():
    layer = BatchNorm2d(3)
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        tensor.data[...] = 5
    initialize(layer, np.random.default_rng(0))
    state = {name: array.tolist() for name, array in layer.state_dict().items()}
    assert state == {
        "weight": [1.0] * 3,
        "bias": [0.0] * 3,
        "running_mean": [0.0] * 3,
        "running_var": [1.0] * 3,
    }


def test_initializing_keeps_dtype_and_arrays():
    layer = Linear(3, 2).to("float64")
    before = layer.weight.data
    initialize(layer, np.random.default_rng(0))
    assert layer.weight.data is before
    assert layer.weight.dtype == np.float64
