"""fuse_conv_bn_eval: the same logits from convolutions that include the batch norms behind them."""

import threading
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from minires import Tensor, models, nn, no_grad
from minires.backend import kernels
from minires.data import Loader, Split
from minires.errors import OptionError, ShapeError
from minires.nn import BatchNorm2d, Conv2d
from minires.nn.folding import FoldedBatchNorm2d
from minires.nn.functional import relu
from minires.nn.utils import fuse_conv_bn_eval
from minires.train import evaluate
from minires.train.prediction import for_inference

# network: (side of its input, batch norms that follow no convolution: in pre-activated nets, the first one of
# each unit and the one at the end)
NETS = {
    "resnet8": (32, 0),
    "plain8": (32, 0),
    "resnet11": (32, 0),
    "preact_resnet8": (32, 4),
    "wrn_10_1": (32, 4),
    "resnext11_2x4d": (32, 0),
    "resnet18": (64, 0),
    "resnet50": (64, 0),
    "googlenet": (64, 0),
    "vgg16_bn": (32, 0),
    "nin": (32, 0),
}
LARGE = {"vgg16_bn", "resnet50"}


def create(name, **options):
    if name == "resnet11":
        return models.CifarResNet(11, "B", bottleneck=True, generator=0)
    if name == "googlenet":
        options["heads"] = False
    return models.create(name, generator=0, **options)


def with_random_norms(model, side, rng):
    """The model in evaluation, with statistics, factors and shifts that are not the initial ones."""
    for p in model.parameters():
        if p.ndim == 1:
            p.data[...] += 0.2 * rng.standard_normal(p.shape)
    dtype = next(model.parameters()).dtype
    for _ in range(3):
        model(images(side, rng).to(dtype))
    return model.eval()


def images(side, rng, count=4):
    return Tensor(rng.standard_normal((count, 3, side, side)), dtype="float32")


def batch_norms(model):
    return sum(isinstance(module, BatchNorm2d) for module in model.modules())


@pytest.fixture
def sweeps(monkeypatch):
    """A list that grows by one with each batch norm that is computed by itself."""
    shapes, kernel = [], kernels.scale_and_shift

    def recording_kernel(x, *more, **options):
        shapes.append(x.shape)
        return kernel(x, *more, **options)

    monkeypatch.setattr(kernels, "scale_and_shift", recording_kernel)
    return shapes


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in NETS]
)
def test_logits_are_equal_up_to_rounding(name, rng, sweeps):
    side, norms_without_conv = NETS[name]
    model = with_random_norms(create(name), side, rng)
    x, before = images(side, rng), {k: v.copy() for k, v in model.state_dict().items()}
    fused = fuse_conv_bn_eval(model)
    with no_grad():
        expected = model(x).numpy()
        sweeps.clear()
        logits = fused(x).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert len(sweeps) == norms_without_conv
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("form", "abc")
def test_paths_of_a_resnext(form, rng, sweeps):
    model = with_random_norms(models.CifarResNeXt(11, 2, 4, form=form, generator=0).to("float64"), 32, rng)
    fused, x = fuse_conv_bn_eval(model), Tensor(rng.standard_normal((2, 3, 32, 32)))
    expected = model(x).numpy()
    sweeps.clear()
    np.testing.assert_allclose(fused(x).numpy(), expected, rtol=1e-9, atol=1e-10)
    assert len(sweeps) == (3 if form == "a" else 0)  # in each block one batch norm follows a sum


@pytest.mark.parametrize("order", models.preact.ORDERS)
def test_every_order_of_a_unit(order, rng, sweeps):
    model = models.PreActResNet(8, order=order, shortcut="B", widths=(4, 6, 8), generator=0).to("float64")
    x = Tensor(rng.standard_normal((2, 3, 16, 16)))
    model(x)
    fused, expected = fuse_conv_bn_eval(model), model.eval()(x).numpy()
    before = len(sweeps)
    np.testing.assert_allclose(fused(x).numpy(), expected, rtol=1e-9, atol=1e-10)
    assert len(sweeps) - before < batch_norms(model)


def chain_of(*layers):
    return nn.Sequential(*layers).to("float64")


def assert_same(model, x):
    fused = fuse_conv_bn_eval(model)
    np.testing.assert_allclose(fused(x).numpy(), model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)
    return fused


@pytest.fixture
def x(rng):
    return Tensor(rng.standard_normal((2, 3, 6, 6)))


def randomized(bn, rng):
    for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        tensor.data[...] = rng.uniform(0.5, 2, tensor.shape)
    return bn


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"stride": 2, "dilation": 2}], ids=str)
def test_formula(bias, options, rng):
    conv = Conv2d(4, 6, 3, padding=2, bias=bias, generator=0, **options)
    bn = randomized(BatchNorm2d(6, eps=0.3), rng)
    fused = assert_same(chain_of(conv, bn), Tensor(rng.standard_normal((2, 4, 7, 7))))
    assert [type(layer) for layer in fused] == [Conv2d, FoldedBatchNorm2d]


def test_the_result_is_a_copy_for_evaluation(x, rng):
    model = chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng), nn.Dropout(0.5))
    model(x).sum().backward()
    fused = fuse_conv_bn_eval(model)
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in fused.modules())
    assert all(p.grad is None for p in fused.parameters())
    assert all(p.grad is not None for p in model.parameters())
    before = fused(x).numpy().copy()
    for tensor in model.parameters():
        tensor.data[...] = 7
    np.testing.assert_array_equal(fused(x).numpy(), before)


def test_a_buffer_with_a_history_is_copied_without_it(x, rng):
    model = chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng))
    model[1].running_mean = model[1].running_mean * model[1].weight
    fused = assert_same(model, x)
    assert model[1].running_mean.creator is not None
    assert all(buffer.creator is None for buffer in fused.buffers())


def test_a_list_that_holds_itself_is_copied_with_its_layers(x):
    class Circular(nn.Module):
        def __init__(self):
            self.layers = [Conv2d(3, 4, 3, generator=0), BatchNorm2d(4)]
            self.layers += [self.layers, {"again": self.layers}, (self.layers,)]

        def forward(self, x):
            return nn.chain(x, *self.layers[:2])

    model = Circular().to("float64")
    fused = assert_same(model, x)
    assert fused.layers is not model.layers
    assert all(
        found is fused.layers for found in (fused.layers[2], fused.layers[3]["again"], fused.layers[4][0])
    )
    assert batch_norms(fused) == 0


def test_folding_again_changes_nothing(x, rng):
    once = fuse_conv_bn_eval(chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)))
    np.testing.assert_array_equal(fuse_conv_bn_eval(once)(x).numpy(), once(x).numpy())


def test_folded_layers_are_one_convolution(x, rng, monkeypatch):
    fused = fuse_conv_bn_eval(chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)))
    monkeypatch.setattr("minires.backend.kernels.scale_and_shift", None)
    fused(x)


def test_batch_norm_that_follows_no_convolution_stays(x, rng):
    conv, bn = Conv2d(3, 3, 3, padding=1, generator=0), randomized(BatchNorm2d(3), rng)
    for layers in ((bn, conv), (conv, nn.ReLU(), bn), (nn.ReLU(), bn)):
        assert batch_norms(assert_same(chain_of(*layers), x)) == 1


class Parts(nn.Module):
    """A convolution, a batch norm, and a forward that sends maps through them in its own way."""

    def __init__(self, forward, rng):
        convs = [Conv2d(3, 3, 3, padding=1, generator=i) for i in range(2)]
        self.body = nn.Sequential(convs[0], randomized(BatchNorm2d(3), rng), nn.ReLU())
        self.first, self.other, self.bn = *convs, self.body[1]
        self.own_forward = forward

    def forward(self, x):
        return self.own_forward(self, x)


def layer_by_layer(net, x):
    maps = []
    for layer in net.body:
        x = layer(x)
        maps.append(x)
    return maps[0] + maps[-1]


FORWARDS = {
    "all in one call": lambda net, x: net.body(x),
    "layer by layer": layer_by_layer,
    "an addition between": lambda net, x: net.body[1:](net.body[:1](x) + x),
    "the convolution twice": lambda net, x: net.body(x) + net.first(x),
    "the batch norm twice": lambda net, x: nn.chain(x, net.first, net.bn, net.other, net.bn),
    "behind the other one": lambda net, x: net.bn(net.other(x)),
    "by hand": lambda net, x: relu(net.bn(net.first(x))),
    "the weights alone": lambda net, x: nn.functional.conv2d(x, net.body[0].weight) * net.body[1].weight[0],
}


@pytest.mark.parametrize("name", FORWARDS)
def test_the_copys_forward_computes_the_same(name, x, rng):
    """In each way of calling a convolution and a batch norm that stand side by side."""
    assert_same(Parts(FORWARDS[name], rng).to("float64"), x)


def test_outputs_that_a_hook_receives_stay(x, rng):
    for i in range(2):
        model, outputs = chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)).eval(), []
        model[i].register_forward_hook(lambda module, inputs, y, outputs=outputs: outputs.append(y.numpy()))
        fuse_conv_bn_eval(model)(x)
        model(x)
        np.testing.assert_array_equal(*outputs)


def test_subclasses_are_not_folded(x, rng):
    class Twice(BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Shifted(Conv2d):
        def forward(self, x):
            return super().forward(x) + 1

    for conv, bn in ((Conv2d, Twice), (Shifted, BatchNorm2d)):
        model = chain_of(conv(3, 4, 3, generator=0), randomized(bn(4), rng))
        assert batch_norms(assert_same(model, x)) == 1


def test_a_forward_of_its_own_is_refused_since_it_may_call_the_original(x, rng):
    model = chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng))
    forward = model[1].forward
    model[1].forward = lambda x: forward(x) * 2
    with pytest.raises(OptionError, match="1 has a forward of its own"):
        fuse_conv_bn_eval(model)
    assert for_inference(model) is model


def test_batch_norms_that_stay_in_training_are_not_folded(x):
    class Adapting(nn.Sequential):
        """Takes the batch's statistics in evaluation, too."""

        def train(self, mode=True):
            super().train(mode)
            self[1].training = True
            return self

    model = Adapting(Conv2d(3, 4, 3, generator=0), BatchNorm2d(4)).to("float64")
    expected = model.eval()(x).numpy()
    fused = fuse_conv_bn_eval(model)
    np.testing.assert_array_equal(fused(x).numpy(), expected)
    assert batch_norms(fused) == 1


@pytest.mark.parametrize("channels", [(4, 5), (4, 1), (1, 4)])
def test_shapes_that_do_not_fit_are_refused_as_before(channels, x):
    model = chain_of(Conv2d(3, channels[0], 3), BatchNorm2d(channels[1]))
    for net in (model.eval(), fuse_conv_bn_eval(model)):
        with pytest.raises(ShapeError, match=r"batch_norm: input .* does not fit running_mean"):
            net(x)


def test_layers_in_lists_are_found(x, rng):
    class Listed(nn.Module):
        def __init__(self):
            self.layers = [Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)]

        def forward(self, x):
            return nn.chain(x, *self.layers)

    assert batch_norms(assert_same(Listed().to("float64"), x)) == 0
    listed = nn.Sequential([Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)]).to("float64")
    assert batch_norms(assert_same(listed, x)) == 0


def test_attributes_without_weights_are_shared(x, rng):
    class Holding(nn.Module):
        def __init__(self):
            self.net = nn.Sequential(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng))
            self.lock, self.library, self.outputs = threading.Lock(), np, []

        def forward(self, x):
            self.features = self.net(x)
            self.outputs.append(self.features)
            return self.features

    model = Holding().to("float64")
    model(x)
    fused = assert_same(model, x)
    assert fused.lock is model.lock
    assert len(model.outputs) == 3


def test_shared_parts_stay_shared(rng):
    class Twins(nn.Module):
        def __init__(self):
            self.one = self.other = Conv2d(3, 4, 3, generator=0)
            self.third = Conv2d(3, 4, 3, generator=0)
            self.third.weight = self.one.weight

    fused = fuse_conv_bn_eval(Twins())
    assert fused.one is fused.other
    assert fused.third.weight is fused.one.weight
    assert not np.shares_memory(fused.one.weight.data, Twins().one.weight.data)


def test_the_copy_converts_as_other_modules_do(x, rng):
    fused = fuse_conv_bn_eval(chain_of(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)))
    expected = fused(x).numpy()
    np.testing.assert_allclose(fused.to("float32")(x.to("float32")).numpy(), expected, atol=1e-5)
    assert fused(x.to("float32")).dtype == np.float32


def test_the_copys_state_has_the_names_of_the_models(x, rng):
    model = chain_of(Conv2d(3, 4, 3, generator=0), BatchNorm2d(4))
    fused = fuse_conv_bn_eval(model)
    randomized(model[1], rng)
    model[0].weight.data[...] = rng.standard_normal(model[0].weight.shape)
    fused.load_state_dict(model.state_dict())
    np.testing.assert_allclose(fused(x).numpy(), model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)
    assert list(fused.state_dict()) == list(model.state_dict())


# How a forward may change its layers before it calls them: for pruning, weight standardization, dilated
# pyramids and statistics for each domain.
def prune(net):
    net.conv.weight.data[...] *= net.mask


def standardize(net):
    net.conv.weight = nn.Parameter(net.raw_weight.data - net.raw_weight.data.mean())


def dilate(net):
    net.conv.dilation = net.conv.padding = 2


def other_statistics(net):
    net.bn.running_mean = net.other_mean


def other_factor(net):
    net.bn.weight.data[1] *= 3


CHANGES = [prune, standardize, dilate, other_statistics, other_factor]


@pytest.mark.parametrize("change", CHANGES)
def test_a_forward_may_change_its_layers(change, x, rng):
    """A chain computes with the weights that its layers have at the moment of the call."""

    class Changing(nn.Module):
        def __init__(self):
            self.conv = Conv2d(3, 4, 3, padding=1, generator=0)
            self.bn = randomized(BatchNorm2d(4), rng)
            self.mask, self.raw_weight = rng.integers(0, 2, (4, 3, 3, 3)), self.conv.weight
            self.other_mean = nn.Buffer(rng.standard_normal(4))

        def forward(self, x):
            change(self)
            return nn.chain(x, self.conv, self.bn, relu)

    model = Changing().to("float64")
    unfolded = nn.chain(x, model.conv, fuse_conv_bn_eval(model).bn, relu)
    fused = fuse_conv_bn_eval(model)
    first = fused(x).numpy()
    np.testing.assert_allclose(first, model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)
    assert first.shape != unfolded.shape or not np.allclose(first, unfolded.numpy())


Pair = namedtuple("Pair", ["conv", "bn"])


class Layers(list):
    """A subclass of list."""


HOLDERS = {
    "a list": lambda conv, bn: [conv, bn],
    "a tuple": lambda conv, bn: (conv, bn),
    "a dict": lambda conv, bn: {"conv": conv, "bn": bn},
    "a list in a dict": lambda conv, bn: {"both": [conv, bn]},
    "an OrderedDict": lambda conv, bn: OrderedDict(conv=conv, bn=bn),
    "a namedtuple": Pair,
    "a class of lists": lambda conv, bn: Layers([conv, bn]),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_layers_are_copied_with_what_holds_them(holder, x, rng):
    class Holding(nn.Module):
        def __init__(self):
            self.layers = HOLDERS[holder](Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng))
            self.same_layers = self.layers

        def forward(self, x):
            return nn.chain(x, *[module for _, module in self.named_members(nn.Module)][:2])

    model = Holding().to("float64")
    fused = fuse_conv_bn_eval(model)
    assert type(fused.layers) is type(model.layers)
    assert fused.same_layers is fused.layers
    assert {id(m) for m in fused.modules()}.isdisjoint({id(m) for m in model.modules()})
    before = {key: value.copy() for key, value in model.state_dict().items()}
    logits = fused(x).numpy()
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert batch_norms(fused) == 0
    np.testing.assert_allclose(logits, model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)


def test_methods_are_those_of_the_copy(x, rng):
    class Steps(nn.Module):
        def __init__(self):
            self.conv, self.bn = Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng)
            self.steps = [self.body, relu]

        def body(self, x):
            return nn.chain(x, self.conv, self.bn)

        def forward(self, x):
            return nn.chain(x, *self.steps)

    model = Steps().to("float64")
    fused = fuse_conv_bn_eval(model)
    assert fused.steps[0].__self__ is fused
    model.steps[0] = None  # which must not change the copy
    logits = fused(x).numpy()
    model.steps[0] = model.body
    np.testing.assert_allclose(logits, model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)
    model.train().forward = model.body
    np.testing.assert_allclose(np.maximum(fuse_conv_bn_eval(model)(x).numpy(), 0), logits, atol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
def test_two_layers_become_one_as_in_pytorch(bias, x, rng):
    conv = Conv2d(3, 4, 3, bias=bias, generator=0).to("float64").eval()
    bn = randomized(BatchNorm2d(4), rng).to("float64").eval()
    fused = fuse_conv_bn_eval(conv, bn)
    assert type(fused) is Conv2d
    np.testing.assert_allclose(fused(x).numpy(), bn(conv(x)).numpy(), rtol=1e-12, atol=1e-13)
    assert [p.requires_grad for p in fused.parameters()] == [True, True]
    for wrong in (bn.train(), BatchNorm2d(5).eval(), nn.ReLU()):
        with pytest.raises(OptionError, match="does not fold into Conv2d"):
            fuse_conv_bn_eval(conv, wrong)


def test_statistics_of_another_dtype_are_not_folded(rng):
    model = nn.Sequential(Conv2d(3, 4, 3, generator=0), randomized(BatchNorm2d(4), rng))
    model[1].running_var = model[1].running_var.to("float64")
    fused, x = fuse_conv_bn_eval(model), images(8, rng)
    np.testing.assert_array_equal(fused(x).numpy(), model.eval()(x).numpy())


@pytest.fixture
def loader(rng):
    split = Split(rng.integers(0, 256, (12, 3, 8, 8), np.uint8), rng.integers(0, 10, 12))
    return Loader(split, 5, shuffle=False)


def test_evaluate_folds(loader, rng, monkeypatch):
    model = with_random_norms(models.CifarResNet(8, widths=(4, 6, 8), generator=0), 8, rng).train()
    expected = evaluate(model, loader)
    monkeypatch.setattr("minires.train.prediction.fuse_conv_bn_eval", lambda model: model)
    plain = evaluate(model, loader)
    assert plain == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr("minires.train.prediction.fuse_conv_bn_eval", None)
    model.bn1.register_forward_hook(lambda *_: None)
    assert evaluate(model, loader) == plain  # with a hook, the model itself is evaluated
    assert all(module.training for module in model.modules())
