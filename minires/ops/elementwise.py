"""Arithmetic element by element. Shapes broadcast as in NumPy; the engine sums gradients to an input's shape.

Everywhere below, y is the output, gy its gradient, ga, gb, gx those of the inputs a, b, x.
"""

from minires.backend import kernels
from minires.engine import Function


class Add(Function):
    """y = a + b        ga = gy        gb = gy"""

    def forward(self, a, b):
        return kernels.add(a, b)

    def backward(self, gy):
        return gy, gy


class Sub(Function):
    """y = a - b        ga = gy        gb = -gy"""

    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class Mul(Function):
    """y = a b        ga = gy b        gb = gy a"""

    def forward(self, a, b):
        self.saved = a, b
        return a * b

    def backward(self, gy):
        a, b = self.saved
        return gy * b, gy * a


class Div(Function):
    """y = a / b        ga = gy / b        gb = -gy a / b^2"""

    def forward(self, a, b):
        self.saved = a, b
        return a / b

    def backward(self, gy):
        a, b = self.saved
        ga = gy / b
        return ga, -ga * a / b


class Neg(Function):
    """y = -x        gx = -gy"""

    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Pow(Function):
    """y = a^b        ga = gy b a^(b-1)        gb = gy y log a   (a > 0 where b needs a gradient)"""

    def forward(self, a, b):
        y = a**b
        self.saved = a, b, y
        return y

    def backward(self, gy):
        a, b, y = self.saved
        # where b = 0 the gradient is 0, also at a = 0, where a^(b-1) would be infinite
        ga = gy * b * a ** self.xp.where(b == 0, 1, b - 1) if self.needs_grad[0] else None
        gb = gy * y * self.xp.log(a) if self.needs_grad[1] else None
        return ga, gb


class Exp(Function):
    """y = e^x        gx = gy y"""

    def forward(self, x):
        self.saved = y = self.xp.exp(x)
        return y

    def backward(self, gy):
        return gy * self.saved


class Log(Function):
    """y = ln x        gx = gy / x"""

    def forward(self, x):
        self.saved = x
        return self.xp.log(x)

    def backward(self, gy):
        return gy / self.saved


class Sqrt(Function):
    """y = sqrt(x)        gx = gy / (2 y)"""

    def forward(self, x):
        self.saved = y = self.xp.sqrt(x)
        return y

    def backward(self, gy):
        return gy / (2 * self.saved)


class Abs(Function):
    """y = |x|        gx = gy sign(x)   (0 at the kink)"""

    def forward(self, x):
        self.saved = x
        return self.xp.abs(x)

    def backward(self, gy):
        return gy * self.xp.sign(self.saved)


class Maximum(Function):
    """y = max(a, b)        the larger input gets gy, the other one 0; at a tie each gets gy / 2"""

    def forward(self, a, b):
        self.saved = a, b
        return self.xp.maximum(a, b)

    def backward(self, gy):
        a, b = self.saved
        ga = gy * (a > b) + gy / 2 * (a == b)
        return ga, gy - ga


class Clip(Function):
    """y = min(max(x, low), high)        gx = gy where low <= x <= high, else 0"""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        y = self.xp.clip(x, self.low, self.high)
        self.saved = y == x
        return y

    def backward(self, gy):
        return gy * self.saved


def add(a, b):
    """a + b."""
    return Add()(a, b)


def sub(a, b):
    """a - b."""
    return Sub()(a, b)


def mul(a, b):
    """a * b."""
    return Mul()(a, b)


def div(a, b):
    """a / b."""
    return Div()(a, b)


def neg(x):
    """-x."""
    return Neg()(x)


def pow(a, b):
    """a to the power b."""
    return Pow()(a, b)


def exp(x):
    """e to the power x."""
    return Exp()(x)


def log(x):
    """The natural logarithm."""
    return Log()(x)


def sqrt(x):
    """The square root."""
    return Sqrt()(x)


def abs(x):
    """The absolute value."""
    return Abs()(x)


def maximum(a, b):
    """The larger of a and b, element by element."""
    return Maximum()(a, b)


def clip(x, min=None, max=None):
    """x, held between `min` and `max`; either may be left out."""
    return Clip(min, max)(x)
