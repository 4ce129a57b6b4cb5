"""Sums of many float32 values keep their digits: against float64, and against PyTorch for batch norm."""

import numpy as np
import pytest

from minires import Tensor, nn, ops
from minires.backend.cpu.products import TERMS

torch = pytest.importorskip("torch")

TENTH = np.float32(0.1)
N = 300_000


def pairwise_error():
    """Of NumPy's sum along a contiguous axis, which adds in pairs; relative, at least one rounding."""
    total = np.full(N, TENTH).sum()
    return max(abs(float(total) / (N * float(TENTH)) - 1), np.finfo(np.float32).eps)


def leaf(*shape):
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


def of_broadcast():
    b = leaf(3)
    (Tensor(np.ones((N, 3), np.float32)) + b).backward(np.full((N, 3), TENTH))
    return b.grad


def of_linear():
    W, b = leaf(3, 2), leaf(3)
    ops.linear(Tensor(np.ones((N, 2), np.float32)), W, b).backward(np.full((N, 3), TENTH))
    return W.grad, b.grad


def of_convolution():
    W, b = leaf(3, 2, 1, 1), leaf(3)
    x = Tensor(np.ones((N // 10_000, 2, 100, 100), np.float32))
    y = ops.conv2d(x, W, b)
    y.backward(np.full(y.shape, TENTH))
    return b.grad


def of_index():
    x = leaf(2)
    x[np.zeros(N, int)].backward(np.full(N, TENTH))
    return x.grad[:1]


SUMS = {
    "sum": lambda: Tensor(np.full((N, 3), TENTH)).sum(0),
    "sum over two axes": lambda: Tensor(np.full((N // 100, 3, 100), TENTH)).sum((0, 2)),
    "mean": lambda: Tensor(np.full((N, 3), TENTH)).mean(0) * N,
    "gradient of a broadcast": of_broadcast,
    "gradient of linear's bias": lambda: of_linear()[1],
    "gradient of a convolution's bias": of_convolution,
    "gradient of an index": of_index,
}
PRODUCTS = {
    "gradient of linear's weight": lambda: of_linear()[0],
    "matmul": lambda: ops.matmul(np.full((2, N), TENTH), np.ones((N, 3), np.float32)),
}


@pytest.mark.parametrize("total", SUMS.values(), ids=SUMS)
def test_no_sum_is_less_precise_than_adding_in_pairs(total):
    relative = total().numpy().astype(float) / (N * float(TENTH)) - 1
    assert np.abs(relative).max() <= 4 * pairwise_error()


@pytest.mark.parametrize("total", PRODUCTS.values(), ids=PRODUCTS)
def test_products_of_many_terms_keep_their_digits(total):
    """The BLAS library adds TERMS terms in float32, one after the other: half a rounding error each."""
    relative = total().numpy().astype(float) / (N * float(TENTH)) - 1
    assert np.abs(relative).max() <= TERMS * np.finfo(np.float32).eps / 2


@pytest.mark.parametrize("pool", [ops.global_avg_pool2d, lambda x: ops.avg_pool2d(x, 512)])
def test_the_mean_over_a_large_map_that_a_convolution_made(pool):
    x = Tensor(np.full((1, 3, 512, 512), TENTH))
    y = ops.conv2d(x, np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1))
    np.testing.assert_allclose(pool(y).numpy(), TENTH, rtol=2e-7)


def test_batch_norm_of_a_constant():
    bn, x = nn.BatchNorm2d(4, momentum=1.0), Tensor(np.full((8, 4, 64, 64), np.float32(1000.1)))
    assert np.abs(bn(x).numpy()).max() == 0
    np.testing.assert_array_equal(bn.running_mean.numpy(), np.float32(1000.1))
    assert bn.running_var.tolist() == [0, 0, 0, 0]


SHAPES = [(8, 4, 64, 64), (32, 16, 8, 8), (4, 64, 4, 4), (2, 8, 3, 3), (64, 24, 5, 7)]


def statistics_and_gradients_of_minires(x, gy, gamma):
    C = len(gamma)
    x, gamma, beta = (Tensor(array, requires_grad=True) for array in (x, gamma, np.zeros_like(gamma)))
    mean, var = Tensor(np.zeros(C, x.dtype)), Tensor(np.zeros(C, x.dtype))
    ops.batch_norm(x, mean, var, gamma, beta, training=True, momentum=1.0).backward(gy)
    return [t.numpy() for t in (mean, var, x.grad, gamma.grad, beta.grad)]


def statistics_and_gradients_of_torch(x, gy, gamma):
    x, gy, gamma = (torch.tensor(np.ascontiguousarray(array)) for array in (x, gy, gamma))
    beta, mean, var = (torch.zeros_like(gamma) for _ in range(3))
    for leaf in (x, gamma, beta):
        leaf.requires_grad_()
    torch.nn.functional.batch_norm(x, mean, var, gamma, beta, True, 1.0).backward(gy)
    return [t.numpy() for t in (mean, var, x.grad, gamma.grad, beta.grad)]


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize(
    "shape", [(8, 4, 64, 64), (32, 16, 8, 8), (4, 64, 4, 4), (2, 8, 3, 3), (64, 24, 5, 7)]
)
@pytest.mark.parametrize("mean", [0, 1, 3, 10, 100, 1000, 10_000])
def test_batch_norm_is_as_precise_as_in_torch(mean, shape, order, rng):
    """Within twice PyTorch's error, or a few roundings."""
    x, gy = ((rng.standard_normal(shape) + m).astype(np.float32) for m in (mean, 0))
    gamma = rng.uniform(0.5, 1.5, shape[1]).astype(np.float32)
    if order == "HWCN":
        x = np.ascontiguousarray(x.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    exact = statistics_and_gradients_of_torch(*(array.astype(np.float64) for array in (x, gy, gamma)))
    ours = statistics_and_gradients_of_minires(x, gy, gamma)
    theirs = statistics_and_gradients_of_torch(x, gy, gamma)
    for a, b, e in zip(ours, theirs, exact, strict=True):
        error, torch_error = (np.abs(y - e).max() / np.abs(e).max() for y in (a, b))
        assert error <= 2 * torch_error + 4e-7
