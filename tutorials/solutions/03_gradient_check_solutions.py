"""
Solutions to 3: checking a gradient
===================================

The exercises of :doc:`../03_gradient_check`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, gradcheck, no_grad
from minires.errors import GradientError

plt.style.use("minires.plot.page")

# %%
# 1. Three ways back through softmax
# ----------------------------------
#
# In one row, :math:`p_k = e^{x_k} / S` with :math:`S = \sum_j e^{x_j}`. By the quotient
# rule, with :math:`\delta_{kj} = 1` where :math:`k = j` and 0 elsewhere,
#
# .. math::
#
#    \frac{\partial p_k}{\partial x_j}
#    &= \frac{\delta_{kj} \, e^{x_k}}{S} - \frac{e^{x_k} e^{x_j}}{S^2} \\
#    &= p_k \left( \delta_{kj} - p_j \right)
#
# The chain rule sums over all outputs that :math:`x_j` goes into:
#
# .. math::
#
#    gx_j &= \sum_k gy_k \, p_k (\delta_{kj} - p_j) \\
#    &= p_j \, gy_j - p_j \sum_k p_k \, gy_k
#
# That is (a). (b) has only the terms with :math:`k = j`, as though each output depended
# on its own input alone. (c) has the mean of ``gy`` with equal weights in place of the
# weights :math:`p_k`.


class Softmax(Function):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.saved = p = e / e.sum(axis=1, keepdims=True)
        return p

    def backward(self, gy):  # (a)
        p = self.saved
        return p * gy - p * (p * gy).sum(axis=1, keepdims=True)


class OwnInputOnly(Softmax):
    def backward(self, gy):  # (b)
        p = self.saved
        return p * (1 - p) * gy


class EqualWeights(Softmax):
    def backward(self, gy):  # (c)
        p = self.saved
        return p * gy - p * gy.mean(axis=1, keepdims=True)


# %%
# With ones the loss is the sum of all probabilities, which is the number of rows and
# never changes. The true gradient is zero, so the result of ``backward`` is its error.

values = np.random.default_rng(0).standard_normal((4, 5))
with_ones = {}
found_wrong = {}
for operation in (Softmax, OwnInputOnly, EqualWeights):
    x = Tensor(values, requires_grad=True)
    operation()(x).backward(np.ones(values.shape))
    with_ones[operation.__name__] = error = np.abs(x.grad.numpy()).max()
    try:
        gradcheck(operation(), [values])
        found_wrong[operation.__name__] = False
    except GradientError:
        found_wrong[operation.__name__] = True
    verdict = "wrong" if found_wrong[operation.__name__] else "right"
    print(f"{operation.__name__:12}  with ones: {error:.0e}  by gradcheck: {verdict}")

# %%
# (c) passes with ones: the weights :math:`p_k` and the weights :math:`1 / K` both add
# up to 1, and with equal ``gy`` that is all that matters. (b) does not even pass with
# ones.
#
# 2. The complex step
# -------------------
#
# Taylor's series holds for complex numbers, too, if :math:`f` is made of functions such
# as :math:`e^x`, sums and products:
#
# .. math::
#
#    f(x + i h) = f(x) & + i h f'(x) - \frac{h^2}{2} f''(x) \\
#    & - \frac{i h^3}{6} f'''(x) + \dots
#
# The imaginary part, divided by :math:`h`, is :math:`f'(x) - h^2 f'''(x) / 6 + \dots`
# The error by truncation is that of the central difference. But nothing is subtracted:
# the imaginary part is a small number with all its digits, in a place of its own. So
# :math:`h` can be as small as one likes.

x = np.linspace(0, 1, 200)
steps = np.logspace(-20, 0, 81)
exact = np.exp(x)
central = []
complex_step = []
for h in steps:
    slope = (np.exp(x + h) - np.exp(x - h)) / (2 * h)
    central.append(np.mean(np.abs(slope - exact) / exact))
    slope = np.exp(x + 1j * h).imag / h
    complex_step.append(np.mean(np.abs(slope - exact) / exact))

figure, panel = plt.subplots(figsize=(5.2, 3.8))
panel.loglog(steps, central, color="C1", label="central difference")
panel.loglog(steps, np.maximum(complex_step, 1e-17), color="C2", label="complex step")
panel.set(xlabel="nudge ε, or step h", ylabel="relative error")
panel.legend(loc="center left")
plt.show()

# %%
# Errors below :math:`10^{-17}` are drawn there. The complex step needs a function that
# takes complex numbers and has no ``max`` or absolute value in it. Most networks
# contain one of these.
#
# 3. Which layer is wrong?
# ------------------------


class TwiceAsMuch(Function):
    """y = x W, with a wrong gradient for W."""

    def forward(self, x, W):
        self.saved = x, W
        return x @ W

    def backward(self, gy):
        x, W = self.saved
        return gy @ W.T, 2 * (x.T @ gy)


def check_direction(f, tensors, generator, eps):
    for tensor in tensors:
        tensor.grad = None
    y = f()
    upstream = generator.standard_normal(y.shape)
    y.backward(upstream.copy())
    starts = [tensor.data.copy() for tensor in tensors]
    direction = [generator.standard_normal(tensor.shape) for tensor in tensors]
    predicted = 0.0
    for tensor, v in zip(tensors, direction, strict=True):
        predicted += (tensor.grad.numpy() * v).sum()

    def loss_at(distance):
        for tensor, start, v in zip(tensors, starts, direction, strict=True):
            tensor.data[...] = start + distance * v
        with no_grad():
            return (f().numpy() * upstream).sum()

    measured = (loss_at(eps) - loss_at(-eps)) / (2 * eps)
    for tensor, start in zip(tensors, starts, strict=True):
        tensor.data[...] = start
    return abs(predicted - measured) / max(abs(predicted), abs(measured))


generator = np.random.default_rng(0)
depth = 12
wrong_layer = 7
weights = [
    Tensor(generator.standard_normal((8, 8)) / 8**0.5, requires_grad=True)
    for _ in range(depth)
]
vectors = Tensor(generator.standard_normal((16, 8)))


def deep_network():
    h = vectors
    for layer, W in enumerate(weights, start=1):
        h = TwiceAsMuch()(h, W) if layer == wrong_layer else h @ W
        h = h.sigmoid()
    return h


# %%
# A direction for each layer's weights alone: two evaluations for each of the layers.
# The other weights keep still, and their gradients do not enter. But ``backward()``
# adds to them too, so each check begins by clearing those that it looks at.

errors = []
for layer, W in enumerate(weights, start=1):
    errors.append(check_direction(deep_network, [W], generator, eps=1e-3))
    print(f"layer {layer:2}: {errors[-1]:.0e}")
print("wrong is layer", 1 + int(np.argmax(errors)), "after", 2 * depth, "evaluations")
