import numpy as np
import pytest

from minires import Tensor, no_grad
from minires.errors import CheckpointError, MiniresError, OptionError
from minires.nn import (
    BatchNorm2d,
    Buffer,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    Module,
    Parameter,
    ReLU,
    Sequential,
)


class Net(Module):
    """Attributes in an order that is neither alphabetical nor that of their use."""

    def __init__(self):
        self.zebra = Linear(3, 2)
        self.apple = Parameter(np.zeros(4, np.float32))
        self.branches = [Linear(2, 2, bias=False), ReLU(), Linear(2, 2, bias=False)]
        self.table = {"b": BatchNorm2d(2), "a": Parameter(np.ones(1, np.float32))}
        self.constant = Buffer(np.arange(3))
        self.plain = Tensor([1.0])
        self.nothing = None

    def forward(self, x):
        return self.zebra(x)


ORDER = [
    "apple",
    "table.a",
    "constant",
    "zebra.weight",
    "zebra.bias",
    "branches.0.weight",
    "branches.2.weight",
    "table.b.weight",
    "table.b.bias",
    "table.b.running_mean",
    "table.b.running_var",
]


def test_state_dict_names_follow_the_code():
    assert list(Net().state_dict()) == ORDER


def test_parameters_come_in_definition_order():
    net = Net()
    buffers = ["constant", "table.b.running_mean", "table.b.running_var"]
    assert [name for name, _ in net.named_parameters()] == [name for name in ORDER if name not in buffers]
    assert [name for name, _ in net.named_buffers()] == buffers
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert all(p.requires_grad for p in net.parameters())


def test_order_within_nested_modules_is_depth_first():
    net = Sequential(Sequential(Linear(1, 1, bias=False), ReLU(), Linear(1, 1, bias=False)), Linear(1, 1))
    assert list(net.state_dict()) == ["0.0.weight", "0.2.weight", "1.weight", "1.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "0", "0.0", "0.1", "0.2", "1"]
    assert [type(module).__name__ for module in net.modules()][-1] == "Linear"


def test_shared_parameter_and_shared_module_appear_once():
    class Tied(Module):
        def __init__(self):
            self.first = Linear(2, 2, bias=False)
            self.second = Linear(2, 2, bias=False)
            self.second.weight = self.first.weight
            self.third = self.first

    net = Tied()
    assert [name for name, _ in net.named_parameters()] == ["first.weight"]
    assert len(net.modules()) == 3


def test_sequential_runs_in_order_and_can_be_indexed_and_sliced():
    layers = [Linear(3, 4), ReLU(), Linear(4, 2)]
    net = Sequential(*layers)
    assert len(net) == 3
    assert list(net) == layers
    assert net[0] is layers[0]
    assert net[-1] is layers[2]
    x = Tensor(np.ones((1, 3), np.float32))
    assert isinstance(net[:2], Sequential)
    assert list(net[1:]) == layers[1:]
    np.testing.assert_array_equal(net(x).numpy(), net[2](net[:2](x)).numpy())
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]


def test_state_dict_round_trip():
    a, b = Net(), Net()
    state = {name: array.copy() for name, array in a.state_dict().items()}
    assert not np.array_equal(a.zebra.weight.numpy(), b.zebra.weight.numpy())
    b.load_state_dict(state)
    for name, array in b.state_dict().items():
        assert array.tobytes() == state[name].tobytes()
        assert not np.shares_memory(array, state[name])


def test_loading_keeps_the_networks_dtype_and_arrays():
    net = Linear(2, 2)
    before = net.weight.data
    net.load_state_dict({"weight": np.full((2, 2), 0.1), "bias": [1, 2]})
    assert net.weight.data is before
    assert net.weight.dtype == np.float32
    assert net.bias.tolist() == [1.0, 2.0]


def test_loading_lists_every_problem_and_changes_nothing():
    net = Net()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    state = {name: array + 1 for name, array in before.items()}
    del state["zebra.bias"]
    state["zebra.weight"] = np.zeros((2, 4))
    state["zorro.bias"] = np.zeros(2)
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "missing zebra.bias" in message
    assert "unexpected zorro.bias" in message
    assert "zebra.weight has shape (2, 4), not (2, 3)" in message
    assert isinstance(caught.value, MiniresError)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_long_lists_of_problems_are_shortened():
    net = Sequential(*(Linear(1, 1) for _ in range(10)))
    with pytest.raises(CheckpointError, match="and 12 more"):
        net.load_state_dict({})


def test_pytorchs_batch_counter_is_ignored():
    net = Sequential(BatchNorm2d(2))
    net.load_state_dict({**net.state_dict(), "0.num_batches_tracked": np.array(7)})
    assert "0.num_batches_tracked" not in net.state_dict()


def test_to_converts_parameters_and_buffers_in_place():
    net = Sequential(Conv2d(1, 2, 3, padding=1), BatchNorm2d(2), Flatten(), Linear(8, 2))
    parameters = list(net.parameters())
    assert net.to("float64") is net
    assert {tensor.dtype.name for _, tensor in net.named_parameters() + net.named_buffers()} == {"float64"}
    assert [id(p) for p in net.parameters()] == [id(p) for p in parameters]
    y = net(Tensor(np.ones((3, 1, 2, 2))))
    assert y.dtype == np.float64
    y.sum().backward()
    assert {p.grad.dtype.name for p in parameters} == {"float64"}
    net.to("float32")
    assert {p.grad.dtype.name for p in parameters} == {"float32"}


def test_train_and_eval_reach_every_module():
    net = Sequential(Sequential(Dropout(0.5), BatchNorm2d(2)), ReLU())
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    net.train(False)
    assert not net[0][0].training


def test_evaluation_is_deterministic_and_changes_nothing(rng):
    net = Sequential(Conv2d(2, 3, 3), BatchNorm2d(3), Dropout(0.5)).eval()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    x = Tensor(rng.standard_normal((2, 2, 5, 5)).astype(np.float32))
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_zero_grad():
    net = Linear(2, 1)
    net(Tensor([[1.0, 2.0]])).sum().backward()
    assert net.weight.grad.tolist() == [[1.0, 2.0]]
    net.zero_grad()
    assert [p.grad for p in net.parameters()] == [None, None]


def test_forward_hooks_see_calls_until_removed():
    net = Sequential(ReLU(), ReLU())
    calls = []
    first = net[0].register_forward_hook(lambda *call: calls.append(("first", *call)))
    second = net[0].register_forward_hook(lambda *call: calls.append(("second", *call)))
    x = Tensor([-1.0, 2.0])
    net(x)
    assert [call[0] for call in calls] == ["first", "second"]
    _, module, inputs, output = calls[0]
    assert module is net[0]
    assert inputs == (x,)
    assert output.tolist() == [0.0, 2.0]
    first.remove()
    net(x)
    assert [call[0] for call in calls] == ["first", "second", "second"]
    second.remove()
    net(x)
    assert len(calls) == 3
    assert list(net.state_dict()) == []


def test_module_without_forward_says_so():
    class Empty(Module):
        pass

    with pytest.raises(TypeError, match=r"Empty must define forward\(\)"):
        Empty()()


def test_options_of_a_convolution_are_checked():
    for options in ({"groups": 2}, {"groups": 0}):
        with pytest.raises(OptionError, match="groups"):
            Conv2d(3, 4, 3, **options)
    with pytest.raises(OptionError, match="kernel_size"):
        Conv2d(3, 4, (3, 3, 3))
    assert Conv2d(3, 4, np.int64(3)).weight.shape == (4, 3, 3, 3)


def test_repr_shows_the_tree():
    text = repr(Sequential(Conv2d(3, 4, 3, bias=False), Sequential(BatchNorm2d(4), Linear(4, 2))))
    assert text == (
        "Sequential(\n"
        "  (0): Conv2d(3, 4, kernel_size=(3, 3), stride=1, padding=0)\n"
        "  (1): Sequential(\n"
        "    (0): BatchNorm2d(4)\n"
        "    (1): Linear(4, 2)\n"
        "  )\n"
        ")"
    )


def test_parameters_made_under_no_grad_still_learn():
    with no_grad():
        layer = Linear(2, 1)
    layer(Tensor([[1.0, 1.0]])).sum().backward()
    assert layer.bias.grad.tolist() == [1.0]
