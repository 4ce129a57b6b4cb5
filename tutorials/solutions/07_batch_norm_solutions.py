"""
Solutions to 7: batch norm
==========================

The exercises of :doc:`../07_batch_norm`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, data, gradcheck, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# 1. Batch norm in evaluation
# ---------------------------
#
# Mean and variance do not depend on :math:`x`. Of the three paths only the direct one
# is left: :math:`g_x = \gamma g / \sqrt{\sigma^2 + \varepsilon}`. The parameters'
# gradients stay what they were.

AXES = (0, 2, 3)


def per_channel(a):
    return a[:, None, None]


class FrozenNorm(Function):
    def __init__(self, mean, var, eps=1e-5):
        self.mean, self.s = mean, 1 / np.sqrt(var + eps)

    def forward(self, x, gamma, beta):
        xhat = per_channel(self.s) * (x - per_channel(self.mean))
        self.saved = xhat, gamma
        return per_channel(gamma) * xhat + per_channel(beta)

    def backward(self, gy):
        xhat, gamma = self.saved
        return per_channel(gamma * self.s) * gy, (gy * xhat).sum(AXES), gy.sum(AXES)


generator = np.random.default_rng(0)
x, u = generator.standard_normal((2, 4, 3, 5, 5))
gamma, beta, mean = generator.standard_normal((3, 3))
var = generator.uniform(0.5, 2, 3)
print("gradient check:", gradcheck(FrozenNorm(mean, var), [x, gamma, beta]))


def library(x, gamma, beta):
    return F.batch_norm(x, Tensor(mean), Tensor(var), gamma, beta, training=False)


results = []
for function in (FrozenNorm(mean, var), library):
    leaves = [Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    y = function(*leaves)
    y.backward(u)
    results.append([y.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
for result, expected in zip(*results, strict=True):
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)
print("the library agrees")

# %%
# 2. Exact statistics
# -------------------
#
# With ``momentum = 1`` the running statistics become those of the last batch. Make all
# training images that batch: one forward pass in training mode is enough. (The authors
# of the ResNet papers did this after training for the weights that they published:
# statistics of a large batch instead of running ones.)

digits = data.load("digits")
everything = Tensor(digits.train.images / 255, dtype="float32")
images = Tensor(digits.test.images / 255, dtype="float32")


def net_with_batch_norm(depth=8, width=16, seed=0):
    generator = np.random.default_rng(seed)
    layers, channels = [], 1
    for _ in range(depth):
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=False, generator=generator)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    head = nn.Linear(width, 10, generator=generator)
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), head)


def train(net, steps):
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    batches = data.Loader(digits.train, 64, seed=0)
    for step in range(steps):
        x, labels = batches.batch(step)
        loss = F.cross_entropy(net(Tensor(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_error(net):
    with net.evaluating(), no_grad():
        guesses = net(images).numpy().argmax(1)
    return 100 * (guesses != digits.test.labels).mean()


def make_exact(net):
    norms = [layer for layer in net if isinstance(layer, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1
    with no_grad():
        net(everything)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


early_steps = 20
net = net_with_batch_norm()
train(net, early_steps)
running_error = test_error(net)
make_exact(net)
exact_error = test_error(net)
print(
    f"test error with running statistics {running_error:.1f} %, "
    f"exact ones {exact_error:.1f} %"
)

# %%
# 3. Small batches
# ----------------
#
# The noise of the mean, for one channel of the first convolution, relative to the
# channel's own deviation:

draws = 400
sizes = (2, 4, 16, 64)
with no_grad():
    maps = net[0](everything).numpy()[:, 0]  # one channel, (N, H, W)
means = maps.mean(axis=(1, 2))  # one for each image
noise = []
for size in sizes:
    batches = generator.integers(len(means), size=(draws, size))
    noise.append(means[batches].mean(axis=1).std() / maps.std())

figure, axes = plt.subplots(figsize=(6, 3.4))
axes.loglog(sizes, noise, "o-", label="measured")
expected = noise[0] * np.sqrt(sizes[0] / np.array(sizes))
axes.loglog(sizes, expected, "--", label="falling as 1 / sqrt(size)")
axes.set_xticks(sizes, sizes)
axes.set_yticks(noise, [f"{value:.3f}" for value in noise])
axes.minorticks_off()
axes.set_xlabel("images in a batch")
axes.set_ylabel("deviation of the mean")
axes.legend()
plt.show()

# %%
# It falls with the square root of the size, as the mean of independent things does.
# What counts is the number of images: the pixels of one image are not independent.
#
# How much of this noise does a net bear that was trained with batches of 64?

more_steps = 100
train(net, more_steps)
state = {name: array.copy() for name, array in net.state_dict().items()}
errors = {}
for size in sizes:
    right_guesses = 0
    for chosen in np.array_split(generator.permutation(360), -(-360 // size)):
        with no_grad():
            guesses = net(images[chosen]).numpy().argmax(1)
        right_guesses += (guesses == digits.test.labels[chosen]).sum()
    errors[size] = 100 * (1 - right_guesses / 360)
    print(f"training mode, batches of {size:2}: {errors[size]:.1f} % wrong")
net.load_state_dict(state)
print(f"evaluation mode:               {test_error(net):.1f} % wrong")

# %%
# Two images tell too little about mean and deviation. In training this noise is part of
# every step. That is why layers that need no batch are used where batches must be
# small.
