"""Networks that must compute the same: open gates, factors 1, the three forms of ResNeXt, zeroed blocks."""

import numpy as np
import pytest

from minires import Tensor, data, no_grad
from minires.models import CifarResNet, CifarResNeXt, PreActResNet, ResNet, WideResNet
from minires.models.blocks import BasicBlock, Bottleneck
from minires.models.inception import Inception
from minires.models.preact import Unit
from minires.models.resnext import PathsBlock
from minires.nn import BatchNorm2d
from minires.nn.functional import cross_entropy
from minires.optim import SGD


def randomize(module, rng):
    """Give the module random weights and statistics: zeros or ones could hide a difference."""
    for name, array in module.state_dict().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else rng.normal(0, 0.5, array.shape)
    return module


def images(rng, *shape, dtype="float64"):
    return Tensor(rng.standard_normal(shape), dtype=dtype, requires_grad=True)


def copy_shared(source, target):
    """Copy all weights of `source` into `target`, whose additional weights stay as they are."""
    state = target.state_dict() | source.state_dict()
    target.load_state_dict({name: array.copy() for name, array in state.items()})


# ---- shortcut types (He et al. 2016, Figure 2)


def create_pair(shortcut, rng, **options):
    """A ResNet-8 with identity shortcuts, and one with `shortcut` and the same weights."""
    identity_net = CifarResNet(8, "A", widths=(4, 6, 8), generator=rng)
    other = CifarResNet(8, shortcut, widths=(4, 6, 8), generator=rng, **options)
    copy_shared(identity_net, other)
    return identity_net, other


def assert_same_net(net, other, rng, exactly=True):
    """Same logits and gradients in training; `exactly`: bit for bit."""
    x = rng.standard_normal((4, 3, 16, 16)).astype("float32")
    u = rng.standard_normal((4, 10)).astype("float32")
    results = []
    for model in (net, other):
        y = model(Tensor(x))
        y.backward(u)
        results.append([y.numpy(), *(p.grad.numpy() for p in shared_parameters(model, net))])
    for a, b in zip(*results, strict=True):
        assert np.abs(a).max() > 0
        if exactly:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(a).max())


def shared_parameters(model, net):
    """The parameters of `model` that `net` has, too."""
    names = dict(net.named_parameters())
    return [p for name, p in model.named_parameters() if name in names]


def test_constant_scaling_by_one_is_the_identity_net(rng):
    assert_same_net(*create_pair("constant_scaling", rng, factors=(1, 1)), rng)


def test_constant_scaling_scales(rng):
    x, F = (Tensor(rng.standard_normal((2, 3, 4, 4))) for _ in range(2))
    block = BasicBlock(3, 3, shortcut="constant_scaling", factors=(0.25, 2.0))
    np.testing.assert_allclose(block.addition(x, F).numpy(), 0.25 * x.numpy() + 2 * F.numpy())


def test_shortcut_only_gate_forced_open_is_the_identity_net(rng):
    """With g = 0 the shortcut is not dampened. The sigmoid of -200 is 0 in float32."""
    identity_net, gated = create_pair("shortcut_gating", rng, gate_bias=-200)
    assert_same_net(identity_net, gated, rng)


def test_exclusive_gate_is_the_identity_at_one_end_and_a_plain_net_at_the_other(rng):
    """(1 - g) x + g F cannot pass both x and F: g = 0 gives x alone, g = 1 gives F alone."""
    x = images(rng, 2, 4, 6, 6, dtype="float32")
    block = BasicBlock(4, 4, shortcut="exclusive_gating", gate_bias=-200)
    np.testing.assert_array_equal(block(x).numpy(), np.maximum(x.numpy(), 0))
    block.addition.gate.bias.data[...] = 200
    plain = BasicBlock(4, 4, shortcut="none")
    plain.load_state_dict({k: v for k, v in block.state_dict().items() if not k.startswith("addition")})
    np.testing.assert_array_equal(block(x).numpy(), plain(x).numpy())


@pytest.mark.parametrize("shortcut", ["exclusive_gating", "shortcut_gating"])
def test_gates_follow_their_formulas(rng, shortcut):
    x, F = (Tensor(rng.standard_normal((2, 3, 4, 4))) for _ in range(2))
    addition = randomize(BasicBlock(3, 3, shortcut=shortcut).to("float64").addition, rng)
    W, b = addition.gate.weight.numpy()[:, :, 0, 0], addition.gate.bias.numpy()
    g = 1 / (1 + np.exp(-(np.einsum("oc,nchw->nohw", W, x.numpy()) + b[:, None, None])))
    expected = (1 - g) * x.numpy() + (g if shortcut == "exclusive_gating" else 1) * F.numpy()
    np.testing.assert_allclose(addition(x, F).numpy(), expected, rtol=1e-12, atol=1e-14)


def test_identity_matrices_in_1x1_convolutions_are_the_identity_net(rng):
    """Where dimensions grow, they are rectangular: their rows of zeros give the zero channels of option A."""
    identity_net, projecting = create_pair("conv1x1", rng)
    for block, identity_block in zip(blocks_of(projecting), blocks_of(identity_net), strict=True):
        weight = block.downsample.weight
        O, C = weight.shape[:2]
        before = getattr(identity_block.downsample, "before", 0)
        weight.data[...] = np.eye(O, C, k=-before)[:, :, None, None]
    assert_same_net(identity_net, projecting, rng, exactly=False)


def test_dropout_shortcut_is_the_identity_net_without_dropping(rng):
    assert_same_net(*create_pair("dropout", rng, drop_rate=0.0), rng)


def test_dropout_shortcut_drops_the_shortcut_alone(rng):
    block = BasicBlock(4, 4, shortcut="dropout", drop_rate=0.5)
    block.bn2.weight.data[...] = 0  # F = 0
    x = Tensor(rng.uniform(1, 2, (2, 4, 8, 8)), dtype="float32")
    y = block(x).numpy()
    assert 0.4 < (y == 0).mean() < 0.6
    np.testing.assert_allclose(y[y > 0], 2 * x.numpy()[y > 0], rtol=1e-6)
    np.testing.assert_array_equal(block.eval()(x).numpy(), x.numpy())


# ---- the order of activations


def blocks_of(net):
    return [block for name in ("layer1", "layer2", "layer3") for block in getattr(net, name)]


@pytest.mark.parametrize("bottleneck", [False, True], ids=["basic", "bottleneck"])
def test_the_original_order_is_the_original_net(rng, bottleneck):
    depth, shortcut = (11, "B") if bottleneck else (8, "A")
    options = {"bottleneck": bottleneck, "widths": (4, 6, 8), "generator": rng}
    net = CifarResNet(depth, shortcut, **options)
    preact_net = PreActResNet(depth, shortcut, order="original", **options)
    preact_net.load_state_dict(rename_layers(net.state_dict(), 3 if bottleneck else 2))
    x = rng.standard_normal((4, 3, 16, 16)).astype("float32")
    for training in (True, False):
        for network in (net, preact_net):
            network.train(training)
        np.testing.assert_array_equal(net(Tensor(x)).numpy(), preact_net(Tensor(x)).numpy())


def rename_layers(state, convolutions):
    """The state under PreActResNet's names: its branches number their layers, conv BN ReLU conv BN."""
    stem_names = {"conv1": "stem.0", "bn1": "stem.1"}
    branch_names = {f"conv{i + 1}": f"residual.{3 * i}" for i in range(convolutions)}
    branch_names |= {f"bn{i + 1}": f"residual.{3 * i + 1}" for i in range(convolutions)}
    result = {}
    for name, array in state.items():
        *prefix, layer, parameter = name.split(".")
        if prefix and "downsample" in prefix:
            prefix[prefix.index("downsample")] = "shortcut"
        elif prefix:
            layer = branch_names[layer]
        else:
            layer = stem_names.get(layer, layer)
        result[".".join([*prefix, layer, parameter])] = array
    return result


UNITS = {
    "original": "conv BN ReLU conv BN + ReLU",
    "bn_after_addition": "conv BN ReLU conv + BN ReLU",
    "relu_before_addition": "conv BN ReLU conv BN ReLU +",
    "relu_only": "ReLU conv BN ReLU conv BN +",
    "full": "BN ReLU conv BN ReLU conv +",
}


@pytest.mark.parametrize("order", UNITS)
def test_units_have_their_layers_in_the_papers_order(order):
    unit = Unit(4, 4, order=order)
    kinds = {"Conv2d": "conv", "BatchNorm2d": "BN", "ReLU": "ReLU"}
    before, residual, after = (
        [kinds[type(layer).__name__] for layer in part] for part in (unit.before, unit.residual, unit.after)
    )
    assert " ".join([*before, *residual, "+", *after]) == UNITS[order]


@pytest.mark.parametrize("order", ["relu_only", "full"])
def test_only_additions_are_on_the_shortcut_path_of_a_pre_activated_net(rng, order):
    """With F = 0 a unit is the identity, negative numbers included (equation 4)."""
    unit = Unit(4, 4, order=order)
    layers = list(unit.residual)
    last_layer = layers[-1]
    last_layer.weight.data[...] = 0
    x = images(rng, 2, 4, 6, 6, dtype="float32")
    np.testing.assert_array_equal(unit(x).numpy(), x.numpy())


def test_shortcut_and_branch_of_the_first_unit_take_an_activated_map(rng):
    """Identity Mappings, appendix: the activation behind conv1 comes before shortcut and branch separate."""
    net = PreActResNet(8, widths=(4, 6, 8), generator=rng)
    assert [unit.activated for unit in blocks_of(net)] == [True, False, False]
    first = net.layer1[0]
    list(first.residual)[-1].weight.data[...] = 0
    x = images(rng, 2, 4, 6, 6, dtype="float32")
    np.testing.assert_array_equal(first(x).numpy(), first.before(x).numpy())
    assert (first(x).numpy() >= 0).all()
    assert isinstance(net.end[0], BatchNorm2d)
    assert len(net.stem) == 1


def test_pre_activated_projections_take_the_activated_map(rng):
    """Where dimensions grow, one BN and ReLU serve both the shortcut and the residual branch."""
    net = PreActResNet(11, "B", bottleneck=True, widths=(4, 6, 8), generator=rng)
    assert [unit.activated for unit in blocks_of(net)] == [True, True, True]
    wide = WideResNet(16, 1, generator=rng)
    assert [unit.activated for unit in blocks_of(wide)] == [False, False, True, False, True, False]


def test_dropout_of_a_wide_net_is_between_its_convolutions():
    unit = blocks_of(WideResNet(10, 2, dropout=0.3, generator=0))[0]
    assert [type(layer).__name__ for layer in (*unit.before, *unit.residual)] == [
        "BatchNorm2d",
        "ReLU",
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Dropout",
        "Conv2d",
    ]


# ---- the forms of ResNeXt (Xie et al. 2016, Figure 3)


@pytest.mark.parametrize("form", ["a", "b"])
@pytest.mark.parametrize(("stride", "in_channels"), [(1, 32), (2, 16)])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_forms_of_a_block_agree(rng, form, stride, in_channels, training):
    options = {"groups": 4, "width_per_group": 16}
    grouped = Bottleneck(in_channels, 8, stride, stride_in_1x1=False, **options).to("float64")
    paths = PathsBlock(in_channels, 8, stride, form=form, **options).to("float64")
    paths.load_bottleneck(randomize(grouped, rng))
    grouped.train(training)
    paths.train(training)
    x1 = images(rng, 3, in_channels, 6, 6)
    x2 = Tensor(x1.numpy(), requires_grad=True)
    y1, y2 = grouped(x1), paths(x2)
    u = rng.standard_normal(y1.shape)
    y1.backward(u)
    y2.backward(u)
    assert_close(y1, y2)
    assert_close(x1.grad, x2.grad)
    gradients = PathsBlock(in_channels, 8, stride, form=form, **options).to("float64")
    bottleneck = Bottleneck(in_channels, 8, stride, stride_in_1x1=False, **options).to("float64")
    for (_, p), (_, source) in zip(bottleneck.named_parameters(), grouped.named_parameters(), strict=True):
        p.data[...] = source.grad.numpy()
    gradients.load_bottleneck(bottleneck)  # gradients are split among the paths in the same way as weights
    for (_, expected), (_, p) in zip(gradients.named_parameters(), paths.named_parameters(), strict=True):
        assert_close(p.grad, expected)


def assert_close(result, expected):
    a, b = result.numpy(), expected.numpy()
    assert a.shape == b.shape
    np.testing.assert_allclose(
        a, b, rtol=0, atol=1e-12 * max(np.abs(b).max(), 1)
    )  # some are 0 up to rounding


def test_forms_of_a_network_agree(rng):
    nets = {form: CifarResNeXt(11, 4, 8, form=form, generator=rng).eval() for form in "abc"}
    x = Tensor(rng.standard_normal((2, 3, 16, 16)), dtype="float32")
    with no_grad():
        expected = nets["c"](x).numpy()
        for form in "ab":
            copy_form(nets["c"], nets[form])
            np.testing.assert_allclose(
                nets[form](x).numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
            )


def copy_form(grouped, paths):
    outside = {k: v for k, v in grouped.state_dict().items() if not k.startswith("layer")}
    paths.load_state_dict(paths.state_dict() | outside)
    for block, bottleneck in zip(blocks_of(paths), blocks_of(grouped), strict=True):
        block.load_bottleneck(bottleneck)


# ---- the constructed solution: a deeper net that computes the same as a shallower one


def deepen(shallow, deep, stages):
    """Load the shallow net's weights into the deep one and make its additional blocks identities."""
    state = deep.state_dict() | {name: array.copy() for name, array in shallow.state_dict().items()}
    deep.load_state_dict(state)
    for stage in stages:
        added = list(getattr(deep, stage))[len(getattr(shallow, stage)) :]
        assert added or stage == "layer1"
        for block in added:
            silence(block)
    return deep


def silence(block):
    """Set the last weights of the branch to zero, so that F = 0."""
    if isinstance(block, Unit):
        list(block.residual)[-1].weight.data[...] = 0
        return
    last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
    last.weight.data[...] = last.bias.data[...] = 0


def train(net, rng, size=16, steps=6):
    """Train the net for a few steps on synthetic pictures."""
    split = data.shapes(train=64, test=10).train
    optimizer = SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        indices = rng.integers(0, len(split), 16)
        x = Tensor(split.images[indices, :, :size, :size] / 255, dtype="float32")
        loss = cross_entropy(net(x), split.labels[indices] % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


CIFAR_STAGES = ("layer1", "layer2", "layer3")
PAIRS = {
    "residual": (lambda g: CifarResNet(8, generator=g), lambda g: CifarResNet(20, generator=g)),
    "option B": (lambda g: CifarResNet(8, "B", generator=g), lambda g: CifarResNet(14, "B", generator=g)),
    "bottleneck": (
        lambda g: CifarResNet(11, "B", bottleneck=True, generator=g),
        lambda g: CifarResNet(29, "B", bottleneck=True, generator=g),
    ),
    "pre-activation": (lambda g: PreActResNet(8, generator=g), lambda g: PreActResNet(20, generator=g)),
    "wide": (lambda g: WideResNet(10, 1, generator=g), lambda g: WideResNet(22, 1, generator=g)),
    "ResNeXt": (lambda g: CifarResNeXt(11, 4, 4, generator=g), lambda g: CifarResNeXt(20, 4, 4, generator=g)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_trained_net_deepened_by_zeroed_blocks_computes_the_same(rng, pair):
    shallow, deep = (make(rng) for make in PAIRS[pair])
    deepen(train(shallow, rng), deep, CIFAR_STAGES)
    x = Tensor(rng.standard_normal((4, 3, 16, 16)), dtype="float32")
    for training in (True, False):
        shallow.train(training)
        deep.train(training)
        with no_grad():
            np.testing.assert_array_equal(deep(x).numpy(), shallow(x).numpy())


def test_resnet34_contains_resnet18(rng):
    widths = (8, 8, 16, 16)
    shallow = train(ResNet(18, widths=widths, classes=10, generator=rng), rng, size=32, steps=3)
    deep = deepen(shallow, ResNet(34, widths=widths, classes=10, generator=rng), (*CIFAR_STAGES, "layer4"))
    x = Tensor(rng.standard_normal((2, 3, 64, 64)), dtype="float32")
    with no_grad():
        np.testing.assert_array_equal(deep.eval()(x).numpy(), shallow.eval()(x).numpy())


def test_an_inception_module_puts_its_branches_side_by_side(rng):
    module = Inception(8, 4, 3, 5, 2, 6, 7)
    x = Tensor(rng.standard_normal((2, 8, 9, 9)), dtype="float32")
    parts = [getattr(module.eval(), f"branch{i}")(x).numpy() for i in (1, 2, 3, 4)]
    assert [part.shape for part in parts] == [(2, n, 9, 9) for n in (4, 5, 6, 7)]
    np.testing.assert_array_equal(module(x).numpy(), np.concatenate(parts, axis=1))
