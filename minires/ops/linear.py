"""Products of matrices, and the fully connected layer."""

import math

from minires.backend import common_dtype, kernels, reference
from minires.engine import Function
from minires.errors import ShapeError
from minires.ops.checks import as_tensors, check_same_float
from minires.ops.elementwise import refuse_truth_values
from minires.ops.shape import reshape


class Matmul(Function, computes_in=common_dtype):
    """y = a b        ga = gy b^T        gb = a^T gy

    a: (..., M, K), b: (..., K, P), y: (..., M, P); the leading axes broadcast.
    """

    def forward(self, a, b):
        refuse_truth_values("matmul", a)
        self.saved = (a if self.needs_grad[1] else None), (b if self.needs_grad[0] else None)
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
        self.saved = (x if self.needs_grad[1] else None), (W if self.needs_grad[0] else None), x.shape
        y = kernels.matmul(rows_of(x), W.T).reshape(*x.shape[:-1], len(W))
        return y if b is None else y + b

    def backward(self, gy):
        x, W, shape = self.saved
        gy = rows_of(gy)
        gx = kernels.matmul(gy, W).reshape(shape) if self.needs_grad[0] else None
        gW = kernels.matmul(gy.T, rows_of(x)) if self.needs_grad[1] else None
        if len(self.needs_grad) == 2:
            return gx, gW
        return gx, gW, reference.precise_sum(gy, 0) if self.needs_grad[2] else None


def rows_of(x):
    """(..., I) as a matrix (rows, I)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def matmul(input, other):
    """The matrix product; a vector counts as a row on the left, as a column on the right."""
    a, b = as_tensors("matmul", input, other)
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


def linear(input, weight, bias=None):
    """input weight^T + bias: (..., I), (O, I), (O,) -> (..., O)."""
    x, weight, *rest = as_tensors("linear", input, weight, *(() if bias is None else (bias,)))
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: input {x.shape} does not fit weight {weight.shape}; it needs (..., in), (out, in)"
        )
    if rest and rest[0].shape != weight.shape[:1]:
        raise ShapeError(
            f"linear: bias {rest[0].shape} does not fit weight {weight.shape}; it needs {weight.shape[:1]}"
        )
    check_same_float("linear", x, weight, *rest)
    return Linear()(x, weight, *rest)
