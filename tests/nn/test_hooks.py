"""Forward hooks: they see the output, and may replace it, as in PyTorch."""

import numpy as np
import pytest

from minires import Tensor, nn
from minires.backend import kernels
from minires.errors import OptionError, OptionTypeError
from minires.nn import functional as F


def double(module, inputs, output):
    return output * 2


def add_one(module, inputs, output):
    return output + 1


def see(module, inputs, output):
    return None


def result(module):
    return module(Tensor([3.0])).tolist()


def test_what_a_hook_returns_is_the_output():
    layer = nn.ReLU()
    for hook in (double, see, add_one):
        layer.register_forward_hook(hook)
    assert result(layer) == [7]
    layer.register_forward_hook(double, prepend=True)
    assert result(layer) == [13]


def test_a_hook_may_return_anything_but_none():
    layer = nn.ReLU()
    layer.register_forward_hook(lambda *_: 0)
    assert layer(Tensor([3.0])) == 0


def test_of_two_equal_registrations_one_is_removed():
    layer = nn.ReLU()
    first, second = (layer.register_forward_hook(add_one) for _ in range(2))
    assert result(layer) == [5]
    second.remove()
    assert result(layer) == [4]
    second.remove()
    assert result(layer) == [4]
    first.remove()
    assert result(layer) == [3]


def test_a_hook_may_get_the_keyword_arguments():
    calls = []
    layer = nn.BatchNorm1d(1)
    layer.register_forward_hook(lambda *arguments: calls.append(arguments), with_kwargs=True)
    x = Tensor([[1.0], [2.0]])
    y = layer(x, relu=True)
    (module, inputs, options, output) = calls[0]
    assert (module, inputs, options) == (layer, (x,), {"relu": True})
    assert output is y


def test_always_call_is_refused_by_name():
    with pytest.raises(OptionError, match="register_forward_hook: always_call=True is not built here"):
        nn.ReLU().register_forward_hook(see, always_call=True)


def test_hooks_as_in_pytorch():
    torch = pytest.importorskip("torch")
    for hooks in ([double, add_one], [add_one, double], [see, double, see]):
        ours, theirs = nn.Sequential(nn.ReLU()), torch.nn.Sequential(torch.nn.ReLU())
        for i, hook in enumerate(hooks):
            for net in (ours, theirs):
                net[0].register_forward_hook(hook, prepend=bool(i % 2))
                net.register_forward_hook(hook)
        assert result(ours) == theirs(torch.tensor([3.0])).tolist()


@pytest.fixture(params=[False, True], ids=["as on a CPU", "as on a GPU"])
def fused(request, monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: request.param)


@pytest.mark.parametrize("hooked", range(4))
def test_a_chain_passes_on_what_a_hook_returned(hooked, fused, rng):
    """Each layer that a chain would fuse with its neighbours."""
    conv = nn.Conv2d(2, 2, 3, padding=1, bias=False, generator=0)
    layers = [conv, nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3, bias=False, generator=1)]
    net, x = nn.Sequential(*layers).to("float64"), Tensor(rng.standard_normal((3, 2, 5, 5)))
    layers[hooked].register_forward_hook(double)
    expected = x
    for layer in layers:
        expected = layer(expected)
    np.testing.assert_allclose(net(x).numpy(), expected.numpy(), rtol=1e-12)
    plain = nn.Sequential(*(nn.Sequential(layer) for layer in layers))
    plain.register_forward_hook(add_one)
    np.testing.assert_allclose(nn.chain(x, plain, F.tanh).numpy(), np.tanh(expected.numpy() + 1), rtol=1e-12)


@pytest.mark.parametrize("hooked", [0, 1])
def test_folding_leaves_a_layer_whose_hook_changes_its_output(hooked, rng):
    net = nn.Sequential(nn.Conv2d(2, 2, 3, generator=0), nn.BatchNorm2d(2)).to("float64").eval()
    net[hooked].register_forward_hook(double)
    x = Tensor(rng.standard_normal((3, 2, 5, 5)))
    np.testing.assert_allclose(nn.utils.fuse_conv_bn_eval(net)(x).numpy(), net(x).numpy(), rtol=1e-12)


def test_a_hook_that_is_a_method_belongs_to_the_copy():
    class Keeping(nn.Module):
        def __init__(self):
            self.layer, self.kept = nn.ReLU(), None
            self.layer.register_forward_hook(self.keep)

        def keep(self, module, inputs, output):
            self.kept = output

        def forward(self, x):
            return self.layer(x)

    model = Keeping()
    copy = nn.utils.fuse_conv_bn_eval(model)
    copy(Tensor([3.0]))
    assert model.kept is None
    assert copy.kept.tolist() == [3]


def test_a_hook_may_be_there_for_a_block_only():
    layer = nn.ReLU()
    with layer.register_forward_hook(lambda module, inputs, output: output + 1):
        assert layer(Tensor([1.0])).tolist() == [2]
    assert layer(Tensor([1.0])).tolist() == [1]
    with pytest.raises(OptionTypeError, match="hook must be a function, not None"):
        layer.register_forward_hook(None)
