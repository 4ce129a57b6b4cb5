"""Convolutions that apply batch norm and ReLU while they read, as on a GPU, here with the plain kernels."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, models, nn
from minires.backend import kernels
from minires.errors import ShapeError
from minires.nn import functional as F
from minires.ops.conv import Conv2d, conv2d_and_statistics
from minires.ops.normalized_conv import NormalizedConv2d, normalized_conv2d
from minires.optim import SGD


@pytest.fixture
def reading_through(monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: True)


class Chain(nn.Module):
    """conv, bn, relu, conv, bn: the layers of a residual block before the addition."""

    def __init__(self, bias=False):
        generator = np.random.default_rng(0)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False, generator=generator)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=bias, generator=generator)
        self.bn2 = nn.BatchNorm2d(6)

    def forward(self, x):
        return nn.chain(x, self.conv1, self.bn1, F.relu, self.conv2, self.bn2)


def batch_norm(gamma, beta):
    """The arguments of a batch norm of four channels."""
    running = {"running_mean": Tensor(np.zeros(4)), "running_var": Tensor(np.ones(4))}
    return {**running, "weight": gamma, "bias": beta, "momentum": 0.1, "eps": 1e-5}


def images(rng):
    return Tensor(rng.standard_normal((2, 3, 5, 5)), dtype="float32")


def nodes(tensor):
    """The operations that a tensor was computed by."""
    visited, stack = [], [tensor.creator]
    while stack:
        node = stack.pop()
        if node is not None and node not in visited:
            visited.append(node)
            stack += [t.creator for t in node.inputs]
    return visited


def names(tensor):
    return sorted(node.name for node in nodes(tensor))


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("known", [False, True], ids=["measured", "statistics known"])
def test_gradients(stride, groups, known, rng):
    def function(u, gamma, beta, W):
        norm = batch_norm(gamma, beta)
        statistics = kernels.batch_statistics(u.data) if known else None
        return normalized_conv2d(u, statistics, norm, W, stride, 1, 1, groups)[0]

    def expected(u, gamma, beta, W):
        running = Tensor(np.zeros(4)), Tensor(np.ones(4))
        a = F.batch_norm(u, *running, gamma, beta, training=True, relu=True)
        return F.conv2d(a, W, None, stride, 1, 1, groups)

    shapes = (2, 4, 5, 6), (4,), (4,), (6, 4 // groups, 3, 3)
    values = [rng.standard_normal(shape) for shape in shapes]
    assert gradcheck(function, values) < 1e-6
    inputs = list(map(Tensor, values))
    np.testing.assert_allclose(function(*inputs).numpy(), expected(*inputs).numpy(), rtol=1e-12, atol=1e-12)


def test_statistics_are_those_of_the_result(rng):
    x, W = Tensor(rng.standard_normal((2, 4, 5, 5))), Tensor(rng.standard_normal((6, 4, 3, 3)))
    norm = batch_norm(Tensor(np.ones(4)), Tensor(np.zeros(4)))
    for y, statistics in (conv2d_and_statistics(x, W), normalized_conv2d(x, None, norm, W)):
        for array, expected in zip(statistics, kernels.batch_statistics(y.data), strict=True):
            np.testing.assert_array_equal(array, expected)


def test_running_statistics_move_as_in_batch_norm(rng):
    u, W = Tensor(rng.standard_normal((2, 4, 5, 5))), Tensor(rng.standard_normal((6, 4, 3, 3)))
    bn, expected = nn.BatchNorm2d(4).to("float64"), nn.BatchNorm2d(4).to("float64")
    normalized_conv2d(u, None, bn.arguments, W)
    expected(u)
    for name, array in bn.state_dict().items():
        np.testing.assert_array_equal(array, expected.state_dict()[name])


def test_shapes_that_do_not_fit_are_refused(rng):
    u, W = Tensor(rng.standard_normal((2, 4, 5, 5))), Tensor(rng.standard_normal((6, 4, 3, 3)))
    with pytest.raises(ShapeError, match="batch_norm: input"):
        normalized_conv2d(u, None, nn.BatchNorm2d(3).to("float64").arguments, W)
    with pytest.raises(ShapeError, match="conv2d: input"):
        normalized_conv2d(u, None, nn.BatchNorm2d(4).to("float64").arguments, W[:, :3])


@pytest.mark.parametrize("name", ["resnet8", "plain8", "preact_resnet8", "resnext11_4x8d", "wrn_10_1"])
def test_a_net_gives_the_same_with_and_without(name, monkeypatch):
    results = []
    for fused in (False, True):
        monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array, fused=fused: fused)
        model = models.create(name, generator=0).to("float64")
        x = Tensor(np.random.default_rng(1).standard_normal((3, 3, 32, 32)))
        loss = F.cross_entropy(model(x), np.array([3, 1, 4]))
        operations = {type(node) for node in nodes(loss)}
        assert (NormalizedConv2d in operations) == fused
        loss.backward()
        results.append([loss.numpy(), *(p.grad.numpy() for p in model.parameters())])
        results[-1] += [buffer.numpy() for _, buffer in model.named_buffers()]
    for plain, fused in zip(*results, strict=True):
        assert np.abs(plain - fused).max() <= 1e-12 * max(np.abs(plain).max(), 1e-3)


@pytest.mark.parametrize("name", ["resnet8", "preact_resnet8", "wrn_10_1"])
def test_in_evaluation_no_convolution_reads_through_batch_norm(name, rng, reading_through):
    model = models.create(name, generator=0).eval()
    x = Tensor(rng.standard_normal((2, 3, 32, 32)), dtype="float32")
    operations = {type(node) for node in nodes(model(x))}
    assert NormalizedConv2d not in operations


def test_the_normalized_map_is_never_computed(rng, reading_through, monkeypatch):
    shapes = []
    scale_and_shift = kernels.scale_and_shift

    def spy(x, *more, **options):
        shapes.append(x.shape)
        return scale_and_shift(x, *more, **options)

    monkeypatch.setattr(kernels, "scale_and_shift", spy)
    Chain()(images(rng)).sum().backward()
    assert shapes == [(2, 6, 5, 5)]


def test_statistics_come_with_the_convolution(rng, reading_through, monkeypatch):
    monkeypatch.setattr(kernels, "batch_statistics", None)  # it is not called
    y = Chain()(images(rng))
    assert names(y) == ["batch_norm", "conv2d", "normalized_conv2d"]


def test_statistics_that_no_batch_norm_needs_are_not_computed(rng, reading_through):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 3, bias=False))
    assert [node.measured for node in nodes(model(images(rng))) if isinstance(node, Conv2d)] == [False] * 2


def test_a_normalized_map_with_another_use_is_computed(monkeypatch):
    class TwoOutputs(Chain):
        def forward(self, x):
            a = F.relu(self.bn1(self.conv1(x)))
            return self.conv2(a), a

    def gradients(fused):
        monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: fused)
        model = TwoOutputs().to("float64")
        y, a = model(Tensor(np.random.default_rng(0).standard_normal((2, 3, 5, 5))))
        (y.sum() + (a * a).sum()).backward()
        return [p.grad.numpy() for p in model.parameters() if p.grad is not None]

    for plain, fused in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-10, atol=1e-12)


UNUSUAL = {
    "a bias": lambda model: setattr(model, "conv2", Chain(bias=True).conv2),
    "a hook on the batch norm": lambda model: model.bn1.register_forward_hook(lambda *_: None),
    "a hook on the convolution": lambda model: model.conv2.register_forward_hook(lambda *_: None),
    "another class": lambda model: setattr(model, "bn1", type("Own", (nn.BatchNorm2d,), {})(4)),
    "given statistics": lambda model: model.bn1.eval(),
    "a forward of its own": lambda model: setattr(model.bn1, "forward", model.bn1.forward),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_the_map_is_computed_where_a_layer_is_unusual(name, rng, reading_through):
    model = Chain()
    UNUSUAL[name](model)
    assert "normalized_conv2d" not in names(model(images(rng)))


def test_a_training_run_stays_the_same(rng, monkeypatch):
    losses = []
    for fused in (False, True):
        monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array, fused=fused: fused)
        model = models.CifarResNet(8, widths=(4, 6, 8), generator=0).to("float64")
        optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
        x, labels = np.random.default_rng(0).standard_normal((6, 3, 8, 8)), np.arange(6)
        for _ in range(4):
            loss = F.cross_entropy(model(Tensor(x)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:4], losses[4:], rtol=1e-9)
    assert losses[3] < losses[0]
