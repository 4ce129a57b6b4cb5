"""Networks that are copied and pickled: the copy computes the same, and shares nothing with the network."""

import copy
import pickle

import numpy as np
import pytest

from minires import Tensor, models, nn


def double(module, inputs, output):
    return output * 2


def hooked():
    net = trained()
    net[1].register_forward_hook(double)
    net.register_forward_hook(double)
    return net


def tied():
    net = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False), nn.ReLU())
    net[1].weight = net[0].weight
    return net


def trained():
    """After a backward: the parameters have gradients, the statistics have moved, masks have been drawn."""
    layers = [nn.Conv2d(2, 2, 3, padding=1, generator=0), nn.BatchNorm2d(2), nn.Dropout(0.5, generator=3)]
    net = nn.Sequential(*layers)
    net(images()).sum().backward()
    return net


def averaging():
    net = nn.Sequential(nn.BatchNorm2d(2, momentum=None))
    net(images())
    return net


def holding_itself():
    net = nn.Sequential(nn.Conv2d(2, 2, 1, generator=0))
    net.table = {"layer": net[0]}
    net.table["table"] = net.table
    return net


NETS = {function.__name__: function for function in (hooked, tied, trained, averaging, holding_itself)}
NETS["resnet"] = lambda: models.CifarResNet(8, in_channels=2, widths=(2, 2, 2), generator=0)
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda net: pickle.loads(pickle.dumps(net))}


def images():
    return Tensor(np.random.default_rng(0).standard_normal((4, 2, 5, 5)), dtype="float32")


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", NETS)
def test_a_copy_computes_the_same_and_shares_nothing(name, how):
    net = NETS[name]()
    twin = COPIES[how](net)
    state = {key: array.copy() for key, array in net.state_dict().items()}
    assert list(twin.state_dict()) == list(state)
    assert {id(m) for m in twin.modules()}.isdisjoint({id(m) for m in net.modules()})
    outputs = [module(images()).numpy() for module in (net, twin)]  # in training, with dropout's generators
    np.testing.assert_array_equal(*outputs)
    for tensor in twin.parameters():
        tensor.data[...] = 7
    for key, array in net.state_dict().items():
        if key in dict(net.named_parameters()):
            np.testing.assert_array_equal(array, state[key])


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_keeps_what_is_shared_and_what_is_frozen(how):
    net = tied()
    net[2].add_module("frozen", nn.Linear(1, 1).requires_grad_(False))
    twin = COPIES[how](net)
    assert twin[1].weight is twin[0].weight
    assert [p.requires_grad for p in twin.parameters()] == [True, False, False]


@pytest.mark.parametrize("how", COPIES)
def test_the_hooks_of_a_copy_are_its_own(how):
    net = nn.ReLU()
    handle = net.register_forward_hook(double)
    twin = COPIES[how](net)
    handle.remove()
    assert net(Tensor([3.0])).tolist() == [3]
    assert twin(Tensor([3.0])).tolist() == [6]


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_refuses_what_the_network_refuses(how):
    layer = nn.Linear(2, 2, bias=False)
    layer.weight = None
    twin = COPIES[how](layer)
    for name in ("weight", "bias"):
        with pytest.raises(TypeError, match=name):
            setattr(twin, name, Tensor([1.0]))
