"""Members of a module: no assignment and no name drops one from the state, as in PyTorch."""

import copy
import pickle

import numpy as np
import pytest

from minires import Tensor, nn, no_grad
from minires.errors import GraphError, MiniresError, OptionError, OptionTypeError
from minires.nn import BatchNorm2d, Buffer, Linear, Module, Parameter, ReLU
from minires.nn import functional as F


class Holder(Module):
    """A module with one attribute."""

    def __init__(self, held=None):
        self.held = held


def parameter(value=1.0):
    return Parameter(np.full(2, value, np.float32))


def scaled(bn):
    bn.running_mean = 0.5 * bn.running_mean


def added(bn):
    bn.running_mean += 1


def subtracted(bn):
    bn.running_mean -= 1


def multiplied(bn):
    bn.running_mean *= 0


def divided(bn):
    bn.running_mean /= 2


def emptied_and_set(bn):
    bn.running_mean = None
    assert "running_mean" not in bn.state_dict()
    bn.running_mean = Tensor(np.full(2, 3.0, np.float32))


CHANGES = {scaled: 2, added: 5, subtracted: 3, multiplied: 0, divided: 2, emptied_and_set: 3}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_buffer_that_is_computed_anew_stays_a_buffer(change):
    bn = BatchNorm2d(2)
    bn.running_mean.data[...] = 4
    names = list(bn.state_dict())
    change(bn)
    assert list(bn.state_dict()) == names
    assert type(bn.running_mean) is Buffer
    assert bn.state_dict()["running_mean"].tolist() == [CHANGES[change]] * 2


def test_a_buffer_keeps_the_array_and_the_history_of_the_tensor_that_it_gets():
    module, x = Holder(Buffer([1.0, 2.0])), Tensor([3.0, 4.0], requires_grad=True)
    result = module.held * x
    module.held = result
    assert module.held.data is result.data
    (module.held * 10).sum().backward()
    assert x.grad.tolist() == [10, 20]


def test_a_buffer_changed_in_place_is_the_same_object_in_a_list_and_in_a_dict():
    module = Holder([Buffer([1.0]), {"count": Buffer([2.0])}])
    buffers, first = list(module.buffers()), module.held[0]
    module.held[0] += 1
    module.held[1]["count"] *= 3
    assert [id(buffer) for buffer in module.buffers()] == [id(buffer) for buffer in buffers]
    first -= 5
    assert {name: array.tolist() for name, array in module.state_dict().items()} == {
        "held.0": [-3],
        "held.1.count": [6],
    }


def test_a_buffer_changed_in_place_stays_a_buffer():
    module, x = Holder(Buffer([2.0])), Tensor([3.0], requires_grad=True)
    y = x * module.held
    module.held += 5
    with pytest.raises(GraphError, match=r"mul: .*changed since the forward pass"):
        y.backward()
    module.held *= x  # now it has a history itself, and stays a buffer
    assert type(module.held) is Buffer
    module.held.backward()
    assert x.grad.tolist() == [7]


@pytest.mark.parametrize("value", [np.zeros(2), [0.0, 0.0], 0.0, "mean"], ids=repr)
def test_a_buffer_takes_tensors_only(value):
    bn = BatchNorm2d(2)
    with pytest.raises(TypeError, match=r"BatchNorm2d: cannot assign \w+ as buffer 'running_mean'") as caught:
        bn.running_mean = value
    assert isinstance(caught.value, MiniresError)
    assert "running_mean" in bn.state_dict()


@pytest.mark.parametrize(
    "value",
    [Tensor([1.0]), Buffer([1.0]), np.ones((2, 2)), 3, "w", ReLU(), [parameter()]],
    ids=lambda value: type(value).__name__,
)
def test_a_parameter_takes_parameters_only(value):
    layer = Linear(2, 2)
    for change in (lambda: setattr(layer, "weight", value), lambda: setattr(layer, "bias", value)):
        with pytest.raises(
            TypeError, match=r"Linear: cannot assign \w+ as parameter '(weight|bias)'"
        ) as caught:
            change()
        assert isinstance(caught.value, MiniresError)
        assert "nn.Parameter(value)" in str(caught.value)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_product_is_no_parameter():
    layer = Linear(2, 2)
    with pytest.raises(TypeError, match="cannot assign Tensor as parameter 'weight'"):
        layer.weight = layer.weight * 2


def test_a_parameter_may_be_replaced_left_out_and_deleted():
    layer, new = Linear(2, 2), parameter()
    layer.weight = new
    assert next(layer.parameters()) is new
    layer.weight = None
    assert list(layer.state_dict()) == ["bias"]
    with pytest.raises(TypeError, match="'weight'"):
        layer.weight = Tensor([1.0])
    layer.weight = new
    assert list(layer.state_dict()) == ["weight", "bias"]
    del layer.weight
    layer.weight = Tensor([1.0])  # the name is free, as in PyTorch
    assert list(layer.state_dict()) == ["bias"]


def test_a_bias_that_was_left_out_takes_a_parameter_only():
    layer = Linear(2, 2, bias=False)
    with pytest.raises(TypeError, match="as parameter 'bias'"):
        layer.bias = Tensor(np.zeros(2, np.float32))
    layer.bias = parameter()
    assert layer(Tensor(np.zeros((1, 2), np.float32))).tolist() == [[1, 1]]
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("value", [3, F.relu, Tensor([1.0]), Buffer([1.0])], ids=lambda v: type(v).__name__)
def test_a_child_module_is_not_replaced_by_what_is_no_module(value):
    net = Holder(Linear(2, 2))
    with pytest.raises(TypeError, match=r"Holder: cannot assign \w+ as child module 'held'") as caught:
        net.held = value
    assert isinstance(caught.value, MiniresError)
    net.held = None
    with pytest.raises(TypeError, match="'held'"):
        net.held = value
    net.held = ReLU()
    del net.held
    net.held = value
    assert list(net.modules()) == [net]


def test_a_member_may_become_one_of_another_kind_where_pytorch_allows_it():
    net = Holder(ReLU())
    net.held = parameter()
    assert [name for name, _ in net.named_parameters()] == ["held"]
    bn = BatchNorm2d(2)
    bn.running_mean, bn.running_var = parameter(), ReLU()
    assert [name for name, _ in bn.named_parameters()] == ["weight", "bias", "running_mean"]
    assert [name for name, _ in bn.named_children()] == ["running_var"]


def test_attributes_that_hold_no_member_take_anything():
    net = Holder()
    for value in (3, None, F.relu, Tensor([1.0]), "text"):
        net.held = value
        assert net.held is value


def test_members_are_registered_by_name():
    net = Module()
    net.register_parameter("p", parameter())
    net.register_buffer("b", Tensor([1.0]))
    net.register_buffer("later", None)
    net.add_module("m", ReLU())
    net.register_parameter("none", None)
    assert list(net.state_dict()) == ["p", "b"]
    net.later = Tensor([2.0])
    assert [name for name, _ in net.named_buffers()] == ["b", "later"]
    with pytest.raises(TypeError, match="'none'"):
        net.none = Tensor([1.0])


REGISTRATIONS = {
    "a tensor as a parameter": (lambda net: net.register_parameter("p", Tensor([1.0])), TypeError, "'p'"),
    "an array as a buffer": (lambda net: net.register_buffer("b", np.ones(2)), TypeError, "'b'"),
    "a function as a module": (lambda net: net.add_module("m", F.relu), TypeError, "'m'"),
    "a parameter as a module": (lambda net: net.add_module("m", parameter()), TypeError, "'m'"),
    "a name with a dot": (lambda net: net.add_module("a.b", ReLU()), OptionError, r"without dots.*'a\.b'"),
    "an empty name": (lambda net: net.register_buffer("", Tensor([1.0])), OptionError, "without dots"),
    "a number as a name": (lambda net: net.add_module(0, ReLU()), OptionError, "without dots, not 0"),
    "the name of a method": (lambda net: net.add_module("forward", ReLU()), OptionError, "'forward' already"),
    "the name of a member": (lambda net: net.register_buffer("held", Tensor([1.0])), OptionError, "'held'"),
}


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_what_cannot_be_registered_is_refused(name):
    register, error, message = REGISTRATIONS[name]
    net = Holder(ReLU())
    with pytest.raises(error, match=message) as caught:
        register(net)
    assert isinstance(caught.value, OptionError)
    assert len(net.modules()) == 2


def linear():
    return Linear(2, 2)


SAME_NAMES = {
    "parameters": lambda: {0: parameter(), "0": parameter()},
    "buffers": lambda: {1: Buffer([1.0]), "1": Buffer([1.0])},
    "modules": lambda: {0: linear(), "0": linear()},
    "modules without parameters": lambda: {0: ReLU(), "0": ReLU()},
    "a module and a parameter": lambda: {0: linear(), "0": parameter()},
    "a key with a dot": lambda: {"a.b": parameter(), "a": {"b": parameter()}},
    "a key with a dot and a module": lambda: {"a.weight": parameter(), "a": linear()},
    "True": lambda: {True: parameter(), "True": parameter()},
    "deep inside": lambda: [[{2: [parameter()], "2": [parameter()]}]],
}


@pytest.mark.parametrize("name", SAME_NAMES)
def test_two_members_with_one_name_are_refused(name):
    net = Holder(SAME_NAMES[name]())
    for ask in (net.named_parameters, net.named_modules, net.state_dict, lambda: net.load_state_dict({})):
        with pytest.raises(
            OptionError, match=r"Holder: the members at (.*) and at (.*) are both named 'held\."
        ):
            ask()


def test_the_message_shows_both_keys():
    with pytest.raises(
        OptionError, match=r"\['held'\]\[0\] and at \['held'\]\['0'\] are both named 'held\.0'"
    ):
        Holder({0: parameter(), "0": parameter()}).state_dict()
    with pytest.raises(OptionError, match=r"\['held'\]\['a\.b'\] and at \['held'\]\['a'\]\['b'\]"):
        Holder({"a.b": parameter(), "a": {"b": parameter()}}).state_dict()


def test_an_attribute_with_a_dot_may_not_have_a_members_name():
    net = Holder(linear())
    setattr(net, "held.weight", parameter())
    with pytest.raises(OptionError, match=r"\['held\.weight'\] and at \['held'\]\['weight'\]"):
        net.state_dict()


def test_other_values_may_have_any_keys():
    options = {0: 1, "0": 2, "a.b": [3], "a": {"b": 4}}
    net = Holder([options, linear()])
    assert list(net.state_dict()) == ["held.1.weight", "held.1.bias"]
    shared = parameter()
    assert list(Holder({0: shared, "0": shared, "x.y": parameter()}).state_dict()) == ["held.0", "held.x.y"]


def circular_list():
    values = [linear(), Buffer([1.0])]
    values.append(values)
    return values


def circular_dict():
    values = {"layer": linear(), "buffer": Buffer([1.0]), "list": []}
    values["list"].append(values)
    return values


@pytest.mark.parametrize("circular", [circular_list, circular_dict])
def test_a_list_or_dict_may_hold_itself(circular):
    net = Holder(circular())
    assert [tensor.shape for _, tensor in net.named_tensors()] == [(1,), (2, 2), (2,)]
    assert len(net.eval().modules()) == 2
    assert net.to("float64").load_state_dict(net.state_dict()) == ([], [])
    assert "Linear(2, 2)" in repr(net)


def test_modules_may_hold_each_other():
    net, layer = Holder(linear()), linear()
    net.held.parent, net.other, layer.next, net.all = net, layer, net.held, vars(net)
    names = ["held.weight", "held.bias", "other.weight", "other.bias"]
    assert list(net.state_dict()) == names
    assert net.load_state_dict(net.state_dict()) == ([], [])
    assert [module.training for module in net.eval().modules()] == [False] * 3
    assert "..." in repr(net)
    assert len(net.named_parameters(remove_duplicate=False)) > 4


def test_parameters_by_prefix_alone_and_at_each_of_their_places():
    net = Holder(linear())
    net.again, net.own = net.held, parameter()
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.own"]
    assert [name for name, _ in net.named_modules(prefix="net")] == ["net", "net.held"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "held", "again"]
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == [
        *("own", "held.weight", "held.bias"),
        *("again.weight", "again.bias"),
    ]
    assert net.named_children() == [("held", net.held)]
    assert list(net.buffers()) == []
    assert len(list(net.parameters(recurse=False))) == 1


def test_a_hook_is_no_member():
    net = Holder(linear())
    net.register_forward_hook(linear())
    assert list(net.state_dict()) == ["held.weight", "held.bias"]


def test_a_parameter_in_place_under_no_grad_stays_where_it_is():
    layer = Linear(2, 2)
    weight, before = layer.weight, layer.weight.numpy().copy()
    with no_grad():
        layer.weight *= 2
    assert layer.weight is weight
    np.testing.assert_array_equal(weight.numpy(), 2 * before)


LISTS = {
    "parameters": (lambda: [nn.Parameter([1.0]), nn.Parameter([1.0])], lambda old: [w * 2 for w in old]),
    "modules": (lambda: [nn.Linear(1, 1)], lambda old: [F.relu]),
    "buffers": (lambda: {"a": nn.Buffer([1.0])}, lambda old: {"a": old["a"] * 2}),
    "nested": (lambda: [[nn.Linear(1, 1)]], lambda old: [[F.relu]]),
}


@pytest.mark.parametrize(("make", "change"), LISTS.values(), ids=LISTS)
def test_a_list_does_not_lose_its_members(make, change):
    net = nn.Module()
    net.items = make()
    before = list(net.state_dict())
    with pytest.raises(OptionTypeError, match="cannot assign"):
        net.items = change(net.items)
    assert list(net.state_dict()) == before
    net.items = make()
    net.items = []
    assert list(net.state_dict()) == []


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, name)


def test_a_wrapper_that_passes_attributes_on_is_copied():
    net = Wrapper(nn.Linear(2, 3))
    for twin in (copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))):
        assert twin.out_features == 3
        assert list(twin.state_dict()) == ["module.weight", "module.bias"]
