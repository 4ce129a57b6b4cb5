"""Gradients are selected, not multiplied by masks: infinity and NaN stay where they belong, as in PyTorch."""

import numpy as np
import pytest

from minires import Tensor, ops
from minires.backend.kernels import reference_kernels

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
inf, nan = np.inf, np.nan
F = torch.nn.functional


def case(name, function, *arrays, theirs=None):
    return pytest.param(function, theirs or function, [np.array(a, np.float32) for a in arrays], id=name)


CASES = [
    case("sqrt of relu", lambda x: x.relu().sqrt(), [-1, 4, 0, nan]),
    case("relu at nan", lambda x: x.relu(), [nan, -inf, inf, 0]),
    case("abs", lambda x: x.abs(), [nan, -inf, 0, 2]),
    case("sqrt of clip", lambda x: (x.clip(0, 9) * 1).sqrt(), [-1, 4, nan, 0]),
    case("clip of crossed bounds", lambda x: x.clip(3, 1), [0, 2, 5, nan]),
    case("clip between tensors", lambda x, a, b: x.clip(a, b), [0, 2, 5, nan], [1] * 4, [3] * 4),
    case("sqrt of maximum", lambda a, b: ops.maximum(a, b).sqrt(), [0, 4, nan, -1], [-1, 4, 1, nan],
         theirs=lambda a, b: torch.maximum(a, b).sqrt()),
    case("minimum", lambda a, b: ops.minimum(a, b), [0, inf, nan], [-1, inf, 1], theirs=torch.minimum),
    case("sqrt of max", lambda x: x.max().sqrt(), [-1, 0, -2]),
    case("sqrt of max along", lambda x: x.max(1)[0].sqrt(), [[-1, 0], [nan, 1], [-inf, -inf]]),
    case("log of min along", lambda x: x.min(0)[0].log(), [[0, 1], [2, 0]]),
    case("0 to the power b", lambda b: 0.0**b, [2, 0, -1, 0.5]),
    case("a to the power b", lambda a, b: a**b, [0, 0, 0, -1, nan, 2, inf], [2, 0, -1, 2, 0, nan, 0]),
    case("max pool", lambda x: ops.max_pool2d(x, 2).sqrt(), np.full((1, 1, 2, 2), -inf),
         theirs=lambda x: F.max_pool2d(x, 2).sqrt()),
    case("max pool of -inf beside padding", lambda x: ops.max_pool2d(x, 2, 2, 1), np.full((1, 1, 2, 2), -inf),
         theirs=lambda x: F.max_pool2d(x, 2, 2, 1)),
    case("max pool of nan", lambda x: ops.max_pool2d(x, 3, 1, 1), [[[[1, nan, 2], [nan, 3, 0], [4, 5, 6]]]],
         theirs=lambda x: F.max_pool2d(x, 3, 1, 1)),
    case("softmax", lambda x: x.softmax(0), [-inf, 1, -inf]),
    case("log softmax", lambda x: x.log_softmax(0)[1], [-inf, 1, -inf]),
]  # fmt: skip


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(("function", "torch_function", "arrays"), CASES)
def test_as_in_torch(function, torch_function, arrays, large):
    """`large`: beside so many other numbers that the fast kernels compute it."""
    if large:
        if arrays[0].ndim != 4:
            pytest.skip("the fast kernels compute maps; elementwise ones are tested below")
        arrays = [np.tile(a, (40, 40, 1, 1)) for a in arrays]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = function(*ours), torch_function(*theirs)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-6)
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("function", [lambda x: x.relu(), lambda x: ops.batch_norm(x, MEAN, VAR, relu=True)])
def test_the_square_root_of_a_relu_poisons_no_gradient(function, rng):
    x = rng.standard_normal((16, 4, 20, 20)).astype(np.float32)
    a, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    function(a).sqrt().sum().backward()
    with reference_kernels():
        function(b).sqrt().sum().backward()
    assert np.isfinite(a.grad.numpy()).all()
    assert (a.grad.numpy()[x < 0] == 0).all()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-5)


MEAN, VAR = Tensor(np.zeros(4, np.float32)), Tensor(np.ones(4, np.float32))


def test_batch_norm_in_training_with_a_relu_and_a_square_root(rng):
    """Where the ReLU is off, the square root's infinite slope must not reach the channel's sums."""
    x = Tensor(rng.standard_normal((16, 4, 20, 20)).astype(np.float32), requires_grad=True)
    y = ops.batch_norm(x, None, None, training=True, relu=True).sqrt()
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("size", [2, 3, (1, 3), 4])
def test_a_pixel_that_is_not_finite_stays_in_its_windows(size):
    x = np.ones((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0] = np.inf
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = ops.adaptive_avg_pool2d(ours, size)
    expected = torch.nn.functional.adaptive_avg_pool2d(theirs, size)
    np.testing.assert_array_equal(y.numpy(), expected.detach().numpy())
    gy = np.ones(y.shape, np.float32)
    gy[0, 0, -1, -1] = np.inf
    y.backward(Tensor(gy))
    expected.backward(torch.tensor(gy))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-6)


def test_a_quotient_between_tiny_numbers_has_a_finite_gradient():
    x, d = (Tensor([value], requires_grad=True) for value in (0.0, 1e-30))
    (x / d * 1e10).sum().backward()
    assert d.grad.item() == 0
    x, d = (Tensor([value], requires_grad=True) for value in (1e-25, 1e-20))
    (x / d * 1e20).sum().backward()
    assert d.grad.item() == pytest.approx(-1e35)
