"""Properties of operations beyond their formulas."""

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minires import Function, Tensor, ops
from minires.errors import ShapeError


def test_dropout_keeps_the_mean():
    """The mean of n values 0 or 1/(1-p) has deviation sqrt(p / (1-p) / n); five of them are allowed."""
    n, p = 100_000, 0.3
    y = ops.dropout(Tensor(np.ones(n, np.float32)), p, generator=np.random.default_rng(1)).numpy()
    assert abs(y.mean() - 1) < 5 * math.sqrt(p / (1 - p) / n)
    assert abs((y == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[y > 0], 1 / 0.7, rtol=1e-6)


def test_dropout_backward_uses_the_same_mask(rng, dtype):
    x = Tensor(rng.uniform(1, 2, (50, 4)).astype(dtype), requires_grad=True)
    y = ops.dropout(x, 0.5, generator=rng)
    assert 0 < (y.numpy() == 0).sum() < y.numel()
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad.numpy(), np.where(y.numpy() == 0, 0, 2).astype(dtype))


def test_dropout_follows_its_generator():
    x = Tensor(np.ones(100))
    a, b, c = (ops.dropout(x, 0.5, generator=np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert a == b
    assert a != c


@pytest.mark.parametrize("options", [{"training": False}, {"p": 0.0}])
def test_dropout_that_drops_nothing_is_the_identity(options):
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert ops.dropout(x, **options) is x


def test_maxima_that_tie_share_the_gradient():
    x = Tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    x.amax(1).backward([1.0, 3.0])
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 0.5], [1, 1, 1]])


def test_first_of_equal_pixels_gets_the_gradient():
    x = Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    ops.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def test_padding_never_wins_a_maximum():
    x = Tensor(np.full((1, 1, 2, 2), -5.0))
    assert ops.max_pool2d(x, 2, 1, 1).numpy().max() == -5


def test_known_convolution():
    x = Tensor(np.arange(9.0).reshape(1, 1, 3, 3))
    edges = Tensor(np.array([[[[1.0, 0.0], [0.0, -1.0]]]]))
    assert ops.conv2d(x, edges).tolist() == [[[[-4.0, -4.0], [-4.0, -4.0]]]]


def test_convolution_keeps_its_input_and_not_the_columns():
    """The columns of a 3 x 3 convolution are nine times as large."""
    x, W = Tensor(np.ones((2, 3, 8, 8)), requires_grad=True), Tensor(np.ones((4, 3, 3, 3)))
    saved = ops.conv2d(x, W, padding=1).creator.saved
    assert [array is data for array, data in zip(saved, (x.data, W.data), strict=True)] == [True, True]


def test_huge_logits_stay_finite(dtype):
    x = Tensor(np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]], dtype), requires_grad=True)
    loss = ops.cross_entropy(x, [1, 2], reduction="none")
    assert loss.tolist() == [2e4, 0.0]
    loss.sum().backward()
    assert x.grad.tolist() == [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]
    assert ops.softmax(x).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def test_uniform_logits_cost_log_of_the_classes():
    assert ops.cross_entropy(Tensor(np.zeros((3, 10))), [0, 5, 9]).item() == pytest.approx(
        math.log(10), rel=1e-14
    )


@pytest.mark.parametrize(
    "labels", [[1, 0], np.array([1, 0]), np.array([1, 0], np.uint8), Tensor(np.array([1, 0]))]
)
def test_labels_may_come_in_several_forms(labels):
    x = Tensor(np.array([[0.0, 100.0], [100.0, 0.0]]))
    assert ops.cross_entropy(x, labels).item() == 0


@pytest.mark.parametrize("x", [-1e4, -700.0, -30.0, 30.0, 1e4])
def test_sigmoid_is_exact_in_both_tails(x):
    expected = math.exp(x) if x < 0 else 1.0
    assert ops.sigmoid(Tensor(np.array([x]))).item() == pytest.approx(expected, rel=1e-12)


def test_batch_norm_output_is_normalized(rng):
    x = 5 + 3 * rng.standard_normal((8, 4, 6, 6))
    mean, var = Tensor(np.zeros(4)), Tensor(np.ones(4))
    y = ops.batch_norm(Tensor(x), mean, var, Tensor(np.ones(4)), Tensor(np.zeros(4)), training=True).numpy()
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(mean.numpy(), 0.1 * x.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), 0.9 + 0.1 * x.var(axis=(0, 2, 3), ddof=1), rtol=1e-12)


def test_batch_norm_in_evaluation_changes_no_statistics(rng):
    mean, var = Tensor(rng.standard_normal(3)), Tensor(rng.uniform(1, 2, 3))
    before = mean.numpy().copy(), var.numpy().copy()
    ops.batch_norm(Tensor(rng.standard_normal((4, 3))), mean, var, Tensor(np.ones(3)), Tensor(np.zeros(3)))
    np.testing.assert_array_equal([mean.numpy(), var.numpy()], before)


def test_float32_batch_norm_of_values_far_from_zero(rng):
    """Subtracting the mean before squaring is accurate in float32; E[x^2] - E[x]^2 would not be."""
    x = (1000 + rng.standard_normal((64, 2, 32, 32))).astype(np.float32)
    ones, zeros = Tensor(np.ones(2, np.float32)), Tensor(np.zeros(2, np.float32))
    y = ops.batch_norm(
        Tensor(x), Tensor(zeros.data.copy()), Tensor(ones.data.copy()), ones, zeros, training=True
    )
    exact = x.astype(np.float64)
    exact = (exact - exact.mean((0, 2, 3), keepdims=True)) / np.sqrt(
        exact.var((0, 2, 3), keepdims=True) + 1e-5
    )
    # x is rounded to multiples of 6e-5, and so is its mean
    np.testing.assert_allclose(y.numpy(), exact, atol=2e-4)


def test_whole_numbers_have_no_gradient():
    assert not Tensor([1.0, 2.0], requires_grad=True).to("int64").requires_grad


def test_operators_and_methods_are_the_functions(rng):
    a, b = Tensor(rng.uniform(1, 2, (3, 3))), Tensor(rng.uniform(1, 2, (3, 3)))
    for y, expected in [
        (a + b, ops.add(a, b)),
        (a - b, ops.sub(a, b)),
        (a * b, ops.mul(a, b)),
        (a / b, ops.div(a, b)),
        (a @ b, ops.matmul(a, b)),
        (a**b, ops.pow(a, b)),
        (-a, ops.neg(a)),
        (abs(a), ops.abs(a)),
        (a[1], ops.getitem(a, 1)),
        (a.relu(), ops.relu(a)),
        (a.mean(0), ops.mean(a, 0)),
        (a.T, ops.transpose(a)),
    ]:
        np.testing.assert_array_equal(y.numpy(), expected.numpy())


@pytest.mark.parametrize("name", ["relu", "exp", "softmax", "global_avg_pool2d", "sum", "mean", "log", "abs"])
def test_operations_take_plain_arrays(name, rng):
    x = rng.uniform(1, 2, (2, 3, 4, 4))
    operation = partial(ops.softmax, dim=1) if name == "softmax" else getattr(ops, name)
    y = operation(x)
    assert isinstance(y, Tensor)
    np.testing.assert_array_equal(y.numpy(), operation(Tensor(x)).numpy())


def subclasses(base):
    return {base}.union(*map(subclasses, base.__subclasses__()))


def built_in():
    return [op for op in subclasses(Function) if op.__module__.startswith("minires.ops.")]


def test_every_operation_is_on_the_page_of_formulas():
    page = (Path(__file__).parents[2] / "docs" / "api" / "formulas.md").read_text()
    listed = re.findall(r"autoclass:: (\w+)\(\)", page)
    not_listed = {"Reduction", "NormalizedConv2d"}  # what several share, and a kernel of a GPU's
    assert sorted(listed) == sorted({op.__name__ for op in built_in()} - not_listed)


def test_every_operation_states_its_formulas():
    assert len(built_in()) > 30
    for op in built_in():
        if "forward" in vars(op):
            assert op.__doc__.startswith("y")
            assert " g" in op.__doc__


@pytest.mark.parametrize("dim", [np.int64(1), np.int32(-1), [1], (np.int64(-1),)])
def test_axes_may_be_numbers_of_numpy(dim):
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert x.mean(dim).tolist() == [1, 4]
    assert x.var(dim).tolist() == [1, 1]
    assert x.sum(dim).tolist() == [3, 12]
    assert x.sum(()).tolist() == 15


def test_axes_of_a_single_number():
    x = Tensor(3.0, requires_grad=True)
    (x.sum(-1) + x.mean(0) + x.max(0).values + x.squeeze(0)).backward()
    assert x.grad.item() == 4


def test_squeeze_takes_several_axes():
    assert Tensor(np.ones((1, 2, 1, 1))).squeeze((0, 1, -1)).shape == (2, 1)


def test_a_conversion_to_what_a_tensor_is_already_is_the_tensor():
    x = Tensor([1.0], requires_grad=True)
    assert x.to("cpu") is x.to("float32") is x.float() is x.to(Tensor([2.0])) is x
    x.to("cpu").sum().backward()
    assert x.grad.tolist() == [1]


def test_a_whole_number_is_an_index():
    i = Tensor([[3.0, 9.0, 5.0]]).argmax(1)
    assert list(range(i[0])) == [0]
    assert "abc"[i] == "b"
    with pytest.raises(TypeError):
        "abc"[Tensor([1.0])]
    with pytest.raises(ShapeError):
        "abc"[Tensor(np.array([1, 2]))]


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_without_channels_goes_back(training):
    x = Tensor(np.ones((2, 0, 4, 4), np.float32), requires_grad=True)
    statistics = (None, None) if training else (np.zeros(0, np.float32), np.ones(0, np.float32))
    ops.batch_norm(x, *statistics, training=training).sum().backward()
    assert x.grad.shape == (2, 0, 4, 4)


def test_no_labels_are_out_of_range_for_no_classes():
    assert ops.cross_entropy(np.ones((0, 0), np.float32), np.zeros(0, int), reduction="sum").item() == 0


def test_pooling_to_the_same_size_is_a_new_tensor():
    x = Tensor(np.ones((1, 1, 2, 2), np.float32))
    y = ops.adaptive_avg_pool2d(x, 2)
    y += 1
    assert x.numpy().max() == 1
