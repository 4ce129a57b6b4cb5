"""chain gives the result of the plain loop over its steps, in fewer sweeps."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minires import Tensor, models, nn, no_grad
from minires.backend import kernels
from minires.errors import OptionError
from minires.nn import Plus, chain, sequential
from minires.nn import functional as F
from minires.nn.functional import relu

SHAPE = (4, 3, 5, 5)


def plain_loop(x, *steps):
    for step in steps:
        x = step(x)
    return x


@pytest.mark.parametrize(
    ("layers", "name"),
    [([nn.ReLU(), relu], "1"), ([Plus(1)], "0"), ([None], "0"), ([[nn.ReLU(), np.tanh]], r"0\.1")],
)
def test_sequential_takes_modules_only(layers, name):
    with pytest.raises(OptionError, match=rf"Sequential: layer {name} is .*, not a Module; .* nn\.chain"):
        nn.Sequential(*layers)


class DerivedNorm(nn.BatchNorm2d):
    """A subclass of batch norm with another forward."""

    def forward(self, x):
        return super().forward(x) * 2


class DerivedConv(nn.Conv2d):
    """A subclass of convolution with another forward, which takes one argument."""

    def forward(self, x):
        return super().forward(x) + 1


class Minus(Plus):
    """A subclass of Plus that does not add."""

    def __call__(self, x):
        return x - self.z


def conv(bias=True):
    return nn.Conv2d(3, 3, 3, padding=1, bias=bias, generator=0).to("float64")


def norm(training=True, norm_class=nn.BatchNorm2d):
    bn, rng = norm_class(3).to("float64").train(training), np.random.default_rng(1)
    for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        tensor.data[...] = rng.uniform(0.5, 2, 3)
    return bn


def with_hook(module):
    module.outputs = []
    module.register_forward_hook(lambda module, inputs, y: module.outputs.append(y.numpy().copy()))
    return module


def with_own_forward(module):
    forward = module.forward
    module.forward = lambda x: forward(x) * 3
    return module


STEPS = {
    "conv": conv,
    "conv without bias": lambda: conv(bias=False),
    "bn": norm,
    "bn in evaluation": lambda: norm(training=False),
    "relu": lambda: relu,
    "ReLU": nn.ReLU,
    "identity": nn.Identity,
    "plus a map": lambda: Plus(Tensor(np.random.default_rng(2).standard_normal(SHAPE))),
    "plus a row": lambda: Plus(Tensor(np.random.default_rng(3).standard_normal((1, 3, 1, 5)))),
    "plus a number": lambda: Plus(0.5),
    "minus a map": lambda: Minus(Tensor(np.random.default_rng(4).standard_normal(SHAPE))),
    "a function": lambda: F.tanh,
    "sequential": lambda: nn.Sequential(conv(bias=False), norm(), nn.ReLU()),
    "derived conv": lambda: DerivedConv(3, 3, 1, generator=0).to("float64"),
    "derived bn": lambda: norm(norm_class=DerivedNorm),
    "bn with hook": lambda: with_hook(norm()),
    "conv with hook": lambda: with_hook(conv(bias=False)),
    "relu with hook": lambda: with_hook(nn.ReLU()),
    "sequential with hook": lambda: with_hook(nn.Sequential(norm(), nn.ReLU())),
    "own forward": lambda: with_own_forward(norm()),
}


def results(run, names):
    """All that run(x, *steps) computes: output, gradients, buffers, and the outputs that hooks received."""
    steps = [STEPS[name]() for name in names]
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE), requires_grad=True)
    y = run(x, *steps)
    if y.requires_grad:
        y.backward(np.random.default_rng(5).standard_normal(y.shape))
    arrays = [y.numpy()] + ([] if x.grad is None else [x.grad.numpy()])
    for step in steps:
        for module in step.modules() if isinstance(step, nn.Module) else []:
            arrays += getattr(module, "outputs", [])
            arrays += [t.grad.numpy() for _, t in module.named_members(nn.Parameter) if t.grad is not None]
            arrays += [t.numpy() for _, t in module.named_members(nn.Buffer)]
    return arrays


def assert_same(names):
    arrays, expected_arrays = results(chain, names), results(plain_loop, names)
    assert len(arrays) == len(expected_arrays)
    for array, expected in zip(arrays, expected_arrays, strict=True):
        assert array.shape == expected.shape
        np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("fused", [False, True], ids=["as on a CPU", "as on a GPU"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(sorted(STEPS)), max_size=7))
def test_a_chain_is_the_plain_loop(fused, names, monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: fused)
    assert_same(names)


@pytest.mark.parametrize("fused", [False, True], ids=["as on a CPU", "as on a GPU"])
@pytest.mark.parametrize("first", STEPS)
def test_every_two_steps(first, fused, monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: fused)
    for second in STEPS:
        assert_same([first, second, "relu"])


def test_a_chain_without_steps_returns_its_input():
    x = Tensor(np.ones(SHAPE))
    assert chain(x) is x


def test_a_chain_takes_an_array_as_any_layer_does():
    x = np.random.default_rng(0).standard_normal(SHAPE)
    layer = conv()
    np.testing.assert_array_equal(chain(x, layer, relu).numpy(), relu(layer(Tensor(x))).numpy())


def calls_of(kernel_names, monkeypatch, run):
    calls = []

    def recording_kernel(name, original):
        def kernel(*arguments, **options):
            calls.append((name, bool(options.get("relu"))))
            return original(*arguments, **options)

        return kernel

    for name in kernel_names:
        monkeypatch.setattr(kernels, name, recording_kernel(name, getattr(kernels, name)))
    run()
    return calls


SWEEPS = ("convolution", "scale_and_shift", "relu", "add")


@pytest.mark.parametrize("training", [True, False])
def test_a_residual_block_takes_two_sweeps_behind_its_convolutions(training, monkeypatch):
    block = models.blocks.BasicBlock(3, 3).train(training)
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype="float32")
    calls = calls_of(SWEEPS, monkeypatch, lambda: block(x))
    assert calls == [("convolution", False), ("scale_and_shift", True)] * 2


@pytest.mark.parametrize("training", [True, False])
def test_the_convolution_of_a_pre_activated_unit_adds_in_evaluation(training, monkeypatch):
    unit = models.preact.Unit(3, 3).train(training)
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype="float32")
    calls = calls_of(SWEEPS, monkeypatch, lambda: unit(x))
    apart = [("add", False)] if training else []
    assert calls == [("scale_and_shift", True), ("convolution", False)] * 2 + apart


def test_a_folded_block_computes_its_convolutions_only(monkeypatch):
    block = nn.utils.fuse_conv_bn_eval(models.blocks.BasicBlock(3, 3))
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype="float32")
    assert calls_of(SWEEPS, monkeypatch, lambda: block(x)) == [("convolution", True)] * 2


def test_sequential_fuses_its_layers(monkeypatch):
    net = nn.Sequential(conv(), norm(), nn.ReLU(), nn.Sequential(conv(), nn.ReLU()))
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE))
    calls = calls_of(SWEEPS, monkeypatch, lambda: net(x))
    assert calls == [("convolution", False), ("scale_and_shift", True), ("convolution", True)]


def test_fusion_can_be_switched_off(monkeypatch):
    """benchmarks/ladder.py does it in this way."""
    monkeypatch.setattr(sequential, "is_plain", lambda step, module_class: False)
    block = models.blocks.BasicBlock(3, 3)
    x = Tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype="float32")
    calls = calls_of(SWEEPS, monkeypatch, lambda: block(x))
    assert [name for name, _ in calls] == [
        *("convolution", "scale_and_shift", "relu"),
        *("convolution", "scale_and_shift", "add", "relu"),
    ]
    assert not any(fused for _, fused in calls)


def test_a_shortcut_that_returns_nothing_is_refused():
    with pytest.raises(OptionError, match="Plus: there is nothing to add"):
        Plus(None)


@pytest.mark.parametrize("name", ["resnet8", "plain8", "preact_resnet8", "wrn_10_1"])
def test_a_net_gives_the_same_with_and_without_a_graph(name, rng):
    model = models.create(name, generator=rng).to("float64")
    x = Tensor(rng.standard_normal((8, 3, 16, 16)))
    for training in (True, False):
        model.train(training)
        expected = model(x).numpy()
        with no_grad():
            np.testing.assert_array_equal(model(x).numpy(), expected)


def names_of(net):
    return [name for name, _ in net.named_children()]


def linear(size=2):
    return nn.Linear(size, size, bias=False, generator=size)


DROPPED = {
    "a function": lambda: nn.Sequential(nn.ReLU(), relu),
    "in a list": lambda: nn.Sequential([nn.ReLU(), [relu]]),
    "in a tuple": lambda: nn.Sequential(nn.ReLU(), (relu, nn.ReLU())),
    "in a dict": lambda: nn.Sequential({"conv": linear(), "relu": relu}),
    "in a dict in a list": lambda: nn.Sequential([{"relu": relu}]),
    "a generator": lambda: nn.Sequential(layer for layer in [nn.ReLU()]),
    "a set": lambda: nn.Sequential({nn.ReLU()}),
    "map": lambda: nn.Sequential(map(nn.Sequential, [nn.ReLU()])),
    "a parameter": lambda: nn.Sequential(nn.Parameter(np.ones(2))),
    "a class": lambda: nn.Sequential(nn.ReLU),
    "appended": lambda: nn.Sequential(nn.ReLU()).append(relu),
    "a list, appended": lambda: nn.Sequential(nn.ReLU()).append([nn.ReLU()]),
    "extended": lambda: nn.Sequential(nn.ReLU()).extend([relu]),
    "inserted": lambda: nn.Sequential(nn.ReLU()).insert(0, relu),
    "set": lambda: nn.Sequential(nn.ReLU()).__setitem__(0, relu),
    "None, set": lambda: nn.Sequential(nn.ReLU()).__setitem__(0, None),
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_layer_that_is_no_module_is_never_dropped(name):
    with pytest.raises(TypeError, match=r"Sequential: layer [\w.]+ is .*, not a Module") as caught:
        DROPPED[name]()
    assert isinstance(caught.value, OptionError)


def test_a_list_that_changes_later_does_not_change_the_layers():
    layers = [nn.ReLU()]
    net = nn.Sequential(layers)
    layers.append(relu)
    assert net(Tensor([-1.0])).tolist() == [0]
    assert [type(module) for module in net.modules()] == [nn.Sequential, nn.Sequential, nn.ReLU]


def test_names_of_layers_in_lists_and_dicts():
    assert names_of(nn.Sequential(OrderedDict(conv=linear(), relu=nn.ReLU()))) == ["conv", "relu"]
    assert names_of(nn.Sequential({"conv": linear()})) == ["conv"]
    assert list(nn.Sequential([linear(), linear()]).state_dict()) == ["0.0.weight", "0.1.weight"]
    nested = nn.Sequential(linear(), {"a": linear(), "b": [linear()]})
    assert list(nested.state_dict()) == ["0.weight", "1.a.weight", "1.b.0.weight"]


@pytest.mark.parametrize("key", ["a.b", "", 0, "forward", "training"], ids=repr)
def test_names_that_no_layer_can_have_are_refused(key):
    with pytest.raises(OptionError, match=r"without dots|already"):
        nn.Sequential({key: nn.ReLU()})


def test_an_ordered_dict_as_in_pytorch(same_as_torch, rng):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(OrderedDict(fc=torch.nn.Linear(3, 2), relu=torch.nn.ReLU())).double()
    ours = nn.Sequential(OrderedDict(fc=nn.Linear(3, 2), relu=nn.ReLU())).double()
    ours.load_state_dict(theirs.state_dict())
    same_as_torch(ours, theirs, [rng.standard_normal((4, 3))])


CHANGES = {
    "append": lambda net, nn: net.append(nn.Linear(4, 4)),
    "append twice": lambda net, nn: net.append(nn.Linear(4, 4)).append(nn.Linear(5, 5)),
    "extend": lambda net, nn: net.extend([nn.Linear(4, 4), nn.Linear(5, 5)]),
    "extend by a sequential": lambda net, nn: net.extend(nn.Sequential(nn.Linear(4, 4))),
    "insert at the front": lambda net, nn: net.insert(0, nn.Linear(4, 4)),
    "insert": lambda net, nn: net.insert(2, nn.Linear(4, 4)),
    "insert at the end": lambda net, nn: net.insert(3, nn.Linear(4, 4)),
    "insert from the end": lambda net, nn: net.insert(-1, nn.Linear(4, 4)),
    "set": lambda net, nn: net.__setitem__(1, nn.Linear(4, 4)),
    "set from the end": lambda net, nn: net.__setitem__(-1, nn.Linear(4, 4)),
    "set an attribute": lambda net, nn: setattr(net, "head", nn.Linear(4, 4)),
    "set a number": lambda net, nn: setattr(net, "7", nn.Linear(4, 4)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_layers_are_added_and_replaced_as_in_pytorch(name):
    torch = pytest.importorskip("torch")
    shapes = []
    for library in (nn, torch.nn):
        net = library.Sequential(*(library.Linear(i, i) for i in (1, 2, 3)))
        CHANGES[name](net, library)
        shapes.append([(key, tuple(tensor.shape)) for key, tensor in net.state_dict().items()])
        assert len(net) == len(list(net))
        assert [layer.weight.shape[0] for layer in net] == [shape[0] for _, shape in shapes[-1][::2]]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "part", [slice(1, None), slice(0, 2), slice(None, None, 2), slice(3, 1), slice(None)], ids=str
)
def test_a_slice_keeps_the_names_as_in_pytorch(part):
    torch = pytest.importorskip("torch")
    ours, theirs = (lib.Sequential(*(lib.Linear(i, i) for i in (1, 2, 3))) for lib in (nn, torch.nn))
    assert list(ours[part].state_dict()) == list(theirs[part].state_dict())
    assert all(layer in list(ours) for layer in ours[part])


def test_a_layer_appended_to_a_slice_replaces_none():
    """PyTorch's slice of the layers "1" and "2" would name a third one "2" again."""
    part = nn.Sequential(linear(1), linear(2), linear(3))[1:].append(linear(4))
    assert [layer.in_features for layer in part] == [2, 3, 4]
    assert names_of(part) == ["1", "2", "3"]


def test_places_that_do_not_exist_are_refused():
    net = nn.Sequential(nn.ReLU())
    for change in (lambda: net[1], lambda: net.insert(2, nn.ReLU()), lambda: net.__setitem__(1, nn.ReLU())):
        with pytest.raises(IndexError):
            change()
    with pytest.raises(OptionError, match=r"insert\(\) is for numbered layers, not for first"):
        nn.Sequential({"first": nn.ReLU()}).insert(0, nn.ReLU())
