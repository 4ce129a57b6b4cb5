"""Products of matrices, and the fully connected layer."""

from minires.backend import kernels
from minires.engine import Function
from minires.engine.function import as_tensors
from minires.errors import ShapeError
from minires.ops.checks import check_same_float
from minires.ops.shape import reshape


class Matmul(Function):
    """y = a b        ga = gy b^T        gb = a^T gy

    a: (..., M, K), b: (..., K, P), y: (..., M, P); the leading axes broadcast.
    """

    def forward(self, a, b):
        self.saved = a, b
        return kernels.matmul(a, b)

    def backward(self, gy):
        a, b = self.saved
        ga = kernels.matmul(gy, b.swapaxes(-1, -2)) if self.needs_grad[0] else None
        gb = kernels.matmul(a.swapaxes(-1, -2), gy) if self.needs_grad[1] else None
        return ga, gb


class Linear(Function):
    """y = x W^T + b        gx = gy W        gW = gy^T x        gb = sum gy

    x: (..., I), W: (O, I), b: (O,) or left out, y: (..., O); gW and gb sum over all leading axes.
    """

    fresh_gradients = True

    def forward(self, x, W, b=None):
        self.saved = x, W
        y = kernels.matmul(x.reshape(-1, W.shape[1]), W.T).reshape(*x.shape[:-1], len(W))
        return y if b is None else y + b

    def backward(self, gy):
        x, W = self.saved
        rows = gy.reshape(-1, W.shape[0])
        gx = kernels.matmul(rows, W).reshape(x.shape) if self.needs_grad[0] else None
        gW = kernels.matmul(rows.T, x.reshape(-1, W.shape[1]))
        return (gx, gW, rows.sum(axis=0))[: len(self.needs_grad)]


def matmul(a, b):
    """The matrix product; a vector counts as a row on the left, as a column on the right."""
    a, b = as_tensors((a, b))
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape}: a single number is not a matrix; use *")
    left = reshape(a, 1, -1) if a.ndim == 1 else a
    right = reshape(b, -1, 1) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape}: the left one has {left.shape[-1]} columns, "
            f"the right one {right.shape[-2]} rows"
        )
    y = Matmul()(left, right)
    if a.ndim == 1:
        y = reshape(y, *y.shape[:-2], y.shape[-1])
    return reshape(y, *y.shape[:-1]) if b.ndim == 1 else y


def linear(x, weight, bias=None):
    """x weight^T + bias: (..., I), (O, I), (O,) -> (..., O)."""
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input {x.shape} does not fit weight {weight.shape}; it needs (..., in), (out, in)"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"linear: bias {bias.shape} does not fit weight {weight.shape}; it needs {weight.shape[:1]}"
        )
    inputs = (x, weight) if bias is None else (x, weight, bias)
    check_same_float("linear", *inputs)
    return Linear()(*inputs)
