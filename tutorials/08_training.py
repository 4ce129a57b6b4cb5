r"""
8. Initialization, SGD, schedules
=================================

**You build** the start of the weights, the step that changes them, and the learning
rate as a function of the step.

**You need** pages 2, 4 and 7, and the digits.

**It takes** less than 60 seconds on two cores to run; reading takes longer.

A network, data and gradients are not yet a training run. Where do the weights start?
How does a gradient become a step? How long is the step, and when does that change? In a
deep net without batch norm a wrong choice shows at once; so this page uses such a net.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

seed = 0
digits = data.load("digits")
pixels = digits.train.images.astype(np.float32) / 255
center, spread = float(pixels.mean()), float(pixels.std())


def normalized(pixels):
    return (pixels - center) / spread  # mean 0, deviation 1


images = Tensor(normalized(pixels).reshape(len(pixels), 64))  # (N, 64)
labels = digits.train.labels

# %%
# How large are random weights?
# -----------------------------
#
# A linear layer with :math:`n` inputs computes :math:`y = \sum_{i=1}^n w_i x_i`. Draw
# the weights independently, with mean 0 and variance :math:`v`. Then :math:`y`, seen as
# a random number for a fixed :math:`x`, has mean 0. In its variance all products of
# different weights vanish, since :math:`E[w_i w_j] = 0`:
#
# .. math::
#
#    \operatorname{Var}(y) = \sum_i E[w_i^2] \, x_i^2 = v \sum_i x_i^2
#    = n \, v \, \overline{x^2}
#
# with the mean square :math:`\overline{x^2}` of the inputs. Not their variance: the
# outputs of a ReLU have a mean above 0, and it counts.
#
# The ReLU comes next. With weights of a distribution symmetric about 0, :math:`y` is as
# likely positive as negative. The half below 0 becomes 0, and the other half has the
# same squares. So the mean square behind the ReLU is one half of the variance before
# it:
#
# .. math::
#
#    E[\max(y, 0)^2] = \tfrac{1}{2} \operatorname{Var}(y)
#    = \tfrac{1}{2} \, n \, v \, \overline{x^2}
#
# One layer with its ReLU multiplies the mean square by :math:`n v / 2`, and :math:`L`
# of them by :math:`(n v / 2)^L`. It is kept for
#
# .. math:: v = \frac{2}{n}, \qquad \text{the deviation } \sqrt{2 / n}.
#
# That is He's initialization. Write :math:`v = g / n` with a *gain* :math:`g`: 2 is
# He's. Xavier's (Glorot's) is 1 for layers with as many outputs as inputs; it was
# derived without the ReLU's one half.


def deep_net(depth, gain, seed, width=100):
    generator = np.random.default_rng(seed)
    layers, n = [], 64
    for out in [width] * depth + [10]:
        layer = nn.Linear(n, out)  # the bias starts with 0
        W = generator.standard_normal((out, n)) * math.sqrt(gain / n)
        layer.weight.data[...] = W
        layers += [layer, nn.ReLU()]
        n = out
    return nn.Sequential(*layers[:-1])  # no ReLU behind the last layer


y = deep_net(1, 2, seed, width=5_000)[0](images).numpy()
before, behind = (y**2).mean(), (np.maximum(y, 0) ** 2).mean()
print(f"mean square of the images: {(images.numpy() ** 2).mean():.3f}")
print(f"of y:                      {before:.3f}")
print(f"behind the ReLU:           {behind:.3f}")

# %%
# As computed: the factor of He's :math:`v` is :math:`n v = 2` before the ReLU, and 1
# behind it.
#
# The way back is the same sum with the matrix transposed. A layer multiplies the mean
# square of the gradient by the number of its *outputs* times :math:`v`, and the ReLU
# lets half of it pass (if gradients and signs are taken for independent). Where layers
# have as many outputs as inputs, what keeps the activations keeps the gradients, too.
#
# Is this true? We measure both in 20 layers. Gradients are kept for leaves only; so we
# add to each :math:`y` a leaf of zeros, a probe. It changes nothing, and its gradient
# is the gradient of :math:`y`.

depth = 20
gains = {"too small": 0.5, "Xavier": 1, "He": 2, "too large": 4}


def root_mean_square(a):
    return math.sqrt((a.astype(np.float64) ** 2).mean())


def sizes(net):
    """How large y is in each layer, and how large its gradient."""
    x, activations, probes = images, [], []
    for layer in net:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            probe = Tensor(np.zeros(x.shape, np.float32), requires_grad=True)
            x = x + probe
            activations.append(root_mean_square(x.numpy()))
            probes.append(probe)
    F.cross_entropy(x, labels).backward()
    gradients = [root_mean_square(probe.grad.numpy()) for probe in probes]
    return activations, gradients


measured = {name: sizes(deep_net(depth, gain, seed)) for name, gain in gains.items()}
figure, axes = plt.subplots(2, 1, figsize=(5.6, 6.4), sharex=True)
layers = np.arange(1, depth + 1)
for i, (name, (activations, gradients)) in enumerate(measured.items()):
    expected = (gains[name] / 2) ** ((layers - 1) / 2)
    axes[0].semilogy(layers, activations[:-1], "o", ms=4, color=f"C{i}", label=name)
    axes[0].semilogy(layers, activations[0] * expected, color=f"C{i}", lw=1)
    axes[1].semilogy(layers, gradients[:-1], "o", ms=4, color=f"C{i}", label=name)
    axes[1].semilogy(layers, gradients[-2] * expected[::-1], color=f"C{i}", lw=1)
axes[0].set_ylabel("root mean square of y")
axes[1].set_ylabel("... of its gradient")
axes[1].set_xlabel("layer")
axes[1].xaxis.get_major_locator().set_params(integer=True)
axes[0].legend(loc="lower left")
plt.show()

# %%
# The lines are what the derivation says, a factor of :math:`\sqrt{g / 2}` a layer, from
# the first layer on in the upper picture and from the last one back in the lower. A
# factor that is only a little off one becomes a power: that is the first difficulty
# with depth. The deviation called "too small" is half of He's, which is not tiny.
#
# What does training make of these starts? Twenty layers, plain steps of gradient
# descent, and for each start three learning rates.


def train(net, schedule, steps, batch_size=64, **options):
    """The loss of each step; ends early if the loss is no longer a finite number."""
    optimizer = optim.SGD(net.parameters(), lr=schedule(0), **options)
    batches = data.Loader(digits.train, batch_size, seed=seed)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps):
            x, labels = batches.batch(step)
            x = Tensor(normalized(x).reshape(len(x), 64))
            loss = F.cross_entropy(net(x), labels)
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.lr = schedule(step)
            optimizer.step()
    return losses


def constant(rate):
    return lambda step: rate


def smooth(losses, n=10):
    """The mean of each n losses in a row."""
    n = min(n, len(losses))
    return np.convolve(losses, np.ones(n) / n, mode="valid")


def at_the_end(losses, n=20):
    """The mean of the last n losses; infinite if they did not stay finite."""
    return float(np.mean(losses[-n:])) if math.isfinite(losses[-1]) else math.inf


steps = 200
rates = (0.001, 0.01, 0.1)
runs = {}
for name, gain in gains.items():
    for rate in rates:
        net = deep_net(depth, gain, seed)
        runs[name, rate] = train(net, constant(rate), steps)
print("loss at the end, at learning rates", rates)
for name in gains:
    ends = [at_the_end(runs[name, rate]) for rate in rates]
    print(f"{name:9}", "  ".join(f"{end:5.2f}" for end in ends))

figure, axes = plt.subplots(figsize=(5.6, 3.8))
for name, style in zip(gains, ("-", "--", "-", "-"), strict=True):
    losses = smooth(runs[name, rates[1]])
    (line,) = axes.plot(losses, style, label=name)
    if len(losses) < steps // 2:  # it broke off
        axes.plot([0], [3.8], "^", color=line.get_color(), ms=10)
axes.set_ylim(0, 4)
axes.set_xlabel(f"step at a learning rate of {rates[1]}")
axes.set_ylabel("training loss")
axes.legend(loc="lower left")
plt.show()

# %%
# A loss of :math:`\log 10`, about 2.3, is what guessing among ten classes costs. Too
# small a start stays there: the images do not reach the last layer and the gradients do
# not reach the first. Too large, and after a few steps the numbers are no longer
# finite; the triangle marks it. Xavier's factor loses too much in 20 layers. Only He's
# start learns.
#
# The library's layers start with it, :func:`~minires.nn.init.he_normal`. For a
# convolution, :math:`n` is the number of pixels under a window in all input channels,
# :math:`C \cdot KH \cdot KW`. Batch norm sets the scale in each step anew and forgives
# a bad start; page 7 has that.

# %%
# A step
# ------
#
# A gradient says in which direction the loss grows fastest. So a step goes the other
# way, by the *learning rate* :math:`\eta` times the gradient. Two things are usually
# added:
#
# .. math::
#
#    g &= \frac{\partial L}{\partial p} + \lambda p \\
#    v &\leftarrow \mu v + g \\
#    p &\leftarrow p - \eta v
#
# *Weight decay* adds :math:`\lambda p`, the gradient of a penalty
# :math:`\frac{\lambda}{2} |p|^2`: it pulls each weight towards 0. *Momentum*
# :math:`\mu`, usually 0.9, takes a sum of all gradients so far in place of the last
# one, older ones with ever smaller weight. The velocity :math:`v` starts with 0. This
# is the form of PyTorch and of this library.


class OurSGD:
    def __init__(self, params, lr, momentum, weight_decay):
        self.params = list(params)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocities = [np.zeros_like(p.data) for p in self.params]

    def step(self):
        for p, v in zip(self.params, self.velocities, strict=True):
            v *= self.momentum
            v += p.grad.data + self.weight_decay * p.data
            p.data -= self.lr * v  # in place: the layers keep their arrays


options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
nets = deep_net(3, 2, seed), deep_net(3, 2, seed)
optimizers = (
    OurSGD(nets[0].parameters(), **options),
    optim.SGD(nets[1].parameters(), **options),
)
for step in range(10):
    chosen = slice(64 * step, 64 * step + 64)
    for net, optimizer in zip(nets, optimizers, strict=True):
        net.zero_grad()
        F.cross_entropy(net(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    for p, expected in zip(*(net.parameters() for net in nets), strict=True):
        np.testing.assert_allclose(p.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)
print("after each of 10 steps: the same weights as the library's")

# %%
# Without ``zero_grad()`` the gradients of all steps would add up, since ``backward()``
# adds. To forget it is a frequent mistake.
#
# Why momentum
# ------------
#
# Take a valley, steep across and nearly flat along: :math:`f(a, b) = \frac{1}{2} (a^2 +
# 25 \, b^2)`. A plain step multiplies :math:`a` by :math:`1 - \eta` and :math:`b` by
# :math:`1 - 25 \eta`. The second must stay between -1 and 1, so :math:`\eta < 2 / 25`.
# The steepest direction limits the rate for all of them, and along the valley each step
# is then small.

curvature = np.array([1.0, 25.0])


def descend(rate, momentum, steps=40):
    p, v = np.array([-10.0, 1.5]), np.zeros(2)
    path = [p]
    for _ in range(steps):
        v = momentum * v + curvature * p
        p = p - rate * v
        path.append(p)
    return np.array(path)


paths = {
    "rate 0.02": descend(0.02, 0),
    "rate 0.075": descend(0.075, 0),
    "rate 0.03, momentum 0.8": descend(0.03, 0.8),
}
figure, axes = plt.subplots(3, 1, figsize=(5.6, 6), sharex=True, sharey=True)
a, b = np.meshgrid(np.linspace(-11, 3.5, 200), np.linspace(-2.4, 2.4, 100))
height = (a**2 + 25 * b**2) / 2
for i, (panel, (name, path)) in enumerate(zip(axes, paths.items(), strict=True)):
    panel.contour(a, b, height, 12, colors="0.8", linewidths=0.8)
    panel.plot(*path.T, "o-", ms=3.5, lw=1, color=f"C{i}")
    panel.plot(0, 0, "k*", ms=10)
    panel.set_title(name)
    panel.set_ylabel("b")
    panel.grid(False)
axes[-1].set_xlabel("a")
plt.show()
for name, path in paths.items():
    print(f"{name:24} distance after 40 steps: {np.hypot(*path[-1]):.4f}")

# %%
# Across the valley the gradients change their sign, and in the sum they cancel. Along
# it they have the same sign and add up: for a gradient that stays the same, :math:`v`
# grows to :math:`g (1 + \mu + \mu^2 + \dots) = g / (1 - \mu)`. With :math:`\mu = 0.9`
# that is ten times :math:`g`. So momentum and learning rate must be looked at together:
# switching momentum on makes the steps up to ten times as long.
#
# What weight decay does
# ----------------------
#
# By itself, without any gradient of the loss, it multiplies each weight by :math:`1 -
# \eta \lambda` in every step. The gradient of the loss, which wants larger logits,
# pulls the other way. The length of all weights together, in a net with three hidden
# layers:

decays = (0, 0.001, 0.01)
decay_steps = 300


def length(net):
    return math.sqrt(sum(float((p.data**2).sum()) for p in net.parameters()))


lengths = {}
figure, axes = plt.subplots(figsize=(5.6, 3.4))
for decay in decays:
    net = deep_net(3, 2, seed)
    optimizer = optim.SGD(net.parameters(), lr=0.1, weight_decay=decay)
    batches = data.Loader(digits.train, batch_size=64, seed=seed)
    lengths[decay] = [length(net)]
    for step in range(decay_steps):
        x, y = batches.batch(step)
        optimizer.zero_grad()
        x = Tensor(normalized(x).reshape(len(x), 64))
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        lengths[decay].append(length(net))
    axes.plot(lengths[decay], label=f"decay {decay}")
decay_alone = lengths[0][0] * (1 - 0.1 * decays[-1]) ** np.arange(decay_steps + 1)
axes.plot(decay_alone, "k--", lw=1, label=f"decay {decays[-1]} alone")
axes.set_xlabel("step")
axes.set_ylabel("length of the weights")
axes.legend()
plt.show()

# %%
# Small weights are not an aim in themselves. In front of a batch norm their size does
# not even change the output (:doc:`07_batch_norm`): there weight decay keeps the steps
# from turning the weights less and less. The library decays all parameters, those of
# batch norm and the biases included.
#
# A batch is a sample
# -------------------
#
# The gradient of a batch is an estimate of the gradient of all images: a mean of
# :math:`B` random ones. Its error should fall as :math:`1 / \sqrt{B}`.


def gradient(net, chosen):
    net.zero_grad()
    F.cross_entropy(net(images[chosen]), labels[chosen]).backward()
    return np.concatenate([p.grad.numpy().ravel() for p in net.parameters()])


draws = 40
batch_sizes = (4, 16, 64, 256)
net = deep_net(3, 2, seed)
generator = np.random.default_rng(seed)
full_gradient = gradient(net, np.arange(len(labels)))
noise = []
for B in batch_sizes:
    squares = []
    for _ in range(draws):
        chosen = generator.integers(len(labels), size=B)
        squares.append(((gradient(net, chosen) - full_gradient) ** 2).sum())
    noise.append(math.sqrt(np.mean(squares)) / np.linalg.norm(full_gradient))
    print(f"batch of {B:3}: error / gradient = {noise[-1]:.2f}")

# %%
# Four times the images, half the error: four times the work buys a factor of two. So
# for the same work many steps with small batches often get further than few with large
# ones, until the batch is too small to keep the machine busy. The price is paid at the
# end. Near a minimum the true gradient becomes small, but that of a batch need not: at
# a rate that stays the same, the weights are shaken about.

# %%
# The learning rate
# -----------------
#
# It is the one number that is always worth a search. Multiply it in the search, by 3 or
# by 10; do not add to it. The loss on all training images after the same number of
# steps, with and without momentum:


def loss_of_all(net):
    with no_grad(), np.errstate(over="ignore", invalid="ignore"):
        return F.cross_entropy(net(images), labels).item()


sweep = tuple(0.0001 * 3**k for k in range(10))
sweep_steps = 120
ends = {0: [], 0.9: []}
for momentum, values in ends.items():
    for rate in sweep:
        net = deep_net(3, 2, seed)
        losses = train(net, constant(rate), sweep_steps, momentum=momentum)
        finite = math.isfinite(losses[-1])
        values.append(loss_of_all(net) if finite else math.inf)

figure, axes = plt.subplots(figsize=(5.6, 4))
top = 10
for momentum, values in ends.items():
    drawn_losses = [end if end < top else math.nan for end in values]
    (line,) = axes.loglog(sweep, drawn_losses, "o-", label=f"momentum {momentum}")
    failed = [rate for rate, end in zip(sweep, values, strict=True) if not end < top]
    axes.plot(failed, [top] * len(failed), "^", ms=9, color=line.get_color())
axes.axhline(math.log(10), color="0.5", lw=1, ls=":")
axes.text(sweep[4], math.log(10) * 1.1, "guessing", color="0.4")
axes.set_xlabel("learning rate")
axes.set_ylabel("training loss at the end")
axes.legend()
plt.show()

best = {momentum: sweep[int(np.argmin(values))] for momentum, values in ends.items()}
print("best rates:", {momentum: f"{rate:.4f}" for momentum, rate in best.items()})

# %%
# On the left the rate is too small: the net goes in the right direction, and has hardly
# moved when the steps are used up. On the right it is too large: the loss ends near
# guessing or above. (The triangles at the top are losses above 10, or no numbers any
# more.) In between lies a range of good ones. Not far above the best rate the training
# fails: nine times as much is already much worse. With momentum the whole curve lies to
# the left: it makes the steps longer, as computed above.
#
# Schedules
# ---------
#
# Far from a minimum large steps are good, near it small ones. A *schedule* says which
# rate each step has. Here it is a pure function of the step: it remembers nothing, so a
# run that was stopped goes on with the right rate, and it can be drawn.

schedules = {
    "step_decay": optim.step_decay(0.1, drops=(32_000, 48_000)),
    "cosine": optim.cosine(0.1, total=64_000),
    "warm_up_for": optim.warm_up_for(
        0.01, 4_000, then=optim.step_decay(0.1, (32_000, 48_000))
    ),
}
figure, axes = plt.subplots(figsize=(5.6, 3.6))
grid = np.arange(0, 64_000, 100)
for (name, schedule), style in zip(schedules.items(), ("-", "-", "--"), strict=True):
    axes.semilogy(grid, [schedule(step) for step in grid], style, label=name)
axes.set_ylim(5e-4, 0.2)
axes.set_xlabel("step")
axes.set_ylabel("learning rate")
axes.legend(loc="lower left")
plt.show()

# %%
# (The library's schedules can be given two more arguments, the lowest training error so
# far and all errors so far. ``warm_up`` and ``plateau`` use them.)
#
# The first one is the protocol of the ResNet paper for CIFAR-10: 64,000 steps of 128
# images, rate 0.1, a tenth of it from step 32,000 and a hundredth from 48,000 on;
# momentum 0.9, weight decay 0.0001, He's initialization. Writing one needs no library:


def our_step_decay(base, drops, factor=0.1):
    def schedule(step):
        return base * factor ** sum(step >= drop for drop in drops)

    return schedule


our_schedule = our_step_decay(0.1, (32_000, 48_000))
assert all(
    our_schedule(step) == schedules["step_decay"](step)
    for step in range(0, 64_000, 500)
)
for step in (0, 31_999, 32_000, 48_000):
    print(f"step {step:6,}: {our_schedule(step):.4f}")

# %%
# A drop
# ------
#
# In published training curves the loss falls at once where the rate drops, as if the
# net had understood something. Small batches, a rate that is nearly too large, and the
# loss on *all* training images every few steps:

drop_at = 200
drop_steps = 300
drop_rate = 0.2


def full_losses(schedule, interval=5):
    """Train with batches of 16; the loss of all images, every `interval` steps."""
    net = deep_net(3, 2, seed)
    optimizer = optim.SGD(net.parameters(), lr=schedule(0))
    batches = data.Loader(digits.train, batch_size=16, seed=seed)
    losses = []
    for step in range(drop_steps):
        if step % interval == 0:
            losses.append(loss_of_all(net))
        x, y = batches.batch(step)
        x = Tensor(normalized(x).reshape(len(x), 64))
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.lr = schedule(step)
        optimizer.step()
    return losses


with_drop = full_losses(optim.step_decay(drop_rate, (drop_at,)))
without_drop = full_losses(constant(drop_rate))

figure, axes = plt.subplots(figsize=(5.6, 3.6))
grid = np.arange(0, drop_steps, 5)
axes.semilogy(grid, without_drop, label="rate stays")
axes.semilogy(grid, with_drop, label="rate drops to a tenth")
axes.axvline(drop_at, color="0.5", lw=1, ls=":")
axes.set_xlabel("step")
axes.set_ylabel("loss of all training images")
axes.legend(loc="lower left")
plt.show()

# %%
# Up to the dotted line both are the same run. Then each step is a tenth as long, the
# shaking stops, and the loss sinks to where the larger steps could not stay. It is no
# reason to drop early: the small rate is slow where there is still a long way to go.
#
# Warm-up
# -------
#
# Some nets cannot bear their rate at the start. The ResNet paper found 0.1 slightly too
# large for its net of 110 layers to start converging, and trained it with 0.01 until
# the training error was below 80 %, about 400 steps; then it went on with 0.1 and the
# usual schedule. :func:`~minires.optim.warm_up` is this rule, with the error as a
# condition, and :func:`~minires.optim.warm_up_for` the one with a number of steps.
#
# Warm-up is for a start that is harder than what follows. Where the rate is too large
# throughout, it only puts off the failure. Eight layers without batch norm, and a rate
# far too large:

warm_steps = 100
too_large = 0.2
late_steps = 250
cold = train(deep_net(8, 2, seed), constant(too_large), late_steps, momentum=0.9)
afterwards = optim.step_decay(too_large, drops=())  # no drops: constant
warm_schedule = optim.warm_up_for(too_large / 10, warm_steps, then=afterwards)
warm = train(deep_net(8, 2, seed), warm_schedule, late_steps, momentum=0.9)

print(f"cold: loss at the end {at_the_end(cold):.2f}, after {len(cold)} steps")
print(f"warm: loss before the rate rises {np.mean(warm[:warm_steps][-20:]):.2f}")
print(f"warm: loss at the end {at_the_end(warm):.2f}, after {len(warm)} steps")

# %%
# It learned during the warm-up, and lost it all when the rate rose. Look at the curve
# before you add a warm-up. If the loss breaks off in the very first steps, warm-up may
# help. If it breaks off later, the rate is too large.
#
# Exercises
# ---------
#
# 1. Write Nesterov's variant of the step: :math:`v \leftarrow \mu v + g` as before,
#    then :math:`p \leftarrow p - \eta (g + \mu v)`. Compare ten steps with
#    ``optim.SGD(..., nesterov=True)``.
# 2. Some write momentum with the rate inside: :math:`v \leftarrow \mu v + \eta g`, then
#    :math:`p \leftarrow p - v`. Show that for a constant rate both are the same, and
#    that they differ after a drop. Which of the two makes the larger steps just after
#    it?
# 3. The derivation above has no borders. A convolution of 3 x 3 with padding 1 sees
#    zeros outside of the map. For He's initialization on maps of 8 x 8, predict what
#    part of the mean square is left after one layer, then measure it, and after 20
#    layers.
#
# :doc:`The solutions <solutions/08_training_solutions>` are a program, too.
