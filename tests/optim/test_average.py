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


class Counting(nn.Module):
    """A network with a counter and a mask among its buffers."""

    def __init__(self):
        self.layer = nn.Linear(2, 1)
        self.batches = nn.Buffer(np.zeros(1, np.int64))
        self.mask = nn.Buffer(np.array([True, False]))


def test_whole_numbers_and_masks_stay_the_models_own():
    model = Counting()
    average = WeightAverage(model)
    for step in range(1, 5):
        model.batches.data += 1
        model.layer.weight.data[...] = step
        average.update()
    assert list(average.state_dict()) == ["count", "sum.layer.weight", "sum.layer.bias"]
    with average.in_use():
        assert model.layer.weight.tolist() == [[2.5, 2.5]]
        assert (model.batches.tolist(), model.mask.tolist()) == ([4], [True, False])
        assert model.batches.dtype == np.int64
    average.apply()
    assert (model.batches.tolist(), model.mask.tolist()) == ([4], [True, False])


def change_shape(model):
    model[0].weight.data = np.ones((2, 1, 1, 1), np.float32)


def add_layer(model):
    model[0].extra = nn.Linear(2, 1)


def remove_bias(model):
    model[0].bias = None


@pytest.mark.parametrize(
    ("change", "name"), [(change_shape, "0.weight"), (add_layer, "0.extra.weight"), (remove_bias, "0.bias")]
)
def test_a_model_that_has_other_weights_now_is_refused(change, name):
    model = small_net()
    average = WeightAverage(model)
    average.update()
    before = {name: array.copy() for name, array in average.state_dict().items()}
    change(model)
    with pytest.raises(CheckpointError, match=f"other weights than when its WeightAverage was made .*{name}"):
        average.update()
    assert average.count == 1
    for name, array in average.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(CheckpointError, match="do not fit"):
        average.apply()


BAD_STATES = {
    "another shape": {"sum.1.bias": np.ones(3)},
    "whole numbers": {"sum.1.bias": np.ones(2, int)},
    "text": {"sum.1.bias": np.array(["a", "b"])},
    "fractional count": {"count": np.array([1.5])},
    "negative count": {"count": np.array([-1])},
    "count without axes": {"count": np.array(1)},
    "unexpected": {"sum.2.weight": np.ones(2)},
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_a_bad_state_changes_nothing(case):
    average = WeightAverage(small_net())
    average.update()
    before = {name: array.copy() for name, array in average.state_dict().items()}
    good = {name: array * 2 for name, array in before.items()}
    with pytest.raises(CheckpointError, match="another model"):
        average.load_state_dict(good | BAD_STATES[case])
    for name, array in average.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
