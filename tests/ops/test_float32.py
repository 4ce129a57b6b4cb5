"""A result is float64 only if an input tensor is: whole numbers and NumPy's scalars do not make it so."""

import numpy as np
import pytest

from minires import Tensor, ops
from minires.errors import OptionError, ShapeError

X = Tensor(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3), requires_grad=True)
WHOLE = Tensor(np.arange(6).reshape(2, 3))
BYTES = Tensor(np.full((1, 2, 4, 4), 200, np.uint8))


@pytest.mark.parametrize(
    "f",
    [
        lambda: X / np.int64(6),
        lambda: X / np.prod(X.shape),
        lambda: X * np.float64(0.5),
        lambda: np.float64(0.5) * X,
        lambda: X * WHOLE,
        lambda: X.sum() / (X > 2).sum(),
        lambda: X.clip(np.float64(0.5), 2),
        lambda: ops.dropout(X, np.float64(0.5)),
        lambda: ops.local_response_norm(X.reshape(1, 2, 3), 2, alpha=np.float64(0.1)),
        lambda: WHOLE.mean(),
        lambda: BYTES / 255,
        lambda: WHOLE * 2.5,
    ],
)
def test_stays_float32(f):
    y = f()
    assert y.dtype == np.float32
    X.grad = None
    if y.requires_grad:
        y.sum().backward()
        assert X.grad.dtype == np.float32


def test_float64_on_request():
    assert WHOLE.to("float64").dtype == np.float64
    assert X.to("float64").dtype == np.float64
    assert (X.to("float64") * X).dtype == np.float64


def test_half_precision_is_refused():
    with pytest.raises(OptionError, match="float16"):
        X.to("float16")


def test_products_refuse_two_precisions():
    double = Tensor(np.ones((3, 2)))
    with pytest.raises(OptionError, match=r"linear: the inputs are float32, float64.*convert"):
        ops.linear(X, double.T)
    with pytest.raises(OptionError, match=r"conv2d: the inputs are float64, float32"):
        ops.conv2d(Tensor(np.ones((1, 1, 3, 3))), Tensor(np.ones((1, 1, 3, 3), np.float32)))


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d])
def test_pooling_refuses_bytes(pool):
    with pytest.raises(OptionError, match="uint8"):
        pool(BYTES, 2)


def test_one_function_object_may_make_several_nodes():
    f = ops.elementwise.Exp()
    a, b = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    (f(a) + f(b)).backward()
    np.testing.assert_allclose([a.grad.item(), b.grad.item()], np.exp([1.0, 2.0]), rtol=1e-6)


def test_equal_infinities_share_the_gradient_of_their_maximum():
    a, b = (Tensor([-np.inf, 1.0], requires_grad=True) for _ in range(2))
    ops.maximum(a, b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [0.5, 0.5]


def test_squeeze_and_unsqueeze():
    assert X.unsqueeze(1).shape == (2, 1, 3)
    assert X.unsqueeze(-1).squeeze().shape == (2, 3)
    assert X.unsqueeze(0).squeeze(1).shape == (1, 2, 3)
    with pytest.raises(ShapeError, match="axis 4"):
        X.unsqueeze(4)
    with pytest.raises(ShapeError, match="axis 2"):
        X.squeeze(2)


def test_expand_keeps_a_length_given_as_minus_one():
    assert X.unsqueeze(1).expand(-1, 4, -1).shape == (2, 4, 3)


def test_comparison_of_unfit_shapes():
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(2, 2\)"):
        _ = X == np.ones((2, 2))
