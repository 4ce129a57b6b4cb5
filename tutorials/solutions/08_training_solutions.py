"""
Solutions to 8: initialization, SGD, schedules
==============================================

The exercises of :doc:`../08_training`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

digits = data.load("digits")
images = Tensor(digits.train.images.reshape(-1, 64) / 255, dtype="float32")
labels = digits.train.labels


def small_net():
    generator = np.random.default_rng(0)
    return nn.Sequential(
        nn.Linear(64, 50, generator=generator),
        nn.ReLU(),
        nn.Linear(50, 10, generator=generator),
    )


# %%
# 1. Nesterov's variant
# ---------------------
#
# The velocity is the same. The step takes the velocity that would follow if the next
# gradient were this one again: :math:`g + \mu v` with the new :math:`v`.


class Nesterov:
    def __init__(self, params, lr, momentum):
        self.params, self.lr, self.momentum = list(params), lr, momentum
        self.velocities = [np.zeros_like(p.data) for p in self.params]

    def step(self):
        for p, v in zip(self.params, self.velocities, strict=True):
            g = p.grad.data
            v *= self.momentum
            v += g
            p.data -= self.lr * (g + self.momentum * v)


def ten_steps(net, optimizer, rate=lambda step: 0.1):
    """The weights of the first layer after each of ten steps."""
    weights = [net[0].weight.numpy().copy()]
    for step in range(10):
        net.zero_grad()
        chosen = slice(64 * step, 64 * step + 64)
        F.cross_entropy(net(images[chosen]), labels[chosen]).backward()
        optimizer.lr = rate(step)
        optimizer.step()
        weights.append(net[0].weight.numpy().copy())
    return np.array(weights)


net = small_net()
our_weights = ten_steps(net, Nesterov(net.parameters(), 0.1, 0.9))
net = small_net()
optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
library_weights = ten_steps(net, optimizer)
np.testing.assert_allclose(our_weights, library_weights, rtol=1e-4, atol=1e-6)
print("the library agrees")

# %%
# 2. The rate inside the velocity
# -------------------------------
#
# For a constant rate, the velocity with the rate inside is :math:`\eta` times the other
# one: it starts with 0, and if it was so before a step, then :math:`\mu \eta v + \eta g
# = \eta (\mu v + g)`. Both make the same steps.


class RateInside:
    def __init__(self, params, momentum):
        self.params, self.momentum = list(params), momentum
        self.velocities = [np.zeros_like(p.data) for p in self.params]

    def step(self):
        for p, v in zip(self.params, self.velocities, strict=True):
            v *= self.momentum
            v += self.lr * p.grad.data
            p.data -= v


def dropping(step):
    return 0.1 if step < 5 else 0.01


paths = {}
for name, rate in {"constant": lambda step: 0.1, "dropping": dropping}.items():
    for inside in (False, True):
        net = small_net()
        if inside:
            optimizer = RateInside(net.parameters(), 0.9)
        else:
            optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        paths[name, inside] = ten_steps(net, optimizer, rate)

np.testing.assert_allclose(
    paths["constant", True], paths["constant", False], rtol=1e-4, atol=1e-6
)
print("constant rate: the same weights")
after_drop = {}
for inside in (False, True):
    step = paths["dropping", inside][6] - paths["dropping", inside][5]
    after_drop[inside] = np.linalg.norm(step)
    print(f"rate inside: {inside!s:5}  first step after: {after_drop[inside]:.4f}")

# %%
# After a drop they differ. With the rate outside, all of the velocity counts a tenth at
# once. With the rate inside, the old velocity goes on as long as it was, and dies out
# over the next steps. So its steps are the larger ones just after the drop.
#
# 3. Borders
# ----------
#
# At a pixel, the mean square of the output is twice (He) one half (ReLU) of the mean of
# the inputs' mean squares under the window, where those outside of the map are 0. Along
# one axis of 8 pixels, a window of 3 has 3 pixels inside, but only 2 at each end:
# :math:`22 / 24` on average. For both axes that is squared. This is one layer. From
# then on the border is darker than the middle. So the map of mean squares must be
# followed: with a matrix :math:`A` with ones on the diagonal and beside it, one layer
# makes :math:`A \, m A^T / 9` of :math:`m`.

A = np.eye(8) + np.eye(8, k=1) + np.eye(8, k=-1)
layers = 20
channels = 128
nets = 10
m = np.ones((8, 8))
expected = [1.0]
for _ in range(layers):
    m = A @ m @ A.T / 9
    expected.append(m.mean())

measured = np.zeros((nets, layers + 1))
for i in range(nets):
    generator = np.random.default_rng(i)
    x = Tensor(generator.standard_normal((2, channels, 8, 8)), dtype="float32")
    with no_grad():
        measured[i, 0] = (x.numpy() ** 2).mean()
        for layer in range(layers):
            conv = nn.Conv2d(channels, channels, 3, padding=1, generator=generator)
            x = F.relu(conv(x))
            measured[i, layer + 1] = (x.numpy() ** 2).mean()
measured = measured.mean(axis=0)

print(
    f"one layer:  expected {expected[1]:.3f} = {(22 / 24) ** 2:.3f}, {measured[1]:.3f}"
)
print(f"all layers: expected {expected[-1]:.3f}, measured {measured[-1]:.3f}")

figure, axes = plt.subplots(figsize=(6, 3.4))
axes.semilogy(measured, "o", label="measured, mean of the nets")
axes.semilogy(expected, label="expected")
axes.set_xticks(range(0, layers + 1, 4))
axes.set_yticks((1, 0.5, 0.2, 0.1), ("1", "0.5", "0.2", "0.1"))
axes.minorticks_off()
axes.set_xlabel("layers")
axes.set_ylabel("mean square")
axes.legend()
plt.show()

# %%
# The expectation is an average over all draws of the weights. A few nets scatter about
# it, the more so the deeper they are. He's derivation holds in the middle of large
# maps. On maps of 8 x 8 the border is a large part of them, and a deep net loses most
# of its signal there, if no batch norm sets the scale anew.
