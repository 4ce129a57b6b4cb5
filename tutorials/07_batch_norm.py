"""
7. Batch norm
=============

**You build** batch normalization, forward and backward, with its running statistics,
and fold it into the convolution before it.

**You need** pages 2 to 6, and the digits.

**It takes** less than 90 seconds on two cores to run; reading takes longer.

The layers of a network are fed by other layers. How large a layer's inputs are, and
around what value they lie, depends on all the weights before it, and changes whenever
those change. Batch norm takes this freedom away: it measures mean and variance of each
channel over the batch, and sets them. It is one formula. The gradient of it is a good
exercise, and its two modes, training and evaluation, are the source of many mistakes.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, data, gradcheck, nn, no_grad, optim
from minires.errors import ShapeError
from minires.nn import functional as F

plt.style.use("minires.plot.page")

seed = 0
depth = 8
width = 16
digits = data.load("digits")
images = Tensor(digits.test.images / 255, dtype="float32")
labels = digits.test.labels

# %%
# What a deep layer sees
# ----------------------
#
# A plain net: convolutions of 3 x 3, each followed by a ReLU, then the mean over each
# map and a linear layer. With ``norm=True`` a batch norm stands between a convolution
# and its ReLU. The convolutions then have no bias; the reason is shown below.


def plain_net(norm, seed):
    generator = np.random.default_rng(seed)
    layers, channels = [], 1
    for _ in range(depth):
        conv = nn.Conv2d(
            channels, width, 3, padding=1, bias=not norm, generator=generator
        )
        layers += [conv, nn.BatchNorm2d(width)] if norm else [conv]
        layers.append(nn.ReLU())
        channels = width
    head = nn.Linear(width, 10, generator=generator)
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), head)


# %%
# Nothing is trained yet. We send the test images through both nets and look at what
# arrives in front of the ReLUs of three layers: four channels each, one colour a
# channel.


def before_each_relu(net, x):
    maps = []
    with no_grad():
        for layer in net:
            if isinstance(layer, nn.ReLU):
                maps.append(x.numpy())  # (N, C, H, W)
            x = layer(x)
    return maps


maps = {norm: before_each_relu(plain_net(norm, seed), images) for norm in (False, True)}
shown_layers = (0, depth // 2 - 1, depth - 1)
figure, axes = plt.subplots(3, 2, figsize=(5.6, 6), sharex=True)
bins = np.linspace(-3, 3, 60)
for row, layer in zip(axes, shown_layers, strict=True):
    for panel, norm in zip(row, (False, True), strict=True):
        for c in range(4):
            values = maps[norm][layer][:, c].ravel()
            panel.hist(values, bins, density=True, histtype="stepfilled", alpha=0.5)
        panel.set_yticks([])
    row[0].set_ylabel(f"layer {layer + 1}")
axes[0, 0].set_title("no batch norm")
axes[0, 1].set_title("with batch norm")
for panel in axes[-1]:
    panel.set_xlabel("value before the ReLU")
plt.show()

# %%
# On the left each channel lies somewhere else and has another width. A ReLU cuts at 0:
# a channel that lies to the right of it passes almost unchanged, one to the left is
# almost always 0. On the right all channels of a layer share one mean and one width,
# and each ReLU cuts through the middle. The shape stays what it was. The high bars in
# layer 1 are pixels whose whole window is black: one value in, one value out. Batch
# norm does not make a normal distribution; it shifts and stretches.
#
# Forward
# -------
#
# Let :math:`x` be a map of shape :math:`(N, C, H, W)`. Each channel has :math:`M = N H
# W` values. One filter made all of them, at different places in different images; so
# they are :math:`M` samples of one quantity. For each channel on its own:
#
# .. math::
#
#    \mu = \frac{1}{M} \sum_i x_i \qquad
#    \sigma^2 = \frac{1}{M} \sum_i (x_i - \mu)^2
#
# .. math::
#
#    \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} \qquad
#    y_i = \gamma \hat x_i + \beta
#
# :math:`\varepsilon`, usually :math:`10^{-5}`, keeps a constant channel from a division
# by 0. :math:`\gamma` and :math:`\beta`, of shape :math:`(C)`, are parameters and
# trained. They give back the freedom to have another mean and another width, with one
# difference: now these are two numbers that training sets directly, and no longer the
# joint effect of all the weights before.
#
# Backward
# --------
#
# The upstream gradient :math:`g_i = \partial L / \partial y_i` is given. The parameters
# are easy, since each acts on all :math:`M` values:
#
# .. math::
#
#    \frac{\partial L}{\partial \beta} = \sum_i g_i \qquad
#    \frac{\partial L}{\partial \gamma} = \sum_i g_i \hat x_i
#
# For :math:`x` there are three paths: one input :math:`x_j` changes its own :math:`\hat
# x_j`, and through mean and variance all the others. Write :math:`s = (\sigma^2 +
# \varepsilon)^{-1/2}`, so that :math:`\hat x_i = s (x_i - \mu)`. Step by step:
#
# 1. The mean: :math:`\partial \mu / \partial x_j = 1 / M`.
# 2. The variance. Its own mean moves, too, but to no effect, since :math:`\sum_i (x_i -
#    \mu) = 0`. What is left is
#
#    .. math:: \frac{\partial \sigma^2}{\partial x_j} = \frac{2}{M} (x_j - \mu).
#
# 3. The factor:
#
#    .. math::
#
#       \frac{\partial s}{\partial x_j}
#       &= -\frac{1}{2} (\sigma^2 + \varepsilon)^{-3/2} \cdot \frac{2}{M} (x_j - \mu) \\
#       &= -\frac{s^3}{M} (x_j - \mu) = -\frac{s^2}{M} \hat x_j.
#
# 4. By the product rule, with :math:`\delta_{ij} = 1` for :math:`i = j` and 0
#    otherwise:
#
#    .. math::
#
#       \frac{\partial \hat x_i}{\partial x_j}
#       &= s \left( \delta_{ij} - \frac{1}{M} \right)
#       + (x_i - \mu) \frac{\partial s}{\partial x_j} \\
#       &= s \left( \delta_{ij} - \frac{1}{M}
#       - \frac{\hat x_i \hat x_j}{M} \right).
#
# 5. The chain rule sums over all outputs, :math:`\partial L / \partial x_j = \sum_i
#    \gamma g_i \, \partial \hat x_i / \partial x_j`, and each sum divided by :math:`M`
#    is a mean:
#
#    .. math::
#
#       \frac{\partial L}{\partial x_j} = \gamma s \left( g_j
#       - \operatorname{mean}(g) - \hat x_j \operatorname{mean}(g \hat x) \right).
#
# The first term is the direct path, the second the one through the mean, the third the
# one through the variance. Nothing was neglected: the formula is exact, also with
# :math:`\varepsilon`. Two means, three products and two subtractions are all the work:

AXES = (0, 2, 3)  # N, H, W


def per_channel(a):
    return a[:, None, None]  # (C) -> (C, 1, 1), which broadcasts against (N, C, H, W)


class BatchNorm(Function):
    def __init__(self, eps=1e-5):
        self.eps = eps

    def forward(self, x, gamma, beta):
        mean, var = x.mean(AXES), x.var(AXES)  # (C)
        s = 1 / np.sqrt(var + self.eps)
        xhat = per_channel(s) * (x - per_channel(mean))
        self.saved = xhat, gamma * s
        return per_channel(gamma) * xhat + per_channel(beta)

    def backward(self, gy):
        xhat, scale = self.saved
        M = gy.size // gy.shape[1]
        gbeta, ggamma = gy.sum(AXES), (gy * xhat).sum(AXES)
        gx = gy - per_channel(gbeta / M) - xhat * per_channel(ggamma / M)
        return per_channel(scale) * gx, ggamma, gbeta


generator = np.random.default_rng(seed)
x = 3 * generator.standard_normal((4, 3, 5, 5)) + 1  # float64
gamma, beta = generator.standard_normal((2, 3))
y = BatchNorm()(x, gamma, beta).numpy()
np.testing.assert_allclose(y.mean(AXES), beta, atol=1e-12)
np.testing.assert_allclose(y.std(AXES), abs(gamma), rtol=1e-5)
print("mean of y is beta, its deviation |gamma|")
print("gradient check:", gradcheck(BatchNorm(), [x, gamma, beta]))

# %%
# A check that proves nothing
# ---------------------------
#
# The gradient check draws a random upstream gradient. Page :doc:`3 <03_gradient_check>`
# showed why, on one column of numbers. Suppose that ``backward`` forgets the path
# through the variance, or even returns 0:


class ForgetsTheVariance(BatchNorm):
    def backward(self, gy):
        xhat, scale = self.saved
        gx = per_channel(scale) * (gy - per_channel(gy.mean(AXES)))
        return gx, (gy * xhat).sum(AXES), gy.sum(AXES)


class ReturnsZero(BatchNorm):
    def backward(self, gy):
        xhat, _ = self.saved
        return np.zeros_like(gy), (gy * xhat).sum(AXES), gy.sum(AXES)


def differences(loss, x, h=1e-5):
    """The gradient of loss(x) by central differences, element by element."""
    slopes = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        slopes[i] = (loss(x + step) - loss(x - step)) / (2 * h)
    return slopes


upstreams = {"ones": np.ones(x.shape), "random": generator.standard_normal(x.shape)}
errors = {}
for name, u in upstreams.items():

    def loss(x, u=u):
        return (BatchNorm()(x, gamma, beta).numpy() * u).sum()

    numeric = differences(loss, x)
    for operation in (BatchNorm, ForgetsTheVariance, ReturnsZero):
        leaf = Tensor(x, requires_grad=True)
        operation()(leaf, gamma, beta).backward(u)
        error = abs(leaf.grad.numpy() - numeric).max()
        errors[operation.__name__, name] = error
        print(f"upstream {name:6}  {operation.__name__:18}  error {error:.1e}")

# %%
# With ones, everything passes, even a gradient of 0. And 0 is right: with ones the loss
# is the sum of all :math:`y`, and that is :math:`M \beta` in each channel for any
# :math:`x`. The random upstream finds both mistakes.
#
# The same argument says what the formula means. Adding a number to all of a channel
# changes no :math:`y`, and multiplying by a positive number changes none either (except
# for :math:`\varepsilon`). A gradient has no part along directions that change nothing.
# The second and third term subtract these two parts, so what is left is at a right
# angle to the constant and to :math:`\hat x`:

xhat = BatchNorm()(x, np.ones(3), np.zeros(3)).numpy()
leaf = Tensor(x, requires_grad=True)
BatchNorm()(leaf, gamma, beta).backward(upstreams["random"])
gx = leaf.grad.numpy()
print("sum of gx, per channel:       ", gx.sum(AXES))
print("sum of gx * xhat, per channel:", (gx * xhat).sum(AXES))

# %%
# The second sum is not quite 0: that is the effect of :math:`\varepsilon`.
#
# The library's own is :func:`~minires.nn.functional.batch_norm`, and the layer with the
# parameters :class:`~minires.nn.BatchNorm2d`. Ours and the library's agree, forward and
# backward. As in PyTorch, the layer calls :math:`\gamma` ``weight`` and :math:`\beta`
# ``bias``:

layer = nn.BatchNorm2d(3).to("float64")
layer.weight.data[...], layer.bias.data[...] = gamma, beta
leaf = Tensor(x, requires_grad=True)
z = layer(leaf)
z.backward(upstreams["random"])
np.testing.assert_allclose(z.numpy(), y, rtol=1e-9, atol=1e-9)
np.testing.assert_allclose(leaf.grad.numpy(), gx, rtol=1e-9, atol=1e-9)
print("the library agrees")

# %%
# Running statistics
# ------------------
#
# In training, an image's output depends on the other images of its batch. A prediction
# must not. So there are two modes. In training each batch norm also follows the
# statistics that it sees, with weight :math:`m` on the newest:
#
# .. math::
#
#    r \leftarrow (1 - m) \, r + m \cdot \text{the batch's}
#
# from :math:`r = 0` for the mean and :math:`r = 1` for the variance. In evaluation it
# uses these in place of the batch's, as constants. The library's :math:`m` is called
# ``momentum``, as in PyTorch, and is 0.1. Some other libraries, Keras among them, give
# this name to :math:`1 - m`. It has nothing to do with the momentum of an optimizer.
#
# There is a second trap. The batch is normalized with the *biased* variance, the sum
# divided by :math:`M`. The running variance follows the *unbiased* one, divided by
# :math:`M - 1`, since it is to estimate the variance over all images there are, of
# which the batch is a sample. Let us see it in the library, with few values, where the
# difference is large:

tiny = generator.standard_normal((4, 1, 1, 1)).astype(np.float32)  # M = 4
norm_of_four = nn.BatchNorm2d(1)
normalized = norm_of_four(Tensor(tiny)).numpy()
biased, unbiased = tiny.var(), tiny.var(ddof=1)
print(f"biased {biased:.4f}, unbiased {unbiased:.4f}")
print(f"variance of the output:  {normalized.var():.4f}  (1: with the biased one)")
print(f"running variance:        {norm_of_four.running_var.item():.4f}")
print(f"0.9 + 0.1 * biased:      {0.9 + 0.1 * biased:.4f}")
print(f"0.9 + 0.1 * unbiased:    {0.9 + 0.1 * unbiased:.4f}")

# %%
# For a map of a usual batch :math:`M` is in the thousands and the difference does not
# matter.
#
# Mistake 1: too early
# --------------------
#
# After :math:`t` steps, the start value still has the weight :math:`(1 - m)^t`: about a
# third after ten steps. And running statistics lag behind weights that still change
# quickly. We train a net and measure its test error twice after each step: with the
# running statistics, as it should be, and with those of the test images themselves.


def error(net, images, labels):
    """Percent of wrong guesses, in the mode that the net is in."""
    with no_grad():
        guesses = net(images).numpy().argmax(1)
    return 100 * (guesses != labels).mean()


def train(net, rate, steps, after_each_step=lambda: None):
    optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    batches = data.Loader(digits.train, batch_size=64, seed=seed)
    losses = []
    for step in range(steps):
        x, labels = batches.batch(step)
        loss = F.cross_entropy(net(Tensor(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        after_each_step()
    return losses


class TwoErrors:
    """Called after a step: notes the error with running and with batch statistics."""

    def __init__(self, net):
        self.net, self.running, self.of_the_batch = net, [], []

    def __call__(self):
        with self.net.evaluating():
            self.running.append(error(self.net, images, labels))
        state = {name: array.copy() for name, array in self.net.state_dict().items()}
        self.of_the_batch.append(error(self.net, images, labels))
        # That call has moved the running statistics. Put them back.
        self.net.load_state_dict(state)


early_steps = 100
net = plain_net(True, seed)
two_errors = TwoErrors(net)
train(net, 0.05, early_steps, two_errors)

figure, axes = plt.subplots(figsize=(5.6, 3.4))
after = range(1, early_steps + 1)
axes.plot(after, two_errors.running, label="running statistics")
axes.plot(after, two_errors.of_the_batch, label="statistics of the test images")
axes.set_xlabel("steps of training")
axes.set_ylabel("test error in %")
axes.set_ylim(0, 100)
axes.legend()
plt.show()

# %%
# The weights are the same on both curves, at every step. While they change fast, the
# running statistics describe a net that no longer exists. So an evaluation after a few
# steps says little, and neither does one right after loading weights without the
# running statistics. (The second curve is no solution. It needs all test images
# together, and uses their mean and variance.) A few steps at a small rate, and they
# have settled:

settling_steps = 50
train(net, 0.005, settling_steps)
state = {name: array.copy() for name, array in net.state_dict().items()}
net.eval()
settled_error = error(net, images, labels)
print(f"test error in evaluation mode: {settled_error:.1f} %")

# %%
# Mistake 2: no ``eval()``
# ------------------------
#
# There is no warning if a net that still is in training mode makes predictions. With
# large, well mixed batches the error even looks all right, as on the second curve
# above. So here is one image, a 3, in three batches: among 40 images of all other
# digits, among zeros, among ones.

mode_of = {"evaluation": False, "training": True}
example = np.flatnonzero(labels == 3)[0]
companions = {
    "all kinds": np.flatnonzero(labels != 3)[:40],
    "zeros": np.flatnonzero(labels == 0),
    "ones": np.flatnonzero(labels == 1),
}
probabilities = {}
for mode, training in mode_of.items():
    for name, others in companions.items():
        net.load_state_dict(state)
        net.train(training)
        with no_grad():
            p = F.softmax(net(images[np.append(example, others)])).numpy()[0]
        probabilities[mode, name] = p

figure, axes = plt.subplots(2, 1, figsize=(5.6, 4.6), sharex=True, sharey=True)
for panel, mode in zip(axes, mode_of, strict=True):
    for i, name in enumerate(companions):
        places = np.arange(10) + 0.27 * (i - 1)
        panel.bar(places, probabilities[mode, name], 0.25, label=f"among {name}")
    panel.set_title(f"{mode} mode")
    panel.set_ylabel("probability")
axes[0].legend()
axes[1].set_xticks(range(10))
axes[1].set_xlabel("class; the image shows a 3")
plt.show()

# %%
# In evaluation mode the three bars are equal. In training mode the answer depends on
# the other images: what all images of a batch have in common is subtracted with the
# mean, and the net sees how an image differs from the rest of its batch.
#
# For the whole test set, in training mode: batches of mixed digits, then one batch for
# each digit.

net.load_state_dict(state)
net.train()
mixed_error = np.mean(
    [error(net, images[i : i + 36], labels[i : i + 36]) for i in range(0, 360, 36)]
)
sorted_error = 0
for digit in range(10):
    (alike,) = np.nonzero(labels == digit)
    sorted_error += len(alike) * error(net, images[alike], labels[alike]) / len(labels)
print(f"training mode, mixed batches: {mixed_error:.1f} % wrong")
print(f"training mode, sorted:        {sorted_error:.1f} % wrong")

# %%
# It gets worse. Predictions in training mode also move the running statistics, and they
# stay moved when ``eval()`` is called at last. Here the net predicts the ones 20 times:

net.load_state_dict(state)
net.train()
with no_grad():
    for _ in range(20):
        net(images[labels == 1])
net.eval()
later_error = error(net, images, labels)
print(
    f"evaluation mode, before: {settled_error:.1f} %, afterwards: {later_error:.1f} %"
)

# %%
# ``no_grad()`` has not helped. It stops the recording of gradients and has nothing to
# do with the mode. A prediction needs both:

net.load_state_dict(state)
with net.evaluating(), no_grad():
    guesses = net(images).numpy().argmax(1)
print(f"with both: {100 * (guesses != labels).mean():.1f} % wrong")

# %%
# Mistake 3: a batch of one
# -------------------------
#
# With one value in a channel the mean is that value, so :math:`\hat x = 0` and the
# output is :math:`\beta` for any input. The library refuses this:

try:
    nn.BatchNorm1d(5)(Tensor(np.ones((1, 5), np.float32)))
except ShapeError as shape_error:
    print(shape_error)

# %%
# One *image* in training mode is not refused, since each channel has :math:`H W`
# values. But it is another function than the one that was trained: contrast and
# brightness of each map are lost, while in a batch the other images keep them visible.

net.train()
single_error = np.mean(
    [error(net, images[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
)
net.load_state_dict(state)
print(f"training mode, images one by one: {single_error:.1f} % wrong")

# %%
# What batch norm makes superfluous
# ---------------------------------
#
# *The bias of the convolution before it.* A bias adds the same number to all values of
# a channel, and the mean takes it away again. It changes nothing, so its gradient is 0.
# That is why such convolutions are made with ``bias=False``; :math:`\beta` takes the
# place of the bias.

conv = nn.Conv2d(3, 4, 3, padding=1, generator=generator).to("float64")
norm = nn.BatchNorm2d(4).to("float64")
x = Tensor(generator.standard_normal((8, 3, 6, 6)))
u = generator.standard_normal((8, 4, 6, 6))
norm(conv(x)).backward(u)
print("largest gradient of the weights:", abs(conv.weight.grad.numpy()).max())
print("largest gradient of the bias:   ", abs(conv.bias.grad.numpy()).max())

# %%
# *The scale of the weights.* Multiply all weights of the convolution by :math:`k > 0`.
# Mean and deviation become :math:`k` times as large, too, and the output stays what it
# was (except for :math:`\varepsilon`). So :math:`L(k W) = L(W)` for all :math:`W`.
# Differentiate both sides by :math:`W`: by the chain rule, :math:`k \, \nabla L(k W) =
# \nabla L(W)`. The gradient at weights :math:`k` times as large is :math:`1 / k` times
# as large.

W = conv.weight.data.copy()
outputs, gradients = {}, {}
for k in (0.1, 1, 10):
    conv.weight.data[...] = k * W
    conv.zero_grad()
    y = norm(conv(x))
    y.backward(u)
    outputs[k], gradients[k] = y.numpy(), conv.weight.grad.numpy()
for k in outputs:
    change = abs(outputs[k] - outputs[1]).max()
    length = np.linalg.norm(gradients[k])
    print(f"k = {k:4}: output differs by {change:.0e}, |gradient| = {length:8.3f}")
cosine = (W * gradients[1]).sum() / np.linalg.norm(W) / np.linalg.norm(gradients[1])
print(f"cosine between weights and gradient: {cosine:.0e}")

# %%
# The gradient is at a right angle to the weights: along them, the loss does not change.
# Both facts together have a consequence. A step of gradient descent of length :math:`a`
# at a right angle makes the weights longer, :math:`\sqrt{|W|^2 + a^2}`, never shorter.
# And the longer they are, the less a step turns them: the gradient has become smaller,
# and the same step is a smaller part of a longer vector. So the weights in front of a
# batch norm slow down by themselves if the learning rate is too large for them. Weight
# decay makes them shorter again; page 8 has it.
#
# Folded into the convolution
# ---------------------------
#
# In evaluation, batch norm is a factor and a shift for each channel, constants all of
# them. A convolution is linear, so both can be put into its weights:
#
# .. math::
#
#    W'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \varepsilon}} W_o \qquad
#    b'_o = \beta_o - \frac{\gamma_o \mu_o}{\sqrt{\sigma_o^2 + \varepsilon}}
#
# for output channel :math:`o` of a convolution without a bias. Then the batch norm can
# go:


def folded(net):
    """The same function as net in evaluation mode, without its batch norms."""
    layers = []
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            conv = layers.pop()
            factor = layer.weight.data / np.sqrt(layer.running_var.data + layer.eps)
            O, C, *size = conv.weight.shape
            merged = nn.Conv2d(C, O, size, stride=conv.stride, padding=conv.padding)
            merged.weight.data[...] = factor[:, None, None, None] * conv.weight.data
            merged.bias.data[...] = layer.bias.data - factor * layer.running_mean.data
            layer = merged
        layers.append(layer)
    return nn.Sequential(*layers)


folded_net = folded(net)
with net.evaluating(), no_grad():
    logits, from_folded = net(images).numpy(), folded_net(images).numpy()
print(len(net), "layers, folded", len(folded_net))
print("largest logit:    ", abs(logits).max())
print("largest difference:", abs(logits - from_folded).max())
np.testing.assert_allclose(from_folded, logits, rtol=1e-3, atol=1e-3)

# %%
# The same up to rounding. In evaluation batch norm is free. The library's
# ``nn.utils.fuse_conv_bn_eval(net)`` returns such a copy of a network, and
# ``train.evaluate`` and ``minires predict`` compute with it.
#
# What it does to training
# ------------------------
#
# The same net with and without batch norm, the same start of the convolutions, the same
# batches, and four learning rates, each ten times the one before:

rates = (0.001, 0.01, 0.1, 1.0)
steps = 160


def smooth(losses, n=10):
    return np.convolve(losses, np.ones(n) / n, mode="valid")


losses = {}
for norm in (False, True):
    for rate in rates:
        losses[norm, rate] = train(plain_net(norm, seed), rate, steps)

figure, axes = plt.subplots(2, 1, figsize=(5.6, 6), sharex=True, sharey=True)
for panel, norm in zip(axes, (False, True), strict=True):
    for rate in rates:
        panel.plot(smooth(losses[norm, rate]), label=f"{rate:g}")
    panel.set_title("with batch norm" if norm else "no batch norm")
    panel.set_ylabel("training loss")
    panel.set_ylim(0, 2.6)
axes[0].legend(title="learning rate", loc="lower left", ncols=2)
axes[1].set_xlabel("step")
plt.show()

for norm in (False, True):
    ends = [np.mean(losses[norm, rate][-20:]) for rate in rates]
    print("with batch norm" if norm else "no batch norm  ", np.round(ends, 3))

# %%
# Without batch norm the largest rate learns nothing: a loss of :math:`\log 10`, about
# 2.3, is what guessing costs. With it the net learns at all four rates, at each one
# better than without, and the best one ends far below.
#
# Why does it help? Some things are certain, since they follow from the formula. At the
# start, each layer gets inputs of a fixed scale for any weights, so that on the way
# forward nothing dies out or explodes, in a net of any depth. During training, the
# scale of the weights does not matter, which forgives learning rates that are too
# large. And each image is seen among other images each time, which adds noise.
#
# How much each of these contributes, and whether something else matters more, is not
# settled. Ioffe and Szegedy, who invented it in 2015, saw the reason in *internal
# covariate shift*: the inputs of a layer change their distribution while the layers
# before it learn, and batch norm was to reduce that. Santurkar and others (2018) tested
# this. They added noise behind each batch norm that shifts the distributions anew in
# every step, and the nets trained about as well as before. They found instead that the
# loss and its gradient change less abruptly along a step. Bjorck and others (2018) put
# the larger learning rates first. The explanation by covariate shift is still repeated
# often; as an explanation it is disputed. The curves above show that it helps, not why.
#
# One thing it does not do: make plain nets of any depth trainable (page 9).
#
# Exercises
# ---------
#
# 1. In evaluation mean and variance are constants. Write batch norm for this mode as a
#    Function of :math:`x, \gamma, \beta`, forward and backward. Which terms of the
#    gradient are left? Check it by differences, and against
#    :func:`~minires.nn.functional.batch_norm` with ``training=False``.
# 2. The running statistics are late by some steps. After 20 steps of training, replace
#    them by the exact ones: those of all training images, computed with the weights as
#    they are now. A hint: what does ``momentum = 1`` do? Compare the test errors.
# 3. How small may a batch be? For batches of 2, 4, 16 and 64 training images, draw many
#    batches and compute by how much the mean of a channel behind the first convolution
#    varies from batch to batch. How does this depend on the size? Then measure how much
#    of this noise a trained net bears: its test error in *training* mode, for batches
#    of these sizes.
#
# :doc:`The solutions <solutions/07_batch_norm_solutions>` are a program, too.
