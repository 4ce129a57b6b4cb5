"""Operations joined into one: the same numbers, gradients and graph."""

import numpy as np
import pytest

from minires import Tensor, gradcheck, models, nn, no_grad
from minires.backend import kernels
from minires.nn import functional as F
from minires.ops import fusion
from minires.ops.fusion import OpenTensor


@pytest.fixture
def inside():
    """As if all of the test were a module's forward."""
    token = fusion._opened.set([])
    yield
    fusion._opened.reset(token)


@pytest.fixture
def tensors(rng):
    """x, z: (4, 3, 5, 5), gamma, beta: (3,), all with gradients."""
    shapes = (4, 3, 5, 5), (4, 3, 5, 5), (3,), (3,)
    return [Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def normalized(x, gamma, beta, training=True):
    running = Tensor(np.zeros(3)), Tensor(np.ones(3))
    return F.batch_norm(x, *running, gamma, beta, training=training)


def apart(monkeypatch):
    """Let nothing join."""
    monkeypatch.setattr(OpenTensor, "join", lambda self, *more, **options: None)


def computed(expression, tensors, upstream):
    for tensor in tensors:
        tensor.grad = None
    y = expression(*tensors)
    y.backward(upstream)
    return [y.numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)]


EXPRESSIONS = {
    "bn": lambda x, z, g, b: normalized(x, g, b),
    "relu": lambda x, z, g, b: F.relu(normalized(x, g, b)),
    "add": lambda x, z, g, b: normalized(x, g, b) + z,
    "add from the left": lambda x, z, g, b: z + normalized(x, g, b),
    "block": lambda x, z, g, b: F.relu(normalized(x, g, b) + z),
    "two of them": lambda x, z, g, b: F.relu(normalized(x, g, b) + normalized(z, g, b)),
    "with itself": lambda x, z, g, b: (lambda y: F.relu(y + y))(normalized(x, g, b)),
    "used twice": lambda x, z, g, b: (lambda y: F.relu(y) * y)(normalized(x, g, b)),
    "broadcast": lambda x, z, g, b: F.relu(normalized(x, g, b) + z[:1, :, :1]),
    "a number": lambda x, z, g, b: F.relu(normalized(x, g, b) + 1),
    "evaluation": lambda x, z, g, b: F.relu(normalized(x, g, b, training=False) + z),
    "the input once more": lambda x, z, g, b: F.relu(normalized(x, g, b) + x),
}


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_joined_and_apart_agree(name, tensors, rng, monkeypatch):
    expression = EXPRESSIONS[name]
    upstream = rng.standard_normal(expression(*tensors).shape)
    together = computed(expression, tensors, upstream)
    apart(monkeypatch)
    one_by_one = computed(expression, tensors, upstream)
    assert len(together) == len(one_by_one)
    for a, b in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("name", ["relu", "block", "two of them", "evaluation"])
def test_gradients_of_joined_operations(name, rng):
    shapes = (3, 3, 2, 2), (3, 3, 2, 2), (3,), (3,)
    inputs = [rng.standard_normal(shape) + 0.1 for shape in shapes]
    assert gradcheck(EXPRESSIONS[name], inputs) < 1e-6


@pytest.mark.usefixtures("inside")
def test_a_block_is_one_node(tensors):
    x, z, gamma, beta = tensors
    y = F.relu(normalized(x, gamma, beta) + z)
    assert y.creator.name == "batch_norm"
    assert [t.creator for t in y.creator.inputs] == [None] * 4


@pytest.mark.usefixtures("inside")
def test_shape_and_dtype_are_known_before_the_numbers(tensors):
    x, _, gamma, beta = tensors
    y = normalized(x, gamma, beta)
    assert isinstance(y, OpenTensor)
    assert (y.shape, y.ndim, y.dtype, y.size(1)) == ((4, 3, 5, 5), 4, np.float64, 3)
    assert y.compute is not None
    y.numpy()
    assert y.compute is None
    assert y.shape == (4, 3, 5, 5)


@pytest.mark.usefixtures("inside")
def test_nothing_joins_numbers_that_were_looked_at(tensors):
    x, _, gamma, beta = tensors
    y = normalized(x, gamma, beta)
    y.numpy()
    assert F.relu(y).creator.name == "relu"


@pytest.mark.usefixtures("inside")
def test_parameters_may_change_before_the_numbers_are_looked_at(tensors):
    x, _, gamma, beta = tensors
    expected = normalized(x, gamma, beta).numpy().copy()
    y = normalized(x, gamma, beta)
    gamma.data = gamma.data * 2
    beta.data[...] = 7
    np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.usefixtures("inside")
def test_no_grad_on_one_side_only(tensors):
    x, _, gamma, beta = tensors
    with no_grad():
        constant = normalized(x, gamma, beta)
    assert not F.relu(constant).requires_grad
    y = normalized(x, gamma, beta)
    with no_grad():
        assert not F.relu(y).requires_grad
    assert F.relu(y).requires_grad


@pytest.mark.usefixtures("inside")
def test_running_statistics_move_once(rng):
    running = Tensor(np.zeros(3)), Tensor(np.ones(3))
    x = Tensor(rng.standard_normal((4, 3, 5, 5)))
    y = F.relu(F.batch_norm(x, *running, Tensor(np.ones(3)), Tensor(np.zeros(3)), training=True))
    y.numpy()
    np.testing.assert_allclose(running[0].numpy(), 0.1 * x.numpy().mean(axis=(0, 2, 3)), rtol=1e-12)


def test_outside_of_a_module_nothing_is_open(tensors, rng):
    """A derivative by hand: the input moves in place between two calls."""
    x, _, gamma, beta = tensors
    results = []
    with no_grad():
        W = Tensor(rng.standard_normal((2, 3, 3, 3)))
        bn = nn.BatchNorm2d(3).to("float64").eval()
        for f in (lambda: normalized(x, gamma, beta), lambda: F.conv2d(x, W), lambda: bn(x)):
            before, same = f(), f().numpy().copy()
            x.data[...] += 1
            after = f()
            np.testing.assert_array_equal(before.numpy(), same)
            results.append(np.abs(after.numpy() - before.numpy()).max())
    assert results[0] < 1e-12, "batch norm takes the mean away"
    assert min(results[1:]) > 1e-3


class Pair(nn.Module):
    """Two results, one of them in a list, the other in a dict."""

    def __init__(self):
        self.bn = nn.BatchNorm2d(3).to("float64")

    def forward(self, x):
        self.inner = self.bn(x)
        return [self.inner], {"twice": self.bn(x)}


def test_what_leaves_the_outermost_module_is_computed(tensors):
    pair = Pair()
    (one,), both = pair(tensors[0])
    assert pair.inner is one
    assert not one.is_open
    assert not both["twice"].is_open


def test_what_a_hook_keeps_does_not_change_with_the_weights(rng):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, generator=rng), nn.BatchNorm2d(4), nn.ReLU()).eval()
    x, kept = Tensor(rng.standard_normal((2, 3, 6, 6)).astype(np.float32)), []
    net[0].register_forward_hook(lambda module, inputs, y: kept.append(y))
    with no_grad():
        net(x)
        expected = net[0](x).numpy()
        net[0].weight.data[...] = 0
    np.testing.assert_array_equal(kept[0].numpy(), expected)


def test_a_result_that_is_used_twice(rng):
    """As at the start of a pre-activation net: once through batch norm, once as it is."""

    class Stem(nn.Module):
        def __init__(self):
            self.conv, self.bn = nn.Conv2d(3, 4, 3, generator=rng), nn.BatchNorm2d(4)

        def forward(self, x):
            x = self.conv(x)
            return F.relu(self.bn(x)) + x

    stem, x = Stem().to("float64").eval(), Tensor(rng.standard_normal((2, 3, 6, 6)))
    expected = stem(x).numpy()
    with no_grad():
        np.testing.assert_allclose(stem(x).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_an_option_of_any_name_reaches_forward():
    class Named(nn.Module):
        def forward(self, x, forward, inputs):
            return x, forward, inputs

    assert Named()(1, forward=2, inputs=3) == (1, 2, 3)


class Block(nn.Module):
    """conv, bn, a shortcut with a convolution of its own, relu."""

    def __init__(self, bias, rng):
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=bias, generator=rng)
        self.bn = nn.BatchNorm2d(5)
        self.shortcut = nn.Conv2d(3, 5, 1, bias=bias, generator=rng)
        for statistic in (self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias):
            statistic.data[...] = rng.uniform(0.5, 2, 5)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)) + self.shortcut(x))


@pytest.mark.parametrize("bias", [False, True])
def test_in_evaluation_a_block_is_its_convolutions(bias, rng, monkeypatch):
    block = Block(bias, rng).to("float64").eval()
    x = Tensor(rng.standard_normal((4, 3, 6, 6)))
    calls = []

    def note(name, original):
        def kernel(*arguments, **options):
            calls.append((name, bool(options.get("relu"))))
            return original(*arguments, **options)

        return kernel

    for name in ("convolution", "scale_and_shift", "relu", "add"):
        monkeypatch.setattr(kernels, name, note(name, getattr(kernels, name)))
    expected = block(x).numpy()
    calls.clear()
    with no_grad():
        y = block(x)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert calls == [("convolution", False), ("convolution", True)]
    assert y.creator is None


@pytest.mark.parametrize("name", ["resnet8", "plain8"])
def test_a_net_gives_the_same_in_evaluation_with_and_without_a_graph(name, rng):
    model = models.create(name, generator=rng).to("float64")
    x = Tensor(rng.standard_normal((8, 3, 16, 16)))
    model(x)  # moves the running statistics
    expected = model.eval()(x).numpy()
    with no_grad():
        np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-10, atol=1e-10)
        model.train()
        joined = model(x).numpy()
    np.testing.assert_allclose(joined, model(x).numpy(), rtol=1e-10, atol=1e-10)


def test_a_hook_sees_the_result_of_its_module_alone(rng):
    block = Block(True, rng).to("float64").eval()
    x, seen = Tensor(rng.standard_normal((2, 3, 5, 5))), []
    block.bn.register_forward_hook(lambda module, inputs, y: seen.append(y))
    with no_grad():
        block(x)
        expected = block.bn(block.conv(x))
    np.testing.assert_allclose(seen[0].numpy(), expected.numpy(), rtol=1e-12, atol=1e-12)
