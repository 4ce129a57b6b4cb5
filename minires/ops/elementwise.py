"""Arithmetic element by element. Shapes broadcast as in NumPy; the engine sums gradients to an input's shape.

Everywhere below, y is the output, gy its gradient, ga, gb, gx those of the inputs a, b, x. Dtypes are
PyTorch's, see backend/dtypes.py: arithmetic stays among whole numbers, functions compute in floating point.
"""

import numpy as np

from minires.backend import common_dtype, floating_dtype, kernels
from minires.engine import Function
from minires.errors import DtypeError, OptionError
from minires.options import refuse_unless_default


class Add(Function, computes_in=common_dtype):
    """y = a + b        ga = gy        gb = gy"""

    def forward(self, a, b):
        return kernels.add(a, b)

    def backward(self, gy):
        return gy, gy


class Sub(Function, computes_in=common_dtype):
    """y = a - b        ga = gy        gb = -gy"""

    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class Mul(Function, computes_in=common_dtype):
    """y = a b        ga = gy b        gb = gy a"""

    def forward(self, a, b):
        self.saved = (a if self.needs_grad[1] else None), (b if self.needs_grad[0] else None)
        return a * b

    def backward(self, gy):
        a, b = self.saved
        return (gy * b if self.needs_grad[0] else None), (gy * a if self.needs_grad[1] else None)


class Div(Function, computes_in=floating_dtype):
    """y = a / b        ga = gy / b        gb = -gy a / b^2"""

    def forward(self, a, b):
        self.saved = (a if self.needs_grad[1] else None), b
        return a / b

    def backward(self, gy):
        a, b = self.saved
        ga = gy / b if self.needs_grad[0] else None
        gb = -gy * (a / b / b) if self.needs_grad[1] else None
        return ga, gb


class Neg(Function):
    """y = -x        gx = -gy"""

    def forward(self, x):
        refuse_truth_values("neg", x)
        return -x

    def backward(self, gy):
        return -gy


class Pow(Function, computes_in=common_dtype):
    """y = a^b        ga = gy b a^(b-1)        gb = gy y log a

    ga = 0 where b = 0, also at a = 0, where a^(b-1) is infinite; gb = 0 where a = 0 and b >= 0, for 0^b is
    constant there.
    """

    def forward(self, a, b):
        refuse_truth_values("pow", a)
        if b.dtype.kind == "i" and (b < 0).any():
            raise OptionError("pow: whole numbers have no negative whole powers; convert with .to('float32')")
        y = a**b
        self.saved = a, b, y
        return y

    def backward(self, gy):
        (a, b, y), xp = self.saved, self.xp
        ga = gb = None
        if self.needs_grad[0]:
            ga = xp.where(b == 0, 0, gy * b * a ** xp.where(b == 0, 1, b - 1))
        if self.needs_grad[1]:
            constant = (a == 0) & (b >= 0)
            gb = xp.where(constant, 0, gy * y * xp.log(xp.where(constant, 1, a)))
        return ga, gb


class Exp(Function, computes_in=floating_dtype):
    """y = e^x        gx = gy y"""

    def forward(self, x):
        self.saved = y = self.xp.exp(x)
        return y

    def backward(self, gy):
        return gy * self.saved


class Log(Function, computes_in=floating_dtype):
    """y = ln x        gx = gy / x"""

    def forward(self, x):
        self.saved = x
        return self.xp.log(x)

    def backward(self, gy):
        return gy / self.saved


class Sqrt(Function, computes_in=floating_dtype):
    """y = sqrt(x)        gx = gy / (2 y)"""

    def forward(self, x):
        self.saved = y = self.xp.sqrt(x)
        return y

    def backward(self, gy):
        return gy / (2 * self.saved)


class Abs(Function):
    """y = |x|        gx = gy where x > 0, -gy where x < 0, else 0"""

    def forward(self, x):
        refuse_truth_values("abs", x)
        self.saved = x
        return self.xp.abs(x)

    def backward(self, gy):
        x = self.saved
        return kernels.select(x > 0, gy) - kernels.select(x < 0, gy)


class Maximum(Function, computes_in=common_dtype):
    """y = max(a, b)        the larger input gets gy, the other one 0; at a tie each gets gy / 2

    Where one of them is NaN, so is y, and both get gy.
    """

    def forward(self, a, b):
        self.saved = a, b
        return self.xp.maximum(a, b)

    def backward(self, gy):
        a, b = self.saved
        gy = self.xp.where(a == b, gy / 2, gy)
        return kernels.select(~(a < b), gy), kernels.select(~(a > b), gy)


class Minimum(Maximum):
    """y = min(a, b)        the smaller input gets gy, the other one 0; at a tie each gets gy / 2

    Where one of them is NaN, so is y, and both get gy.
    """

    def forward(self, a, b):
        self.saved = a, b
        return self.xp.minimum(a, b)

    def backward(self, gy):
        return super().backward(gy)[::-1]


class Clip(Function, computes_in=common_dtype):
    """y = min(max(x, low), high)        gx = gy where low <= x <= high, else 0

    glow = gy where y is low        ghigh = gy where y is high, also where high < low

    bounds: which of the two the inputs contain behind x, ("low", "high") or one of them.
    """

    def __init__(self, *bounds):
        self.bounds = bounds

    def forward(self, x, *values):
        y, bounds = x, dict(zip(self.bounds, values, strict=True))
        if "low" in bounds:
            y = self.xp.maximum(y, bounds["low"])
        if "high" in bounds:
            y = self.xp.minimum(y, bounds["high"])
        self.saved = x, *values
        return y

    def backward(self, gy):
        x, *values = self.saved
        bounds = dict(zip(self.bounds, values, strict=True))
        low, high = bounds.get("low", x), bounds.get("high", x)
        masks = {"low": x < low, "high": x > high}
        if len(bounds) == 2:
            masks = {"low": masks["low"] & (low < high), "high": masks["high"] | (high < low)}
        inside = (x >= low) & (x <= high)
        return tuple(kernels.select(mask, gy) for mask in (inside, *(masks[name] for name in bounds)))


def refuse_truth_values(op, *values):
    """DtypeError if one of these arrays, tensors and numbers is a truth value."""
    if any(isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_ for value in values):
        raise DtypeError(f"{op}: does not compute with truth values; convert first, with .to('int64')")


def add(input, other, *, alpha=1):
    """input + other."""
    refuse_unless_default("add", alpha=(alpha, 1))
    return Add()(input, other)


def sub(input, other, *, alpha=1):
    """input - other; DtypeError for truth values."""
    refuse_unless_default("sub", alpha=(alpha, 1))
    refuse_truth_values("sub", input, other)
    return Sub()(input, other)


def mul(input, other):
    """input * other."""
    return Mul()(input, other)


def div(input, other, *, rounding_mode=None):
    """input / other, in floating point also for whole numbers."""
    refuse_unless_default("div", rounding_mode=(rounding_mode, None))
    return Div()(input, other)


def neg(input):
    """-input; DtypeError for truth values."""
    return Neg()(input)


def pow(input, exponent):
    """input to the power exponent; OptionError for negative powers of whole numbers."""
    return Pow()(input, exponent)


def exp(input):
    """e to the power input."""
    return Exp()(input)


def log(input):
    """The natural logarithm."""
    return Log()(input)


def sqrt(input):
    """The square root."""
    return Sqrt()(input)


def abs(input):
    """The absolute value; DtypeError for truth values."""
    return Abs()(input)


def maximum(input, other):
    """The larger of the two, element by element."""
    return Maximum()(input, other)


def minimum(input, other):
    """The smaller of the two, element by element."""
    return Minimum()(input, other)


def clip(input, min=None, max=None):
    """input, held between `min` and `max`, numbers or tensors; one of them may be left out.

    Where min > max the result is max.
    """
    bounds = {"low": min, "high": max}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if not bounds:
        raise OptionError("clip: give min, max or both")
    return Clip(*bounds)(input, *bounds.values())
