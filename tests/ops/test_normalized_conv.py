"""Convolutions that read through batch norm and ReLU, as on a GPU, here with the plain kernels."""

import gc
from functools import partial

import numpy as np
import pytest

from minires import Tensor, gradcheck, models, nn
from minires.backend import kernels
from minires.nn import functional as F
from minires.ops.conv import Conv2d
from minires.ops.fusion import OpenTensor, as_a_whole
from minires.ops.normalized_conv import NormalizedConv2d


@pytest.fixture
def reading_through(monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: True)


class Chain(nn.Module):
    """conv, bn, relu, conv, bn: what lies between two maps that something else needs."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False, generator=generator)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=False, generator=generator)
        self.bn2 = nn.BatchNorm2d(6)

    def forward(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))


def images(rng):
    return Tensor(rng.standard_normal((2, 3, 5, 5)), dtype="float32")


def nodes(tensor):
    """The operations that made a tensor."""
    found, stack = [], [tensor.creator]
    while stack:
        node = stack.pop()
        if node is not None and node not in found:
            found.append(node)
            stack += [t.creator for t in node.inputs]
    return found


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2)])
def test_gradients(stride, groups, rng, reading_through):
    def function(u, gamma, beta, W):
        running = Tensor(np.zeros(4)), Tensor(np.ones(4))
        a = F.relu(F.batch_norm(u, *running, gamma, beta, training=True))
        y = F.conv2d(a, W, stride=stride, padding=1, groups=groups)
        assert isinstance(y.creator, NormalizedConv2d) or not y.requires_grad
        return y

    shapes = (2, 4, 5, 6), (4,), (4,), (6, 4 // groups, 3, 3)
    values = [rng.standard_normal(shape) for shape in shapes]
    assert gradcheck(partial(as_a_whole, function), values) < 1e-6


@pytest.mark.parametrize("name", ["resnet8", "plain8", "preact_resnet8", "resnext11_4x8d", "wrn_10_1"])
def test_a_net_gives_the_same_with_and_without(name, rng, monkeypatch):
    results = []
    for through in (False, True):
        monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array, through=through: through)
        model = models.create(name, generator=0).to("float64")
        x = Tensor(np.random.default_rng(1).standard_normal((3, 3, 32, 32)))
        loss = F.cross_entropy(model(x), np.array([3, 1, 4]))
        kinds = {type(node) for node in nodes(loss)}
        assert (NormalizedConv2d in kinds) == through
        loss.backward()
        results.append([loss.numpy(), *(p.grad.numpy() for p in model.parameters())])
        results[-1] += [buffer.numpy() for _, buffer in model.named_buffers()]
    for plain, through in zip(*results, strict=True):
        assert np.abs(plain - through).max() <= 1e-12 * max(np.abs(plain).max(), 1e-3)


def test_the_normalized_map_is_never_computed(rng, reading_through, monkeypatch):
    computed = []
    close = OpenTensor.close

    def spy(self):
        if self.is_open:
            computed.append(self.shape)
        close(self)

    monkeypatch.setattr(OpenTensor, "close", spy)
    gc.disable()  # a cycle that kept the open map alive would let it be computed at the end of forward
    try:
        Chain()(images(rng)).sum().backward()
    finally:
        gc.enable()
    assert (2, 4, 5, 5) not in computed
    assert (2, 6, 5, 5) in computed


def test_statistics_come_with_the_convolution(rng, reading_through, monkeypatch):
    y = Chain()(images(rng))
    measured = [node for node in nodes(y) if isinstance(node, (Conv2d, NormalizedConv2d))]
    assert [len(node.output_statistics) for node in measured] == [2, 2]
    monkeypatch.setattr(kernels, "batch_statistics", None)  # nobody needs it any more
    Chain()(images(rng))


def test_a_map_that_something_else_needs_too_is_computed(monkeypatch):
    class Both(Chain):
        def forward(self, x):
            a = F.relu(self.bn1(self.conv1(x)))
            return self.conv2(a), a

    def gradients(through):
        monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: through)
        model = Both().to("float64")
        y, a = model(Tensor(np.random.default_rng(0).standard_normal((2, 3, 5, 5))))
        (y.sum() + (a * a).sum()).backward()
        return [p.grad.numpy() for p in model.parameters() if p.grad is not None]

    for plain, through in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(through, plain, rtol=1e-10, atol=1e-12)


def test_with_a_bias_the_map_is_computed(rng, reading_through):
    model = Chain()
    model.conv2 = nn.Conv2d(4, 6, 3, padding=1)
    assert not any(isinstance(n, NormalizedConv2d) for n in nodes(model(images(rng))))
