"""Elementwise, reducing, shaping and multiplying operations against PyTorch, forward and backward."""

import numpy as np
import pytest

from minires import Tensor, ops

torch = pytest.importorskip("torch")


def case(name, function, torch_function, *shapes, low=None, high=None):
    """Inputs of `shapes`, normal, or uniform between `low` and `high` where the operation needs it."""
    return pytest.param(function, torch_function, shapes, low, high, id=name)


def unary(name, low=None, high=None):
    return case(name, getattr(ops, name), getattr(torch, name), (3, 4), low=low, high=high)


ELEMENTWISE = [
    case("add", ops.add, torch.add, (2, 3), (2, 3)),
    case("add_broadcast", ops.add, torch.add, (2, 1, 3), (4, 1)),
    case("sub_broadcast", ops.sub, torch.sub, (3,), (2, 1)),
    case("mul", ops.mul, torch.mul, (2, 3), (2, 3)),
    case("mul_broadcast", ops.mul, torch.mul, (2, 3, 1), (1, 4)),
    case("mul_by_single", ops.mul, torch.mul, (2, 3), ()),
    case("div", ops.div, torch.div, (2, 3), (2, 3), low=0.5, high=2),
    case("div_broadcast", ops.div, torch.div, (3,), (2, 1), low=0.5, high=2),
    case("pow", ops.pow, torch.pow, (2, 3), (3,), low=0.5, high=2),
    case("pow_number", lambda x: x**3, lambda x: x**3, (2, 3)),
    case("pow_square_root", lambda x: x**0.5, lambda x: x**0.5, (2, 3), low=0.5, high=2),
    case("number_to_the_power", lambda x: 2.0**x, lambda x: 2.0**x, (2, 3)),
    case("reflected", lambda x: 1 - 2 / (3 + x), lambda x: 1 - 2 / (3 + x), (2, 3), low=0, high=2),
    case("maximum", ops.maximum, torch.maximum, (3, 4), (3, 4)),
    case("maximum_broadcast", ops.maximum, torch.maximum, (3, 4), (4,)),
    case("minimum", ops.minimum, torch.minimum, (3, 4), (3, 4)),
    case("minimum_broadcast", ops.minimum, torch.minimum, (3, 4), (4,)),
    case("clip_tensors", ops.clip, torch.clip, (3, 4), (4,), (3, 1)),
    case("clip", lambda x: ops.clip(x, -0.5, 0.7), lambda x: torch.clip(x, -0.5, 0.7), (4, 5)),
    case("clip_low", lambda x: x.clip(min=0.1), lambda x: x.clip(min=0.1), (4, 5)),
    case("clip_high", lambda x: x.clip(max=0.1), lambda x: x.clip(max=0.1), (4, 5)),
    case("neg", ops.neg, torch.neg, (3, 4)),
    unary("exp"),
    unary("log", 0.5, 2),
    unary("sqrt", 0.5, 2),
    unary("abs"),
    unary("relu"),
    unary("sigmoid"),
    unary("tanh"),
]


def reduction(name, function, torch_function, shape=(2, 3, 4)):
    return case(name, function, torch_function, shape)


REDUCTIONS = [
    reduction("sum", lambda x: x.sum(), lambda x: x.sum()),
    reduction("sum_dim", lambda x: x.sum(1), lambda x: x.sum(1)),
    reduction("sum_negative_dims", lambda x: x.sum((-1, 0)), lambda x: x.sum((-1, 0))),
    reduction("sum_list", lambda x: x.sum([0, 2], keepdim=True), lambda x: x.sum([0, 2], keepdim=True)),
    reduction("sum_all_keepdim", lambda x: x.sum(keepdim=True), lambda x: x.sum((0, 1, 2), keepdim=True)),
    reduction("sum_numpy_names", lambda x: x.sum(axis=-2, keepdims=True), lambda x: x.sum(-2, keepdim=True)),
    reduction("mean", lambda x: x.mean(), lambda x: x.mean()),
    reduction("mean_dims", lambda x: x.mean((0, 2)), lambda x: x.mean((0, 2))),
    reduction("mean_negative", lambda x: x.mean(-1, keepdim=True), lambda x: x.mean(-1, keepdim=True)),
    reduction("mean_numpy_names", lambda x: x.mean(axis=(0, 1)), lambda x: x.mean((0, 1))),
    reduction("max", lambda x: x.max(), lambda x: x.amax()),
    reduction("max_dim", lambda x: x.max(1).values, lambda x: x.max(1).values),
    reduction("max_keepdim", lambda x: x.max(-1, True)[0], lambda x: x.max(-1, True)[0]),
    reduction(
        "max_numpy_names", lambda x: x.max(axis=2, keepdims=True)[0], lambda x: x.amax(2, keepdim=True)
    ),
    reduction("amax", lambda x: x.amax(), lambda x: x.amax()),
    reduction("amax_dims", lambda x: x.amax((0, -1), keepdim=True), lambda x: x.amax((0, -1), keepdim=True)),
    reduction("min", lambda x: x.min(), lambda x: x.amin()),
    reduction("min_dim", lambda x: x.min(1).values, lambda x: x.min(1).values),
    reduction("amin_dims", lambda x: x.amin((0, -1)), lambda x: x.amin((0, -1))),
    reduction("var", lambda x: x.var(), lambda x: x.var()),
    reduction("var_dim", lambda x: x.var(1), lambda x: x.var(1)),
    reduction("var_biased", lambda x: x.var((0, 2), correction=0), lambda x: x.var((0, 2), correction=0)),
    reduction("var_keepdim", lambda x: x.var(-1, keepdim=True), lambda x: x.var(-1, keepdim=True)),
    reduction("var_numpy_names", lambda x: x.var(axis=0, keepdims=True), lambda x: x.var(0, keepdim=True)),
]

INDEX = np.array([0, 2, 2])

SHAPING = [
    case("reshape", lambda x: x.reshape(4, 6), lambda x: x.reshape(4, 6), (2, 3, 4)),
    case("reshape_tuple", lambda x: x.reshape((6, -1)), lambda x: x.reshape((6, -1)), (2, 3, 4)),
    case("view", lambda x: x.view(-1), lambda x: x.view(-1), (2, 3)),
    case("flatten", lambda x: x.flatten(), lambda x: x.flatten(), (2, 3, 4)),
    case("flatten_tail", lambda x: x.flatten(1), lambda x: x.flatten(1), (2, 3, 4)),
    case("flatten_middle", lambda x: x.flatten(1, -2), lambda x: x.flatten(1, -2), (2, 3, 4, 5)),
    case("permute", lambda x: x.permute(2, 0, 1), lambda x: x.permute(2, 0, 1), (2, 3, 4)),
    case("permute_negative", lambda x: x.permute((-1, 0, -2)), lambda x: x.permute((-1, 0, -2)), (2, 3, 4)),
    case("transpose_two", lambda x: x.transpose(0, -1), lambda x: x.transpose(0, -1), (2, 3, 4)),
    case("transpose_all", lambda x: x.transpose(), lambda x: x.permute(2, 1, 0), (2, 3, 4)),
    case("transpose_property", lambda x: x.T, lambda x: x.T, (2, 3)),
    case("broadcast_to", lambda x: x.broadcast_to(4, 2, 3), lambda x: x.broadcast_to((4, 2, 3)), (2, 1)),
    case("expand", lambda x: x.expand(2, 3), lambda x: x.expand(2, 3), (3,)),
    case("index_number", lambda x: x[1], lambda x: x[1], (3, 4)),
    case("index_negative", lambda x: x[-1, -2], lambda x: x[-1, -2], (3, 4)),
    case("slices", lambda x: x[1:, ::2], lambda x: x[1:, ::2], (3, 5)),
    case("ellipsis_new_axis", lambda x: x[..., None, 1], lambda x: x[..., None, 1], (3, 5)),
    case("index_array", lambda x: x[INDEX], lambda x: x[INDEX], (3, 4)),
    case("index_arrays", lambda x: x[INDEX, INDEX], lambda x: x[INDEX, INDEX], (3, 4)),
    case("index_list", lambda x: x[[2, 0, 2]], lambda x: x[[2, 0, 2]], (3, 4)),
    case("index_tensor", lambda x: x[:, Tensor(INDEX)], lambda x: x[:, torch.tensor(INDEX)], (2, 3)),
    case("index_mask", lambda x: x[x > 0], lambda x: x[x > 0], (3, 4)),
    case("concatenate", lambda *x: ops.concatenate(x), lambda *x: torch.cat(x), (2, 3), (1, 3), (4, 3)),
    case("concatenate_last", lambda *x: ops.concatenate(x, -1), lambda *x: torch.cat(x, -1), (2, 3), (2, 1)),
    case("pad", lambda x: ops.pad(x, (1, 2)), lambda x: torch.nn.functional.pad(x, (1, 2)), (2, 3)),
    case(
        "pad_channels",
        lambda x: ops.pad(x, (0, 0, 1, 0, 2, 3)),
        lambda x: torch.nn.functional.pad(x, (0, 0, 1, 0, 2, 3)),
        (2, 3, 4, 5),
    ),
]


def product(name, a, b):
    return case(f"matmul_{name}", ops.matmul, torch.matmul, a, b)


PRODUCTS = [
    product("matrices", (2, 3), (3, 4)),
    product("vectors", (3,), (3,)),
    product("row", (3,), (3, 4)),
    product("column", (2, 3), (3,)),
    product("batch", (5, 2, 3), (5, 3, 4)),
    product("batch_by_one", (5, 2, 3), (3, 4)),
    product("batches_broadcast", (2, 1, 2, 3), (4, 3, 2)),
    product("row_by_batch", (3,), (5, 3, 4)),
    product("batch_by_column", (5, 2, 3), (3,)),
    case("linear", ops.linear, torch.nn.functional.linear, (5, 3), (4, 3), (4,)),
    case("linear_no_bias", ops.linear, torch.nn.functional.linear, (5, 3), (4, 3)),
    case("linear_leading_axes", ops.linear, torch.nn.functional.linear, (2, 5, 3), (4, 3), (4,)),
    case("linear_one_row", ops.linear, torch.nn.functional.linear, (3,), (4, 3), (4,)),
]


@pytest.mark.parametrize(
    ("function", "torch_function", "shapes", "low", "high"), ELEMENTWISE + REDUCTIONS + SHAPING + PRODUCTS
)
def test_same_as_torch(same_as_torch, rng, dtype, function, torch_function, shapes, low, high):
    inputs = [
        rng.standard_normal(shape) if low is None else rng.uniform(low, high, shape) for shape in shapes
    ]
    same_as_torch(function, torch_function, [x.astype(dtype) for x in inputs])


TIED = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [5.0, 1.0, 0.0, 5.0]])


@pytest.mark.parametrize(
    ("function", "torch_function"),
    [
        (lambda x: x.max(1)[0], lambda x: x.max(1)[0]),
        (lambda x: x.max(), lambda x: x.max()),
        (lambda x: x.amax(1), lambda x: x.amax(1)),
        (lambda x: x.amax((0, 1), keepdim=True), lambda x: x.amax((0, 1), keepdim=True)),
        (lambda x: x.min(0)[0], lambda x: x.min(0)[0]),
        (lambda x: x.amin(0), lambda x: x.amin(0)),
        (lambda x: ops.maximum(x, 2.0), lambda x: torch.maximum(x, torch.tensor(2.0, dtype=x.dtype))),
        (lambda x: ops.minimum(x, 2.0), lambda x: torch.minimum(x, torch.tensor(2.0, dtype=x.dtype))),
        (lambda x: ops.relu(x - 2), lambda x: torch.relu(x - 2)),
        (lambda x: ops.abs(x - 2), lambda x: torch.abs(x - 2)),
        (lambda x: ops.clip(x, 1.0, 3.0), lambda x: torch.clip(x, 1.0, 3.0)),
    ],
    ids=[
        *("max_dim", "max", "amax_dim", "amax_keepdim", "min_dim", "amin_dim"),
        *("maximum", "minimum", "relu", "abs", "clip"),
    ],
)
def test_ties_and_kinks_as_in_torch(same_as_torch, function, torch_function):
    same_as_torch(function, torch_function, [TIED])


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_power_of_zero_as_in_torch(same_as_torch, power):
    same_as_torch(lambda x: x**power, lambda x: x**power, [np.array([0.0, -1.5, 2.0])])


def test_to_carries_the_gradient_back(same_as_torch, rng):
    same_as_torch(
        lambda x: (x.to("float64") ** 2).to("float32"),
        lambda x: (x.to(torch.float64) ** 2).to(torch.float32),
        [rng.standard_normal(5).astype(np.float32)],
    )


@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_argmax_and_argmin(rng, name, dim):
    x = rng.standard_normal((4, 5))
    y = getattr(ops, name)(Tensor(x, requires_grad=True), dim)
    assert y.dtype == np.int64
    assert not y.requires_grad
    assert y.tolist() == getattr(torch.tensor(x), name)(dim).tolist()


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_along_an_axis_also_say_where(rng, name, keepdim):
    x = rng.standard_normal((4, 5))
    values, indices = getattr(Tensor(x), name)(1, keepdim)
    expected = getattr(torch.tensor(x), name)(1, keepdim)
    assert indices.dtype == np.int64
    assert (values.tolist(), indices.tolist()) == (expected.values.tolist(), expected.indices.tolist())
