"""The tables of gradient checks cover every operation and every block, and find wrong gradients."""

import inspect
import pkgutil
from importlib import import_module

import numpy as np
import pytest

from minires import Tensor, models, ops
from minires.errors import UnknownNameError
from minires.lab import gradients
from minires.models.blocks import ResidualBlock
from minires.models.weights import TorchvisionTwin
from minires.nn import Module
from minires.ops.activation import Dropout, Relu, Sigmoid
from minires.ops.elementwise import Exp
from minires.ops.norm import FrozenBatchNorm
from minires.ops.pool import MaxPool2d
from minires.ops.shape import Concatenate, Pad

WITHOUT_GRADIENT = {"argmax", "argmin"}
CASES = [(name, case) for name, cases in gradients.BLOCKS.items() for case in cases]


def test_every_operation_is_in_the_table():
    assert set(gradients.OPERATIONS) == set(ops.__all__) - WITHOUT_GRADIENT


def test_every_part_of_a_network_is_in_the_table():
    """Parts are the modules of minires.models without `input_size`, which networks have."""
    modules = [import_module(f"minires.models.{m.name}") for m in pkgutil.iter_modules(models.__path__)]
    classes = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
    parts = {c for c in classes if issubclass(c, Module) and c.__module__.startswith("minires.models")}
    parts = {c for c in parts if not hasattr(c, "input_size")} - {ResidualBlock, TorchvisionTwin}
    assert len(parts) > 10
    checked = {type(module) for _, case in CASES for module in case.make().modules()}
    assert parts - checked == set()


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@pytest.mark.parametrize("shortcut", models.shortcuts.SHORTCUTS)
def test_every_shortcut_is_checked_in_both_sizes(kind, shortcut):
    blocks = [gradients.block_and_input(case) for case in gradients.BLOCKS[f"{kind}_{shortcut}"]]
    (same, x), (halved, z) = blocks
    assert same(x).shape == x.shape
    y = halved(z)
    assert y.shape[1] > z.shape[1]
    assert y.shape[2:] == (z.shape[2] // 2, z.shape[3] // 2 + 1)


@pytest.mark.parametrize("name", gradients.OPERATIONS)
def test_operations_are_below_a_millionth(name):
    result = gradients.check(name)
    assert result.error < 1e-6
    assert result.numbers > 0


# The longest checks, of variations of other blocks. The fast tests check all short blocks and units, and of
# the long ones bottleneck_B, bottleneck_grouped (ResNeXt's form c) and unit_bottleneck_full.
ORDERS = ("original", "bn_after_addition", "relu_before_addition", "relu_only")
LONG = {
    *("resnext_a", "resnext_b"),
    *(f"bottleneck_{shortcut}" for shortcut in models.shortcuts.SHORTCUTS if shortcut != "B"),
    *(f"unit_bottleneck_{order}" for order in ORDERS),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in gradients.BLOCKS]
)
def test_blocks_are_below_a_millionth(name):
    result = gradients.check(name)
    assert result.error < 1e-6
    assert result.numbers > 100


def test_every_number_of_a_block_is_nudged():
    """Input, two convolutions with their batch norms, the projection with its own; for both sizes."""
    same_size = 2 * 2 * 2 * 3 + 2 * (2 * 2 * 9 + 4) + (2 * 2 + 4)
    half_size = 3 * 2 * 4 * 3 + (3 * 2 * 9 + 6) + (3 * 3 * 9 + 6) + (3 * 2 + 6)
    assert gradients.check("basic_C").numbers == same_size + half_size


def test_no_relu_of_a_block_is_near_its_kink(monkeypatch):
    """A nudge of 1e-6 would have to grow 500 times to reach one."""
    inputs, forward = [], Relu.forward
    monkeypatch.setattr(Relu, "forward", lambda self, x: inputs.append(x) or forward(self, x))
    monkeypatch.setattr("minires.nn.sequential.is_plain", lambda step, kind: False)  # ReLUs are called alone
    for name, case in CASES:
        if not case.all_at_once:
            block, x = gradients.block_and_input(case)
            gradients.repeatable_function(block, case.run)(x)
            assert min(np.abs(x).min() for x in inputs) > 5e-4, name
    assert len(inputs) > 100


def test_parameters_that_are_not_nudged_have_no_gradient(rng):
    """Batch norm behind the addition subtracts what the shortcut's own batch norm has added to a channel."""
    left_out = [(name, case) for name, case in CASES if case.zero_gradients]
    assert {name for name, _ in left_out} == {"unit_bn_after_addition", "unit_bottleneck_bn_after_addition"}
    for _, case in left_out:
        block, x = gradients.block_and_input(case)
        f = gradients.repeatable_function(block)
        y = f(x)
        y.backward(rng.standard_normal(y.shape))
        parameters = dict(block.named_parameters())
        largest = max(np.abs(p.grad.numpy()).max() for p in parameters.values())
        for name in case.zero_gradients:
            assert np.abs(parameters[name].grad.numpy()).max() < 1e-13 * largest
            parameters[name].data[...] += 1
        np.testing.assert_allclose(f(x).numpy(), y.numpy(), atol=1e-12)


# In plain56, a nudge in the first layers is large after the last; googlenet has three outputs in training.
NETWORKS = [
    "plain20",
    "plain56",
    "preact_resnet8",
    "wrn_10_1",
    "resnext11_2x4d",
    "nin",
    pytest.param("resnet18", marks=pytest.mark.slow),
    pytest.param("googlenet", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", ["resnet20", *NETWORKS])
def test_a_whole_net_is_below_a_hundred_thousandth(name):
    result = gradients.check(name)
    assert result.error < 1e-5
    assert result.numbers == sum(p.numel() for p in models.create(name).parameters())


def test_a_wrong_gradient_is_found(monkeypatch):
    monkeypatch.setattr(Exp, "backward", lambda self, gy: gy * self.saved * (1 + 1e-5))
    for name in ("exp", "softmax"):
        assert not gradients.check(name).passed
    assert gradients.check("log").passed


# operation, blocks that use it, blocks that do not
WRONG = [
    (Sigmoid, ["basic_exclusive_gating", "bottleneck_shortcut_gating"], ["basic_conv1x1"]),
    (Dropout, ["basic_dropout", "unit_full", "convnet", "score_map"], ["basic_A"]),
    (Pad, ["basic_A", "unit_relu_only"], ["basic_B", "bottleneck_C"]),
    (Concatenate, ["resnext_b", "inception"], ["resnext_a"]),
    (MaxPool2d, ["inception_2014", "convnet"], ["inception_convolution"]),
    (FrozenBatchNorm, ["basic_evaluated", "bottleneck_evaluated"], ["bottleneck_none"]),
]


# Sigmoid alone shows that the check finds a wrong gradient; the slow tests take the other operations.
WRONG = [
    pytest.param(*case, id=case[0].name, marks=[] if case[0] is Sigmoid else pytest.mark.slow)
    for case in WRONG
]


@pytest.mark.parametrize(("operation", "users", "others"), WRONG)
def test_a_wrong_gradient_is_found_in_the_blocks_that_use_it(monkeypatch, operation, users, others):
    backward = operation.backward
    monkeypatch.setattr(operation, "backward", lambda self, gy: backward(self, gy * (1 + 1e-4)))
    assert [name for name in users if gradients.check(name).passed] == []
    assert [name for name in others if not gradients.check(name).passed] == []


@pytest.mark.parametrize(
    ("operation", "net"), [(Pad, "resnet8"), pytest.param(Concatenate, "googlenet", marks=pytest.mark.slow)]
)
def test_a_wrong_gradient_is_found_in_a_whole_net(monkeypatch, operation, net):
    backward = operation.backward
    monkeypatch.setattr(operation, "backward", lambda self, gy: backward(self, gy * (1 + 1e-3)))
    assert not gradients.check(net).passed


def test_dropout_drops_the_same_at_every_call(rng):
    x = Tensor(rng.standard_normal((2, 2, 8, 8)))
    (case,) = gradients.BLOCKS["convnet"]
    block, _ = gradients.block_and_input(case)
    f = gradients.repeatable_function(block)
    np.testing.assert_array_equal(f(x).numpy(), f(x).numpy())
    assert (block(x).numpy() != block(x).numpy()).any()


@pytest.mark.parametrize(
    ("name", "near"), [("con2d", "conv2d"), ("basic_a", "basic_A"), ("unit_ful", "unit_full"), ("nn", "nin")]
)
def test_an_unknown_name_lists_near_ones(name, near):
    with pytest.raises(UnknownNameError, match=f"operation, block or network '{name}'; did you mean.*{near}"):
        gradients.check(name)
