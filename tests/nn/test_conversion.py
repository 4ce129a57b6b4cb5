"""Module.to and its relatives, requires_grad_ and train: what changes, and what stays."""

import numpy as np
import pytest

from minires import Tensor, nn, no_grad
from minires.backend import kernels
from minires.errors import MiniresError, OptionError, OptionTypeError
from minires.optim import SGD


def net():
    return nn.Sequential(nn.Conv2d(1, 2, 3, generator=0), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))


def dtypes(module):
    return {tensor.dtype.name for _, tensor in module.named_tensors()}


CONVERSIONS = {
    "a name": lambda m: m.to("float64"),
    "a dtype": lambda m: m.to(np.float64),
    "Python's float": lambda m: m.to(float),
    "device and dtype": lambda m: m.to("cpu", "float64"),
    "keywords": lambda m: m.to(device="cpu", dtype="float64"),
    "a tensor": lambda m: m.to(Tensor(np.ones(1))),
    "double": lambda m: m.double(),
    "there and back": lambda m: m.double().float().cpu().double(),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_a_module_is_converted(name):
    module = net()
    assert CONVERSIONS[name](module) is module
    assert dtypes(module) == {"float64"}
    assert dtypes(module.float()) == {"float32"}


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8", np.int32, int, "complex64"], ids=str)
def test_a_network_of_whole_numbers_is_refused(dtype):
    module = net()
    for convert in (lambda: module.to(dtype), lambda: module.to("float64", dtype)):
        with pytest.raises(TypeError, match="to: a module's dtype must be float32 or float64, not") as caught:
            convert()
        assert isinstance(caught.value, MiniresError)
    assert dtypes(module) == {"float32"}


@pytest.mark.parametrize("target", ["float16", "tpu", 3.5], ids=str)
def test_unknown_targets_are_refused(target):
    with pytest.raises(OptionError, match=f"{target}"):
        net().to(target)


def test_non_blocking_is_refused_by_name():
    with pytest.raises(OptionError, match="to: non_blocking=True is not built here"):
        net().to("cpu", non_blocking=True)


def test_buffers_of_whole_numbers_keep_their_dtype():
    module = net()
    module.register_buffer("count", Tensor(np.array(3)))
    module.register_buffer("mask", Tensor(np.array([True, False])))
    module.to("float64").float()
    assert module.count.dtype == np.int64
    assert module.mask.dtype == bool
    assert module.count.item() == 3


def test_shared_tensors_stay_shared():
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    module[1].weight = module[0].weight
    module.to("float64")
    assert module[1].weight is module[0].weight
    module[0].weight.data[...] = 5
    assert module[1].weight.tolist() == [[5, 5], [5, 5]]


def test_gradients_are_converted_as_in_pytorch():
    layer = nn.Linear(2, 1)
    layer(Tensor([[1.0, 2.0]])).sum().backward()
    layer.to("float64")
    assert layer.weight.grad.dtype == np.float64
    layer.cpu()
    assert layer.weight.grad.tolist() == [[1, 2]]


def test_gradients_become_zero_or_none():
    layer = nn.Linear(2, 1)
    layer(Tensor([[1.0, 2.0]])).sum().backward()
    layer.bias.grad = None
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0, 0]]
    assert layer.bias.grad is None
    layer.zero_grad()
    assert layer.weight.grad is None


@pytest.mark.parametrize("fused", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_frozen_layers_get_no_gradients_and_pass_them_on(fused, rng, monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: fused)
    layers = [nn.Conv2d(2, 3, 3, padding=1, bias=False, generator=0), nn.BatchNorm2d(3), nn.ReLU()]
    layers += [nn.Conv2d(3, 2, 3, padding=1, bias=False, generator=1), nn.BatchNorm2d(2)]
    module, array = nn.Sequential(*layers).to("float64"), rng.standard_normal((3, 2, 5, 5))
    upstream = rng.standard_normal((3, 2, 5, 5))

    def gradients():
        x = Tensor(array, requires_grad=True)
        module.zero_grad()
        module(x).backward(upstream)
        return [x.grad, *(p.grad for p in module.parameters())]

    expected = gradients()
    for frozen in layers:
        assert module.requires_grad_(True) is module
        frozen.requires_grad_(False)
        kept = [True, *(p.requires_grad for p in module.parameters())]
        for keeps, gradient, full in zip(kept, gradients(), expected, strict=True):
            assert (gradient is not None) == keeps
            if keeps:
                np.testing.assert_allclose(gradient.numpy(), full.numpy(), rtol=1e-9, atol=1e-12)


def test_a_frozen_network_is_not_trained():
    module = net().requires_grad_(False)
    module[3].requires_grad_()
    before = {name: array.copy() for name, array in module.state_dict().items()}
    optimizer = SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    module.eval()(Tensor(np.ones((2, 1, 3, 3), np.float32))).sum().backward()
    optimizer.step()
    changed = [name for name, array in module.state_dict().items() if not np.array_equal(array, before[name])]
    assert changed == ["3.weight", "3.bias"]


def test_a_network_without_trained_parameters_has_no_graph():
    module = net().requires_grad_(False)
    x = Tensor(np.ones((2, 1, 3, 3), np.float32))
    assert not module(x).requires_grad
    with no_grad():
        np.testing.assert_array_equal(module.eval()(x).numpy(), module(x).numpy())


class AlwaysInEvaluation(nn.Sequential):
    """Frozen layers, as transfer learning writes them."""

    def train(self, mode=True):
        return super().train(False)


def test_a_layer_with_its_own_train_decides_for_those_below_it():
    module = nn.Sequential(AlwaysInEvaluation(nn.BatchNorm2d(1), nn.Sequential(nn.Dropout())), nn.Dropout())
    module.train()
    frozen = {id(part) for part in module[0].modules()}
    assert [part.training for part in module.modules()] == [id(p) not in frozen for p in module.modules()]
    module[1].train = lambda mode=True: module[1]  # set on the instance
    assert module.eval()[1].training


@pytest.mark.parametrize("mode", ["eval", 1, None], ids=repr)
def test_a_mode_is_true_or_false(mode):
    with pytest.raises(OptionError, match="mode must be true or false"):
        net().train(mode)


def test_a_tensor_of_whole_numbers_does_not_convert_a_network():
    net = nn.Sequential(nn.Linear(2, 1).requires_grad_(False), nn.Linear(1, 1))
    before = net.state_dict()
    with pytest.raises(OptionTypeError, match="float32 or float64, not int64"):
        net.to(Tensor(np.array([1])))
    for key, array in net.state_dict().items():
        assert array is before[key]


def test_a_graph_stays_valid_where_nothing_is_converted():
    layer = nn.Linear(2, 1, generator=0)
    y = layer(Tensor([[1.0, 2.0]], requires_grad=True)).sum()
    layer.to("cpu").float()
    y.backward()
    assert layer.weight.grad.tolist() == [[1, 2]]
