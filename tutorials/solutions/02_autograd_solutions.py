"""
Solutions to 2: autograd
========================

The exercises of :doc:`../02_autograd`.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, no_grad

plt.style.use("minires.plot.page")

# %%
# 1. exp, tanh and division for single numbers
# --------------------------------------------
#
# :math:`(e^x)' = e^x` and :math:`\tanh' = 1 - \tanh^2`: both local derivatives come
# from the value that has just been computed. For :math:`y = a / b` they are :math:`1 /
# b` and :math:`-a / b^2 = -y / b`.


class Scalar:
    def __init__(self, value, inputs=()):
        self.value = value
        self.inputs = inputs

    def __add__(self, other):
        return Scalar(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Scalar(
            self.value * other.value, [(self, other.value), (other, self.value)]
        )

    def __truediv__(self, other):
        y = self.value / other.value
        return Scalar(y, [(self, 1 / other.value), (other, -y / other.value)])

    def exp(self):
        y = math.exp(self.value)
        return Scalar(y, [(self, y)])

    def tanh(self):
        y = math.tanh(self.value)
        return Scalar(y, [(self, 1 - y * y)])


def topological_order(end):
    uses = {end: 0}
    waiting = [end]
    while waiting:
        for x, _ in waiting.pop().inputs:
            if x not in uses:
                uses[x] = 0
                waiting.append(x)
            uses[x] += 1
    ready = [end]
    while ready:
        node = ready.pop()
        yield node
        for x, _ in node.inputs:
            uses[x] -= 1
            if uses[x] == 0:
                ready.append(x)


def scalar_backward(end):
    gradients = {end: 1.0}
    for node in topological_order(end):
        for x, local in node.inputs:
            gradients[x] = gradients.get(x, 0.0) + gradients[node] * local
    return gradients


# %%
# An expression that has all of them, and uses each input more than once:


def expression(a, b):
    return (a * b).tanh() / (a.exp() + b) + a / b


def value_at(a, b):
    return expression(Scalar(a), Scalar(b)).value


a, b = Scalar(0.7), Scalar(1.3)
gradients = scalar_backward(expression(a, b))
walked = [gradients[a], gradients[b]]
eps = 1e-6
nudged = [
    (value_at(0.7 + eps, 1.3) - value_at(0.7 - eps, 1.3)) / (2 * eps),
    (value_at(0.7, 1.3 + eps) - value_at(0.7, 1.3 - eps)) / (2 * eps),
]
print("by the walk:", walked)
print("by nudges:  ", nudged)
np.testing.assert_allclose(walked, nudged, rtol=1e-7)

# %%
# Here the nudges go in both directions. Page 3 says why that is better.
#
# 2. The maximum, with ties
# -------------------------
#
# Where one element is the largest, it gets the whole gradient, and the others get
# nothing: nudging those does not change the maximum. Where two are equal, there is no
# derivative. Nudged up, either of them raises the maximum; nudged down, the other one
# holds it. So the slope is 1 on one side and 0 on the other. Any share between is a
# *subgradient*. Two choices are common: one of the tied elements takes all, or they
# share equally.


class Array:
    def __init__(self, value, inputs=()):
        self.value = np.asarray(value)
        self.inputs = inputs

    def max(self, axis):
        x = self.value
        y = x.max(axis=axis, keepdims=True)
        tied = x == y
        shares = tied / tied.sum(axis=axis, keepdims=True)

        def backward(gy):
            return np.expand_dims(gy, axis) * shares

        return Array(y.squeeze(axis), [(self, backward)])


x = np.array([[1.0, 5.0, 2.0], [4.0, 4.0, 3.0]])
((_, backward),) = Array(x).max(axis=1).inputs
gradient = backward(np.array([1.0, 1.0]))
print(gradient)

# %%
# ``amax`` of the library shares equally, too:

leaf = Tensor(x, requires_grad=True)
leaf.amax(1).sum().backward()
np.testing.assert_array_equal(leaf.grad, gradient)

# %%
# It is a choice. What both have in common is that the shares add up to 1, so that as
# much gradient goes on as has arrived.
#
# 3. Softplus
# -----------
#
# The derivative of :math:`\log(1 + e^x)` is :math:`e^x / (1 + e^x) = 1 / (1 + e^{-x})`,
# the sigmoid. Taken as written, :math:`e^{1000}` overflows going forward, and
# :math:`e^{-x}` going back for :math:`x = -1000`. NumPy's ``logaddexp(a, b)`` is
# :math:`\log(e^a + e^b)` without overflow, and :math:`\log(1 + e^x) = \log(e^0 + e^x)`.
# For the way back, :math:`\log` of the sigmoid is :math:`x - y`, which is never above
# 0:


class Softplus(Function):
    """y = log(1 + e^x)        gx = gy e^(x - y)"""

    def forward(self, x):
        y = self.xp.logaddexp(0, x)
        self.saved = x, y
        return y

    def backward(self, gy):
        x, y = self.saved
        return gy * self.xp.exp(x - y)


def as_a_chain(x):
    return (x.exp() + 1).log()


generator = np.random.default_rng(0)
values = generator.standard_normal((3, 4))
upstream = generator.standard_normal((3, 4))
gradients = []
for function in (Softplus(), as_a_chain):
    x = Tensor(values, requires_grad=True)
    y = function(x)
    y.backward(upstream)
    gradients.append(x.grad.numpy())
np.testing.assert_allclose(*gradients, rtol=1e-9)

x = Tensor([-1000.0, 0.0, 1000.0], requires_grad=True)
y = Softplus()(x)
y.sum().backward()
print("values:   ", y.numpy())
print("gradients:", x.grad.numpy())

# %%
# 4. Without clearing the gradients
# ---------------------------------

points = np.linspace(-3, 3, 64)[:, None]
generator = np.random.default_rng(0)
targets = np.sin(1.5 * points) + 0.1 * generator.standard_normal(points.shape)
start = [
    generator.standard_normal((1, 32)),
    generator.standard_normal(32),
    generator.standard_normal((32, 1)) / 32**0.5,
    np.zeros(1),
]
steps = 1_000
rate = 0.02


def train(clear):
    x, t = Tensor(points), Tensor(targets)
    parameters = [Tensor(value.copy(), requires_grad=True) for value in start]
    W1, b1, W2, b2 = parameters
    losses = []
    for _ in range(steps):
        y = (x @ W1 + b1).relu() @ W2 + b2
        loss = ((y - t) ** 2).mean()
        loss.backward()
        with no_grad():
            for p in parameters:
                p -= rate * p.grad
                if clear:
                    p.grad = None
        losses.append(loss.item())
    return losses


cleared, forgotten = train(clear=True), train(clear=False)
figure, panel = plt.subplots(figsize=(5.4, 3.6))
panel.semilogy(cleared, label="cleared")
panel.semilogy(forgotten, label="not cleared")
panel.set(xlabel="step", ylabel="loss")
panel.legend()
plt.show()

# %%
# ``grad`` is now the sum of all gradients since the start. A step does not follow the
# slope at the present place, but the sum of all slopes so far. A ball behaves like
# that: the gradient is a force, and the sum of the forces is its speed. Without
# friction it rolls through the valley and up the other side. Nothing is printed,
# nothing fails, and the loss does come down at times, which is what makes this mistake
# hard to see.
