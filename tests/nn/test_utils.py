"""fuse_conv_bn_eval: the same logits from convolutions that have taken in their batch norms."""

import numpy as np
import pytest

from minires import Tensor, models, nn, no_grad
from minires.data import Loader, Split
from minires.nn import BatchNorm2d, Conv2d
from minires.nn.functional import relu
from minires.nn.utils import fuse_conv_bn_eval
from minires.train import evaluate

# network: (side of its input, batch norms that follow no convolution: in pre-activated nets the one that each
# unit begins with and the one at the end)
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


def create(name, **options):
    if name == "resnet11":
        return models.CifarResNet(11, "B", bottleneck=True, generator=0)
    if name == "googlenet":
        options["heads"] = False
    return models.create(name, generator=0, **options)


def lively(model, side, rng):
    """The model in evaluation, with statistics, factors and shifts that change something."""
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


@pytest.mark.parametrize("name", NETS)
def test_logits_are_equal_to_rounding(name, rng):
    side, left = NETS[name]
    model = lively(create(name), side, rng)
    x, before = images(side, rng), {k: v.copy() for k, v in model.state_dict().items()}
    fused = fuse_conv_bn_eval(model)
    with no_grad():
        expected, logits = model(x).numpy(), fused(x).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert batch_norms(fused) == left
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("form", "abc")
def test_paths_of_a_resnext(form, rng):
    model = lively(models.CifarResNeXt(11, 2, 4, form=form, generator=0).to("float64"), 32, rng)
    fused, x = fuse_conv_bn_eval(model), Tensor(rng.standard_normal((2, 3, 32, 32)))
    np.testing.assert_allclose(fused(x).numpy(), model(x).numpy(), rtol=1e-9, atol=1e-10)
    assert batch_norms(fused) == (3 if form == "a" else 0)


@pytest.mark.parametrize("order", models.preact.ORDERS)
def test_every_order_of_a_unit(order, rng):
    model = models.PreActResNet(8, order=order, shortcut="B", widths=(4, 6, 8), generator=0).to("float64")
    x = Tensor(rng.standard_normal((2, 3, 16, 16)))
    model(x)
    fused = fuse_conv_bn_eval(model)
    np.testing.assert_allclose(fused(x).numpy(), model.eval()(x).numpy(), rtol=1e-9, atol=1e-10)
    assert batch_norms(fused) < batch_norms(model)


def chain_of(*layers):
    return nn.Sequential(*layers).to("float64")


def assert_same(model, x):
    fused = fuse_conv_bn_eval(model)
    np.testing.assert_allclose(fused(x).numpy(), model.eval()(x).numpy(), rtol=1e-12, atol=1e-13)
    return fused


@pytest.fixture
def x(rng):
    return Tensor(rng.standard_normal((2, 3, 6, 6)))


def trained(bn, rng):
    for tensor in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        tensor.data[...] = rng.uniform(0.5, 2, tensor.shape)
    return bn


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("options", [{}, {"groups": 2}, {"stride": 2, "dilation": 2}], ids=str)
def test_formula(bias, options, rng):
    conv = Conv2d(4, 6, 3, padding=2, bias=bias, generator=0, **options)
    bn = trained(BatchNorm2d(6, eps=0.3), rng)
    fused = assert_same(chain_of(conv, bn), Tensor(rng.standard_normal((2, 4, 7, 7))))
    assert [type(layer) for layer in fused] == [Conv2d, nn.Identity]


def test_it_is_a_copy_for_evaluation(x, rng):
    model = chain_of(Conv2d(3, 4, 3, generator=0), trained(BatchNorm2d(4), rng), nn.Dropout(0.5))
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


def test_folding_again_changes_nothing(x, rng):
    once = fuse_conv_bn_eval(chain_of(Conv2d(3, 4, 3, generator=0), trained(BatchNorm2d(4), rng)))
    np.testing.assert_array_equal(fuse_conv_bn_eval(once)(x).numpy(), once(x).numpy())


def test_batch_norm_behind_something_else_stays(x, rng):
    conv, bn = Conv2d(3, 3, 3, padding=1, generator=0), trained(BatchNorm2d(3), rng)
    for layers in ((bn, conv), (conv, nn.ReLU(), bn), (nn.ReLU(), bn)):
        assert batch_norms(assert_same(chain_of(*layers), x)) == 1


def test_what_is_used_twice_stays(x, rng):
    conv, other = (Conv2d(3, 3, 3, padding=1, generator=0) for _ in range(2))
    bn = trained(BatchNorm2d(3), rng)
    assert batch_norms(assert_same(chain_of(conv, bn, other, bn), x)) == 1
    assert batch_norms(assert_same(chain_of(conv, bn, conv), x)) == 1

    class Alias(nn.Module):
        def __init__(self):
            self.layers = nn.Sequential(conv, bn)
            self.first = conv

        def forward(self, x):
            return self.layers(x) + self.first(x)

    assert batch_norms(assert_same(Alias().to("float64"), x)) == 1


def test_what_a_hook_watches_stays(x, rng):
    model, seen = chain_of(Conv2d(3, 4, 3, generator=0), trained(BatchNorm2d(4), rng)).eval(), []
    model[0].register_forward_hook(lambda module, inputs, y: seen.append(y.numpy()))
    fused = fuse_conv_bn_eval(model)
    fused(x)
    model(x)
    np.testing.assert_array_equal(seen[0], seen[1])


def test_other_classes_stay(x, rng):
    class Twice(BatchNorm2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Shifted(Conv2d):
        def forward(self, x):
            return super().forward(x) + 1

    for conv, bn in ((Conv2d, Twice), (Shifted, BatchNorm2d)):
        model = chain_of(conv(3, 4, 3, generator=0), trained(bn(4), rng))
        assert batch_norms(assert_same(model, x)) == 1


def test_a_module_may_name_its_pairs(x, rng):
    class Named(nn.Module):
        def __init__(self):
            self.conv, self.bn = Conv2d(3, 4, 3, generator=0), trained(BatchNorm2d(4), rng)

        def forward(self, x):
            return relu(self.bn(self.conv(x)))

        def conv_bn_pairs(self):
            return [("conv", "bn")]

    class Unnamed(Named):
        conv_bn_pairs = nn.Module.conv_bn_pairs

    assert batch_norms(assert_same(Named().to("float64"), x)) == 0
    assert batch_norms(assert_same(Unnamed().to("float64"), x)) == 1


def test_a_block_that_has_become_another_one_stays(x, rng):
    """What its class says of pairs was said of another forward."""

    class Between(models.blocks.BasicBlock):
        def residual(self, x, *after):
            return nn.chain(x, self.conv1, relu, self.bn1, self.conv2, self.bn2, *after)

    class Wide(models.blocks.BasicBlock):
        def __init__(self, channels):
            super().__init__(channels, channels)

    for block, left in ((Between(3, 3), 2), (Wide(3), 0)):
        for module in block.modules():
            if isinstance(module, BatchNorm2d):
                trained(module, rng)
        assert batch_norms(assert_same(block.to("float64"), x)) == left
    block = models.blocks.BasicBlock(3, 3).to("float64")
    block.residual = lambda x, *after: nn.chain(x, block.conv1, *after)
    assert batch_norms(assert_same(block, x)) == 2


@pytest.fixture
def loader(rng):
    split = Split(rng.integers(0, 256, (12, 3, 8, 8), np.uint8), rng.integers(0, 10, 12))
    return Loader(split, 5, shuffle=False)


def test_evaluate_folds(loader, rng, monkeypatch):
    model = lively(models.CifarResNet(8, widths=(4, 6, 8), generator=0), 8, rng).train()
    expected = evaluate(model, loader)
    monkeypatch.setattr("minires.train.prediction.fuse_conv_bn_eval", lambda model: model)
    plain = evaluate(model, loader)
    assert plain == pytest.approx(expected, rel=1e-5)
    monkeypatch.setattr("minires.train.prediction.fuse_conv_bn_eval", None)
    model.bn1.register_forward_hook(lambda *_: None)
    assert evaluate(model, loader) == plain  # watched by a hook: as it is
    assert all(module.training for module in model.modules())
