"""
3. Checking a gradient, and how a check fools itself
====================================================

**You build** a gradient checker in a few lines, and wrong gradients that get past it.

**You need** :doc:`02_autograd`.

**It takes** less than 20 seconds on two cores to run; reading takes longer.

A wrong gradient raises no error. The network may still learn with it, only worse than
it could. So every ``backward`` is compared with something that does not share its
mistakes: the definition of the derivative. That takes a few lines. But a check can pass
for reasons of its own, and such a check is worse than none. Most of this page is about
that.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, gradcheck, models, no_grad
from minires.errors import GradientError
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# A wrong gradient learns, too
# ----------------------------
#
# Relu passes the gradient where its input is above 0. Here is one that has forgotten
# this and passes it everywhere. What becomes of a network with such a relu? It is the
# small network of page 2, on a sine:


class ForgetsMask(Function):
    def forward(self, x):
        return np.maximum(x, 0)

    def backward(self, gy):
        return gy  # not gy * (x > 0)


steps = 1_000


def train(relu):
    generator = np.random.default_rng(0)
    x = Tensor(np.linspace(-3, 3, 64)[:, None])
    t = np.sin(1.5 * x.numpy())
    W1 = Tensor(generator.standard_normal((1, 32)), requires_grad=True)
    b1 = Tensor(generator.standard_normal(32), requires_grad=True)
    W2 = Tensor(generator.standard_normal((32, 1)) / 32**0.5, requires_grad=True)
    b2 = Tensor(np.zeros(1), requires_grad=True)
    losses = []
    for _ in range(steps):
        y = relu(x @ W1 + b1) @ W2 + b2
        loss = ((y - t) ** 2).mean()
        loss.backward()
        with no_grad():
            for parameter in (W1, b1, W2, b2):
                parameter -= 0.02 * parameter.grad
                parameter.grad = None
        losses.append(loss.item())
    return losses


losses, wrong_losses = train(F.relu), train(ForgetsMask())
figure, panel = plt.subplots(figsize=(5, 3.2))
panel.semilogy(losses, label="right gradient")
panel.semilogy(wrong_losses, label="wrong gradient")
panel.set(xlabel="step", ylabel="loss")
panel.legend()
plt.show()

# %%
# The loss falls with the wrong gradient, too, only less far. The second curve alone
# gives no reason for suspicion. So look at the gradient, not at the loss.
#
# One side or both
# ----------------
#
# Page 2 nudged an input by :math:`\varepsilon` and looked at the change. How good is
# that? Taylor's series says what the nudged value is:
#
# .. math::
#
#    f(x + \varepsilon) = f(x) & + \varepsilon f'(x) + \frac{\varepsilon^2}{2} f''(x) \\
#    & + \frac{\varepsilon^3}{6} f'''(x) + \dots
#
# Subtract :math:`f(x)` and divide by :math:`\varepsilon`. This is the *one-sided*
# difference:
#
# .. math::
#
#    \frac{f(x + \varepsilon) - f(x)}{\varepsilon}
#    = f'(x) + \frac{\varepsilon}{2} f''(x) + \dots
#
# A nudge to the other side has the same series with :math:`-\varepsilon`: the terms
# with even powers are the same, those with odd powers change sign. In the difference of
# the two nudged values the even ones cancel, :math:`f''` among them. This is the
# *central* difference:
#
# .. math::
#
#    & \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2 \varepsilon} \\
#    & \quad = f'(x) + \frac{\varepsilon^2}{6} f'''(x) + \dots
#
# With a tenth of the nudge, the first is ten times as good, and the second a hundred
# times. So why not take the smallest number there is? Because of rounding. A computer
# keeps :math:`f` with a relative error of up to :math:`r`, which is about
# :math:`10^{-16}` in ``float64`` and :math:`6 \cdot 10^{-8}` in ``float32``. The two
# nudged values are nearly equal. Their difference loses the leading digits, keeps the
# error of about :math:`r f`, and is then divided by :math:`\varepsilon`:
#
# .. math:: \text{error by rounding} \approx \frac{r \, |f(x)|}{\varepsilon}
#
# One error falls with :math:`\varepsilon`, the other one rises. For :math:`f(x) = e^x`
# all derivatives are :math:`e^x`, so that the relative errors are just
# :math:`\varepsilon / 2`, :math:`\varepsilon^2 / 6` and :math:`r / \varepsilon`.


def difference_error(dtype, eps, central):
    """The mean relative error of the difference for e^x, over 200 places."""
    x = np.linspace(0, 1, 200, dtype=dtype)
    eps = dtype(eps)
    if central:
        slope = (np.exp(x + eps) - np.exp(x - eps)) / (2 * eps)
    else:
        slope = (np.exp(x + eps) - np.exp(x)) / eps
    exact = np.exp(x.astype(np.float64))
    return np.mean(np.abs(slope - exact) / exact)


nudges = np.logspace(-14, 0, 113)
errors = {}
figure, panels = plt.subplots(2, 1, figsize=(5.2, 6.6), sharex=True, sharey=True)
for panel, dtype in zip(panels, (np.float64, np.float32), strict=True):
    panel.loglog(nudges, nudges / 2, ":", color="0.3", label="ε / 2, ε² / 6")
    panel.loglog(nudges, nudges**2 / 6, ":", color="0.3")
    for central, label in ((False, "one-sided"), (True, "central")):
        curve = np.array([difference_error(dtype, eps, central) for eps in nudges])
        errors[dtype, central] = curve
        panel.loglog(nudges, curve, label=label)
    panel.set(ylim=(1e-13, 10), ylabel="relative error", title=dtype.__name__)
panels[0].legend()
panels[1].set_xlabel("nudge ε")
plt.show()

for (dtype, central), curve in errors.items():
    best = curve.argmin()
    name = "central" if central else "one-sided"
    print(f"{dtype.__name__}, {name:9}: error {curve[best]:.0e} at {nudges[best]:.0e}")

# %%
# From the right, each curve follows its dotted line, :math:`\varepsilon / 2` or
# :math:`\varepsilon^2 / 6`, down to where rounding takes over. Where the lower panel is
# flat, :math:`x + \varepsilon` is rounded to :math:`x`, and the difference is zero. The
# central difference in ``float64`` is the best of the four by far. It is what we check
# with from here on, with :math:`\varepsilon = 10^{-6}`. That is below the best place in
# the figure, for two reasons: in other functions :math:`f'''` may be much larger than
# :math:`f'`, and a small nudge stays on one side of a kink more often.
#
# The checker
# -----------
#
# An operation gives an array. A gradient belongs to a single number. So the elements of
# the output are added up with weights :math:`u_i`:
#
# .. math:: L = \sum_i u_i \, y_i \qquad \frac{\partial L}{\partial y_i} = u_i
#
# The weights are exactly the upstream gradient that ``backward`` starts from. We take
# random ones. Soon it will be clear why.


def compare(f, *arrays, upstream=None, eps=1e-6, dtype=np.float64):
    """For each input: its gradient by backward(), and by central differences."""
    tensors = [Tensor(np.array(array, dtype), requires_grad=True) for array in arrays]
    y = f(*tensors)
    if upstream is None:
        upstream = np.random.default_rng(100).standard_normal(y.shape)
    upstream = upstream.astype(dtype)
    y.backward(upstream.copy())

    def loss():
        with no_grad():
            return (f(*tensors).numpy() * upstream).sum()

    pairs = []
    for tensor in tensors:
        x = tensor.data
        differences = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            value = x[index]
            x[index] = value + eps
            above = loss()
            x[index] = value - eps
            differences[index] = (above - loss()) / (2 * eps)
            x[index] = value
        pairs.append((tensor.grad.numpy(), differences))
    return pairs


# %%
# When are two gradients the same? An absolute difference says nothing without a scale:
# a gradient of :math:`10^{-7}` may be wrong by a factor of two, and the two are
# "close".

print("close?", np.allclose(1e-7, 2e-7, rtol=1e-6, atol=1e-6))

# %%
# A relative difference, element by element, is too strict. The derivative of tanh at 10
# is so small that its difference consists of rounding errors:

((exact, differences),) = compare(F.tanh, [0.1, 1.0, 10.0])
print("backward():  ", exact)
print("differences: ", differences)
print("element by element:", np.abs(exact - differences) / np.abs(exact))

# %%
# The right measure here is the largest difference relative to the largest gradient *of
# the same input*. Rounding in the loss disturbs all elements alike, so the error of
# each is compared with the largest gradient.


def relative_error(exact, differences):
    scale = max(np.abs(exact).max(), np.abs(differences).max())
    return np.abs(exact - differences).max() / scale


def check(f, *arrays, **options):
    """The largest relative error over all inputs."""
    return max(relative_error(*pair) for pair in compare(f, *arrays, **options))


generator = np.random.default_rng(0)
x = generator.standard_normal((5, 3))
W = generator.standard_normal((4, 3))
b = generator.standard_normal(4)
print("tanh:  ", check(F.tanh, [0.1, 1.0, 10.0]))
print("linear:", check(F.linear, x, W, b))

# %%
# Now five ways in which such a check fools itself.
#
# 1. An upstream gradient of ones
# -------------------------------
#
# The obvious weights are ones: :math:`L = \sum_i y_i`, or ``y.sum().backward()``. Take
# the core of batch norm (:doc:`07_batch_norm`): in each column of :math:`x`, with shape
# :math:`(N, C)`, subtract the mean and divide by the standard deviation. With a bar for
# the mean over the :math:`N` rows,
#
# .. math::
#
#    y &= \frac{x - \overline{x}}{\sigma} \\[1ex]
#    gx &= \frac{1}{\sigma} \left( gy - \overline{gy} - y \, \overline{gy \, y} \right)
#
# The second term is there because :math:`\overline{x}` depends on :math:`x`, the third
# because :math:`\sigma` does. Both are easy to forget. Here is the right one, and two
# that have forgotten one each.


class Normalize(Function):
    def forward(self, x):
        std = np.sqrt(x.var(axis=0) + 1e-5)
        y = (x - x.mean(axis=0)) / std
        self.saved = y, std
        return y

    def backward(self, gy):
        y, std = self.saved
        return (gy - gy.mean(axis=0) - y * (gy * y).mean(axis=0)) / std


class ForgetsMean(Normalize):
    def backward(self, gy):
        y, std = self.saved
        return (gy - y * (gy * y).mean(axis=0)) / std


class ForgetsDeviation(Normalize):
    def backward(self, gy):
        _, std = self.saved
        return (gy - gy.mean(axis=0)) / std


x = generator.standard_normal((6, 3))
print("upstream gradient of ones, largest number in each:")
print("                  backward()  differences")
for operation in (Normalize, ForgetsMean, ForgetsDeviation):
    ((exact, differences),) = compare(operation(), x, upstream=np.ones(x.shape))
    largest = np.abs(exact).max(), np.abs(differences).max()
    print(f"{operation.__name__:16}  {largest[0]:10.0e}  {largest[1]:11.0e}")

# %%
# The third is wrong, and the check does not show it. Each column of :math:`y` adds up
# to zero *for any* :math:`x`. So the true gradient of this sum is zero, and the wrong
# formula gives zero as well, since :math:`gy - \overline{gy} = 1 - 1`. The check
# compares zero with zero.
#
# Other convenient losses have the same fault. The sum of squares, :math:`L = \frac12
# \sum_i y_i^2`, has the upstream gradient :math:`y`. But normalized numbers have the
# variance 1 (nearly: there is the small constant under the root) for any :math:`x`, so
# this loss does not change either. Now the check misses the *other* mistake:

upstreams = {
    "ones": np.ones(x.shape),
    "y itself": Normalize()(x).numpy(),
    "random": generator.standard_normal(x.shape),
}
differs = {}
print("largest difference" + "".join(f"{name:>10}" for name in upstreams))
for operation in (Normalize, ForgetsMean, ForgetsDeviation):
    row = []
    for upstream in upstreams.values():
        ((exact, differences),) = compare(operation(), x, upstream=upstream)
        row.append(np.abs(exact - differences).max())
    differs[operation.__name__] = row
    print(f"{operation.__name__:18}" + "".join(f"{value:10.0e}" for value in row))

# %%
# Each convenient loss is blind to one mistake. Random weights see both, since no
# property of the output is likely to cancel them. Softmax is another such operation:
# its outputs add up to 1 (exercise 1). Draw the weights from a generator of their own.
# If they come from the same seed as the inputs, then :math:`u = x`, and the true
# gradient nearly vanishes once more: with :math:`gy = x`, the bracket in the formula is
# :math:`x - \overline{x} - y \, \overline{x y} \approx \sigma y - y \sigma`.
#
# 2. float32
# ----------
#
# Suppose that you check in ``float32``, because the network computes in ``float32``.
# The nudge of :math:`10^{-6}` then gives nonsense, so it is made larger until the right
# gradient passes with some tolerance. What is the best that one can do? And would the
# check find a real mistake? This ``backward`` divides by :math:`N - 1` where it should
# divide by :math:`N`:


class DividesByLess(Normalize):
    def backward(self, gy):
        y, std = self.saved
        N = len(gy)
        return (gy - gy.mean(axis=0) - y * (gy * y).sum(axis=0) / (N - 1)) / std


x = generator.standard_normal((32, 3))
print("              right    wrong")
in_float32 = []
for eps in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
    pair = [
        check(operation(), x, eps=eps, dtype=np.float32)
        for operation in (Normalize, DividesByLess)
    ]
    in_float32.append(pair)
    print(f"float32, {eps:.0e}  {pair[0]:.0e}    {pair[1]:.0e}")
in_float64 = [check(operation(), x) for operation in (Normalize, DividesByLess)]
print(f"float64, 1e-06  {in_float64[0]:.0e}    {in_float64[1]:.0e}")

# %%
# With small nudges the two cannot be told apart, and a tolerance that lets the right
# one pass lets the wrong one pass. With the best nudge they can. But which one is the
# best depends on the function, and you would have to know the right gradient to find
# it. In ``float64`` no choice is needed: right and wrong lie far apart. So the check is
# in ``float64``, even if the network uses another type later. The formulas are the
# same.
#
# 3. Kinks
# --------
#
# Relu has a kink at 0. A nudge that crosses it measures neither the slope on the left,
# 0, nor that on the right, 1, but something between. With :math:`x = 0.3 \varepsilon`:

eps = 1e-6
x = np.array([0.3 * eps])
((exact, differences),) = compare(F.relu, x, upstream=np.ones(1), eps=eps)
print("backward():", exact, "differences:", differences)

position = np.array([-2, 0, 2])
ends = np.array([-0.7, 1.3])
figure, panel = plt.subplots(figsize=(5, 3.2))
panel.plot(position, np.maximum(position, 0), label="relu")
panel.plot(ends, np.maximum(ends, 0), "o--", label="what the difference measures")
panel.plot(0.3, 0.3, "o", color="C0")
panel.text(0.4, 0.2, "x", color="C0", size=13)
panel.set(xlabel="x / ε", ylabel="y / ε")
panel.legend()
plt.show()

# %%
# Nothing is wrong here except the place. The same happens where two elements are equal
# under a maximum. At a tie a nudge up raises the maximum, and a nudge down does not
# lower it. The difference is one half. ``amax`` gives each of the equal ones the same
# share, so that the shares add up to 1. (``x.max(1)``, as in PyTorch, gives all to the
# first.)

tied = np.array([[2.0, 2.0, 2.0, 1.0]])
((exact, differences),) = compare(lambda x: x.amax(1), tied, upstream=np.ones(1))
print("backward():", exact, "differences:", differences)

# %%
# There is no derivative at such a place, so nothing to compare with. Ties are common in
# images, whose pixels are whole numbers, and after a relu, where many elements are 0.
# So inputs are kept away from kinks and ties. But do not do it by staying on one side:
# above 0 there is nothing wrong with the relu that has forgotten its mask.

positive = generator.uniform(0.1, 1, (4, 5))
both_sides = positive * generator.choice([-1, 1], positive.shape)
one_side_error = check(ForgetsMask(), positive)
both_sides_error = check(ForgetsMask(), both_sides)
print(f"inputs from 0.1 to 1:             {one_side_error:.0e}")
print(f"the same, with both signs:        {both_sides_error:.0e}")
print(f"the library's relu on these:      {check(F.relu, both_sides):.0e}")

# %%
# 4. Convenient shapes
# --------------------
#
# In a square image height and width are the same number. With a stride of 1, a
# forgotten factor of the stride is a factor of 1. In a batch of one image, a sum over
# the batch is its only term. Three operations with one mistake each:


class GlobalMean(Function):
    """The mean of each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x):
        self.saved = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, gy):
        _, _, H, _ = self.saved
        return np.broadcast_to(gy[:, :, None, None], self.saved) / (H * H)  # not H * W


class BlockMean(Function):
    """The mean of each block of s x s pixels: (N, C, H, W) -> (N, C, H/s, W/s)."""

    def __init__(self, s):
        self.s = s

    def forward(self, x):
        (N, C, H, W), s = x.shape, self.s
        return x.reshape(N, C, H // s, s, W // s, s).mean(axis=(3, 5))

    def backward(self, gy):
        return gy.repeat(self.s, axis=2).repeat(self.s, axis=3) / self.s  # not s * s


class Bias(Function):
    """y = x + b: (N, K) + (K) -> (N, K)."""

    def forward(self, x, b):
        return x + b

    def backward(self, gy):
        return gy, gy[0]  # not the sum over N


def image(*shape):
    return generator.standard_normal(shape)


cases = {
    "square image": check(GlobalMean(), image(2, 3, 4, 4)),
    "4 x 6 pixels": check(GlobalMean(), image(2, 3, 4, 6)),
    "stride 1": check(BlockMean(1), image(2, 3, 4, 6)),
    "stride 2": check(BlockMean(2), image(2, 3, 4, 6)),
    "a batch of 1": check(Bias(), image(1, 3), image(3)),
    "a batch of 2": check(Bias(), image(2, 3), image(3)),
}
for case, error in cases.items():
    print(f"{case:14}{error:.0e}")

# %%
# So: all lengths different, none of them 1, and every option at a value other than its
# default. It is easiest with small numbers such as :math:`(2, 3, 4, 6)`, which also
# keep the check fast.
#
# 5. On its own, and only once
# ----------------------------
#
# This relu makes no new array on the way back. It works in the one that it was given.


class ReluInPlace(Function):
    def forward(self, x):
        self.saved = x > 0
        return np.maximum(x, 0)

    def backward(self, gy):
        gy *= self.saved
        return gy


def in_residual(x):
    return ReluInPlace()(x) + x


error_alone = check(ReluInPlace(), both_sides)
error_with_shortcut = check(in_residual, both_sides)
print(f"on its own:              {error_alone:.0e}")
print(f"relu(x) + x:             {error_with_shortcut:.0e}")
print(f"with the library's relu: {check(lambda x: F.relu(x) + x, both_sides):.0e}")

# %%
# On its own it is right. But an addition hands *one* array to both of its inputs, since
# the two gradients are equal. The relu overwrites the array, and the shortcut gets what
# is left. This is why a ``Function`` never writes into an array that it was given. So
# also check an operation together with others, with its input used a second time. This
# also finds an engine that replaces a gradient where it should add.
#
# Did you notice that ``compare`` hands out a *copy* of the upstream gradient? Without
# it this mistake would have changed the weights :math:`u` themselves. The differences
# would have been computed with the changed ones, and all would have agreed.
#
# A whole network at once
# -----------------------
#
# Two evaluations for each number: this is fine for an operation with 50 numbers. A
# ResNet-20 has 269,722 parameters. But one can nudge all of them together. Along a
# direction :math:`v` with one element for each parameter, the slope of the loss is
#
# .. math::
#
#    \frac{d}{d\varepsilon} L(\theta + \varepsilon v) \Big|_{\varepsilon = 0}
#    = \sum_i g_i \, v_i
#
# where :math:`g` is the gradient: the chain rule again. Two evaluations measure the
# left side, and ``backward()`` gives the right one.


def check_direction(f, tensors, generator, eps=1e-6):
    """The relative error of the slope along one random direction in all tensors."""
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


# %%
# A ResNet-8 with few channels will do, in ``float64`` and with images that are not
# square:

network = models.create("resnet8", widths=(4, 8, 16), in_channels=1, generator=0)
network.to("float64")
parameters = list(network.parameters())
images = Tensor(generator.standard_normal((4, 1, 8, 12)))
print(sum(p.numel() for p in parameters), "parameters, two evaluations")
network_error = check_direction(lambda: network(images), parameters, generator)
print(f"relative error: {network_error:.0e}")

# %%
# What can it miss? Suppose that ``backward()`` gives :math:`g + e`, with a mistake
# :math:`e`. The check then sees the number :math:`e \cdot v` relative to :math:`g \cdot
# v`. The elements of :math:`v` are independent, with mean 0 and variance 1. In the
# square of such a sum the products :math:`v_i v_j` are 0 on average, and the
# :math:`v_i^2` are 1:
#
# .. math:: \mathrm{E} \, (e \cdot v)^2 = \sum_i e_i^2 = |e|^2
#
# The check sees about :math:`|e| / |g|`: the mistake relative to the *whole* gradient.
# A layer with small gradients may be quite wrong without showing. A chain of layers
# with sigmoids, :math:`1 / (1 + e^{-x})`, has such layers, since the derivative of a
# sigmoid is 1/4 at most, and the way back multiplies by one such number after the
# other. In the first layer we plant a gradient that is twice what it should be.


class TwiceAsMuch(Function):
    """y = x W, with a wrong gradient for W."""

    def forward(self, x, W):
        self.saved = x, W
        return x @ W

    def backward(self, gy):
        x, W = self.saved
        return gy @ W.T, 2 * (x.T @ gy)


depth = 12
generator = np.random.default_rng(0)
weights = [
    Tensor(generator.standard_normal((8, 8)) / 8**0.5, requires_grad=True)
    for _ in range(depth)
]
vectors = Tensor(generator.standard_normal((16, 8)))


def deep_network():
    h = TwiceAsMuch()(vectors, weights[0]).sigmoid()
    for W in weights[1:]:
        h = (h @ W).sigmoid()
    return h


deep_network().backward(generator.standard_normal((16, 8)))
norms = np.array([np.linalg.norm(W.grad) for W in weights])
mistake = norms[0] / 2  # half of this gradient should not be there

figure, panel = plt.subplots(figsize=(5, 3.2))
panel.semilogy(range(1, depth + 1), norms, "o-")
panel.semilogy(1, norms[0], "o", color="C1", label="twice as large as it should be")
panel.set(xlabel="layer", ylabel="length of the gradient")
panel.legend(loc="upper left")
plt.show()

nine_errors = [check_direction(deep_network, weights, generator) for _ in range(9)]
first_layer_error = check_direction(deep_network, weights[:1], generator, eps=1e-3)
print(f"|e| / |g|:             {mistake / np.linalg.norm(norms):.0e}")
print(f"nine directions:       {min(nine_errors):.0e} to {max(nine_errors):.0e}")
print(f"the first layer alone: {first_layer_error:.0e}")

# %%
# The mistake is a factor of two, and all nine directions pass with a tolerance of
# :math:`10^{-6}`. They also scatter: :math:`|e| / |g|` is what to expect, not what each
# one gives. So use one direction to find out whether a network is put together
# correctly from operations that have been checked element by element. A check between
# these two takes a direction for each layer's weights alone, as in the last line. There
# the nudge was larger, because the loss changes so little that rounding would hide it.
#
# Two more things to know. One direction does not say *where* the mistake is. And in a
# large network some relus are near their kinks, wherever one starts, and a nudge of all
# parameters takes a few across. With a smaller nudge there are fewer of them, while a
# wrong gradient stays wrong. So where a check fails, repeat it with a smaller nudge.
#
# The library
# -----------
#
# :func:`~minires.gradcheck` is all of this: ``float64``, central differences, a random
# upstream gradient, the error relative to the largest gradient of the same input. It
# takes a function of tensors and its inputs, and returns the largest error.

x = np.random.default_rng(1).standard_normal((6, 3))
print("ours:       ", check(Normalize(), x))
print("the library:", gradcheck(Normalize(), [x]))

# %%
# The two draw different weights, and so are rounded differently. Above a tolerance
# ``gradcheck`` raises an error that says where, and by how much:

try:
    gradcheck(ForgetsDeviation(), [x])
except GradientError as error:
    print(error)

# %%
# ``direction=True`` takes one random direction through all inputs. These may be
# tensors, such as a network's parameters, which are nudged where they are:

error = gradcheck(lambda *_: network(images), parameters, direction=True)
print(f"the network along a direction: {error:.0e}")

# %%
# At the command line:
#
# .. code-block:: sh
#
#     minires gradcheck conv2d max_pool2d
#     minires gradcheck
#
# The first command checks two operations. The second checks all operations and all
# blocks, element by element where they are small enough, and a ResNet-20 along one
# direction. Whenever you write a ``backward`` in the pages that follow, check it in
# this way before you use it.
#
# Exercises
# ---------
#
# 1. Softmax is :math:`p_k = e^{x_k} / \sum_j e^{x_j}` in each row. Here are three ways
#    back: (a) :math:`gx = p \, gy - p \sum_j p_j \, gy_j`, (b) :math:`gx = p \, (1 - p)
#    \, gy`, (c) :math:`gx = p \, gy - \frac{1}{K} p \sum_j gy_j` with :math:`K`
#    classes. Derive which one is right. Which of the wrong ones pass with an upstream
#    gradient of ones?
# 2. In the first figure, add the *complex step*: for a tiny :math:`h`, the imaginary
#    part of :math:`f(x + i h)`, divided by :math:`h`. Why does it not suffer from
#    rounding?
# 3. Change ``deep_network`` so that a layer of your choice is wrong, but not the first,
#    and find out which one it is from ``check_direction`` alone. How many evaluations
#    does it take?
#
# :doc:`The solutions <solutions/03_gradient_check_solutions>` are a program, too.
