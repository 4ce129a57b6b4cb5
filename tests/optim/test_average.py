import numpy as np
import pytest

from minires import Tensor, nn
from minires.errors import CheckpointError
from minires.optim import WeightAverage


def small_net(seed=0):
    """A convolution and batch norm: parameters and buffers."""
    generator = np.random.default_rng(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3, generator=generator), nn.BatchNorm2d(2))


def drift(model, generator):
    """Move the weights, and the running statistics by a forward pass."""
    for p in model.parameters():
        p.data += generator.standard_normal(p.shape).astype(p.dtype)
    model(Tensor(generator.standard_normal((4, 1, 5, 5)).astype("float32")))


def test_the_mean_of_weights_and_running_statistics(rng):
    model = small_net()
    average, states = WeightAverage(model), []
    for _ in range(5):
        drift(model, rng)
        average.update()
        states.append({name: array.copy() for name, array in model.state_dict().items()})
    with average.in_use() as averaged:
        assert averaged is model
        for name, array in model.state_dict().items():
            mean = np.mean([state[name] for state in states], axis=0, dtype=np.float64)
            np.testing.assert_array_equal(array, mean.astype(np.float32), err_msg=name)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, states[-1][name], err_msg=name)


def test_the_models_own_weights_come_back_after_an_error(rng):
    model = small_net()
    average = WeightAverage(model)
    average.update()
    drift(model, rng)
    before = model[0].weight.numpy().copy()

    def fail():
        with average.in_use():
            assert not np.array_equal(model[0].weight.numpy(), before)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_before_the_first_update_the_weights_are_the_models_own():
    model = small_net()
    before = model[0].weight.numpy().copy()
    with WeightAverage(model).in_use():
        np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_the_mean_of_a_constant_is_that_constant():
    """To the last bit; a sum in float32 would collect rounding errors."""
    model = small_net()
    average = WeightAverage(model)
    for _ in range(1000):
        average.update()
    own = model[0].weight.numpy().copy()
    with average.in_use():
        np.testing.assert_array_equal(model[0].weight.numpy(), own)


def test_a_restored_average_continues_bit_for_bit(rng):
    model = small_net()
    average = WeightAverage(model)
    for _ in range(3):
        drift(model, rng)
        average.update()
    restored = WeightAverage(model)
    restored.load_state_dict({name: array.copy() for name, array in average.state_dict().items()})
    for _ in range(2):
        drift(model, rng)
        average.update()
        restored.update()
    assert restored.count == average.count == 5
    for name, array in average.state_dict().items():
        np.testing.assert_array_equal(restored.state_dict()[name], array, err_msg=name)


def test_the_average_of_another_model_is_refused():
    state = WeightAverage(small_net()).state_dict()
    with pytest.raises(CheckpointError, match="another model"):
        WeightAverage(nn.Linear(2, 1)).load_state_dict(state)
    del state["count"]
    with pytest.raises(CheckpointError, match="another model"):
        WeightAverage(small_net()).load_state_dict(state)
