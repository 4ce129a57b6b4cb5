"""Normalizations, softmax and losses against PyTorch, forward and backward."""

from functools import partial

import numpy as np
import pytest

from minires import Tensor, ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

SHAPES = [(4, 3, 5, 6), (2, 3, 1, 1), (8, 3), (4, 3, 7)]


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm(same_as_torch, agree, in_memory_order, rng, dtype, order, training, shape):
    x = (2 + 3 * rng.standard_normal(shape)).astype(dtype)
    weight, bias = rng.uniform(0.5, 2, 3).astype(dtype), rng.standard_normal(3).astype(dtype)
    mean, var = rng.standard_normal(3).astype(dtype), rng.uniform(0.5, 2, 3).astype(dtype)
    running = Tensor(mean.copy()), Tensor(var.copy())
    torch_running = torch.tensor(mean), torch.tensor(var)
    options = {"training": training, "momentum": 0.3, "eps": 1e-3}
    same_as_torch(
        lambda x, weight, bias: ops.batch_norm(x, *running, weight, bias, **options),
        lambda x, weight, bias: F.batch_norm(x, *torch_running, weight, bias, **options),
        [x, weight, bias],
        reorder=lambda array: in_memory_order(array, order),
    )
    for statistic, expected in zip(running, torch_running, strict=True):
        agree(statistic, expected)
    assert (not np.array_equal(running[0].data, mean)) == training


def test_running_statistics_over_three_batches(agree, rng, dtype):
    running = Tensor(np.zeros(3, dtype)), Tensor(np.ones(3, dtype))
    torch_running = [torch.tensor(t.data.copy()) for t in running]
    ones, zeros = np.ones(3, dtype), np.zeros(3, dtype)
    for _ in range(3):
        x = rng.standard_normal((4, 3, 2, 2)).astype(dtype)
        ops.batch_norm(x, *running, Tensor(ones), Tensor(zeros), training=True)
        F.batch_norm(torch.tensor(x), *torch_running, torch.tensor(ones), torch.tensor(zeros), training=True)
    for statistic, expected in zip(running, torch_running, strict=True):
        agree(statistic, expected)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 9, 20])
@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
def test_local_response_norm(same_as_torch, in_memory_order, rng, dtype, order, size):
    options = {"size": size, "alpha": 0.5, "beta": 0.75, "k": 2.0}
    same_as_torch(
        partial(ops.local_response_norm, **options),
        partial(F.local_response_norm, **options),
        [rng.standard_normal((2, 6, 3, 4)).astype(dtype)],
        reorder=lambda array: in_memory_order(array, order),
    )


def test_local_response_norm_of_rows(same_as_torch, rng):
    x = rng.standard_normal((2, 6, 3))
    same_as_torch(partial(ops.local_response_norm, size=3), partial(F.local_response_norm, size=3), [x])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax(same_as_torch, rng, dtype, name, dim):
    x = rng.standard_normal((3, 4, 5)).astype(dtype)
    same_as_torch(lambda x: getattr(ops, name)(x, dim), lambda x: getattr(F, name)(x, dim), [x])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(same_as_torch, rng, dtype, reduction):
    x, labels = rng.standard_normal((6, 5)).astype(dtype), rng.integers(0, 5, 6)
    same_as_torch(
        lambda x: ops.cross_entropy(x, labels, reduction=reduction),
        lambda x: F.cross_entropy(x, torch.tensor(labels), reduction=reduction),
        [x],
    )


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_huge_logits(same_as_torch, agree, rng, dtype, scale):
    x = (scale * rng.standard_normal((6, 5))).astype(dtype)
    labels = rng.integers(0, 5, 6)
    same_as_torch(
        lambda x: ops.cross_entropy(x, labels), lambda x: F.cross_entropy(x, torch.tensor(labels)), [x]
    )
    same_as_torch(ops.log_softmax, partial(F.log_softmax, dim=-1), [x])
    agree(ops.softmax(Tensor(x)), F.softmax(torch.tensor(x), dim=-1))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(same_as_torch, rng, dtype, reduction):
    inputs = [rng.standard_normal((3, 4)).astype(dtype) for _ in range(2)]
    same_as_torch(
        partial(ops.mse_loss, reduction=reduction), partial(F.mse_loss, reduction=reduction), inputs
    )
