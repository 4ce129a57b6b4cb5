"""
9. A plain net, deeper and deeper: the degradation problem
==========================================================

**You build** the plain nets of the ResNet paper at any depth, and by hand a deep one
that is as good as a shallow one.

**You need** pages 5 to 8: convolutions, batch norm, training. The data are the digits.

**It takes** less than 120 seconds on two cores to run; reading takes longer.

If a net of 20 layers is good, is one of 56 better? It has more parameters, and it can
compute everything that the shallower one can. This page shows that it becomes worse,
and looks for the reason.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, models, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# The table
# ---------
#
# The paper (He et al. 2015, section 4.2) builds its nets for small images from a single
# rule. All convolutions are 3 x 3. There are three stages. Where the second and the
# third begin, height and width are halved and the number of channels is doubled, so
# that every layer costs about the same. Each stage has :math:`2n` layers. With the
# first convolution and the classifier that makes :math:`6n + 2` layers:
#
# .. list-table::
#    :header-rows: 1
#
#    * - part
#      - layers
#      - channels
#      - map
#      - our map
#    * - conv1
#      - 1
#      - 16
#      - 32 x 32
#      - 8 x 8
#    * - layer1
#      - :math:`2n`
#      - 16
#      - 32 x 32
#      - 8 x 8
#    * - layer2
#      - :math:`2n`
#      - 32
#      - 16 x 16
#      - 4 x 4
#    * - layer3
#      - :math:`2n`
#      - 64
#      - 8 x 8
#      - 2 x 2
#    * - mean, fc
#      - 1
#      - 10
#      - 1 x 1
#      - 1 x 1
#
# Our digits have 8 x 8 pixels and one channel, and half as many channels in the net are
# enough: 8, 16 and 32.
#
# Two layers make a block. Batch norm follows each convolution, a ReLU follows that. The
# convolutions have no bias: batch norm subtracts the mean, and a bias with it. (In
# PyTorch an ``__init__`` would call ``super().__init__()`` first. Here it need not.)


class Block(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


# %%
# A stage is :math:`n` blocks. Its first block changes the number of channels, and the
# size if the stride is 2.


def stage(n, in_channels, channels, stride):
    first = Block(in_channels, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels) for _ in range(n - 1)))


class PlainNet(nn.Module):
    def __init__(self, depth, widths=(8, 16, 32), in_channels=1, generator=None):
        n, rest = divmod(depth - 2, 6)
        if rest:
            raise ValueError(f"the depth must be 6n + 2, not {depth}")
        a, b, c = widths
        self.conv1 = nn.Conv2d(in_channels, a, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.layer1 = stage(n, a, a, stride=1)
        self.layer2 = stage(n, a, b, stride=2)
        self.layer3 = stage(n, b, c, stride=2)
        self.fc = nn.Linear(c, 10)
        nn.init.initialize(self, generator)  # He's initialization, in this order

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))  # (N, 1, 8, 8) -> (N, 8, 8, 8)
        x = self.layer1(x)  # (N, 8, 8, 8)
        x = self.layer2(x)  # (N, 16, 4, 4)
        x = self.layer3(x)  # (N, 32, 2, 2)
        return self.fc(F.global_avg_pool2d(x))  # (N, 32) -> (N, 10)


# %%
# Is it right? A wrong stride or a forgotten layer raises no error. So count the
# parameters by hand: a convolution from :math:`C` to :math:`D` channels has :math:`9 C
# D` weights, and its batch norm has :math:`2 D`. The linear layer has a bias.


def layer_parameters(C, D):
    return 9 * C * D + 2 * D


def parameters_by_hand(n, widths, in_channels):
    a, b, c = widths
    return (
        layer_parameters(in_channels, a)
        + 2 * n * layer_parameters(a, a)
        + layer_parameters(a, b)
        + (2 * n - 1) * layer_parameters(b, b)
        + layer_parameters(b, c)
        + (2 * n - 1) * layer_parameters(c, c)
        + (c + 1) * 10
    )


def parameters(net):
    return sum(p.numel() for p in net.parameters())


for depth, widths, in_channels in ((20, (8, 16, 32), 1), (20, (16, 32, 64), 3)):
    by_hand = parameters_by_hand((depth - 2) // 6, widths, in_channels)
    assert by_hand == parameters(PlainNet(depth, widths, in_channels))
    print(f"{depth} layers, widths {widths}: {by_hand:,} parameters")

# %%
# The second number is that of the paper's net with 20 layers, "0.27M" there. The
# library's plain net is called ``plain20``. Its parts have the same names as ours, so
# that its weights fit:

our_net = PlainNet(20)
library_net = models.create("plain20", in_channels=1, widths=(8, 16, 32))
our_net.load_state_dict(library_net.state_dict())

digits = data.load("digits")
x = Tensor(digits.test.images / 255, dtype="float32")
with no_grad(), our_net.evaluating(), library_net.evaluating():
    np.testing.assert_allclose(our_net(x).numpy(), library_net(x).numpy(), atol=1e-5)
print("the same function; the last name is", list(our_net.state_dict())[-1])

# %%
# Equal outputs check the strides, too: a stride in another place changes no weight's
# shape, but it changes the function.
#
# Four depths
# -----------
#
# All nets are trained in the same way, that of page 8: stochastic gradient descent with
# momentum, a learning rate that is divided by 10 at 1/2 and at 3/4 of the training.
# After each epoch we measure two errors: in percent of the images that the net learns
# from, and of those that it has never seen.

epochs = 12
batch_size = 64
depths = (8, 20, 32, 56)
seed = 0


def error(net, split):
    with no_grad(), net.evaluating():
        scores = net(Tensor(split.images / 255, dtype="float32")).numpy()
    return 100 * (scores.argmax(axis=1) != split.labels).mean()


def train(net, epochs, learning_rate):
    """The errors after each epoch: (of training images, of test images)."""
    batches = data.Loader(digits.train, batch_size, seed=seed)
    steps = epochs * len(batches)
    rate = optim.step_decay(learning_rate, drops=(steps // 2, steps * 3 // 4))
    optimizer = optim.SGD(net.parameters(), rate(0), momentum=0.9, weight_decay=1e-4)
    errors, step = [], 0
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.lr = rate(step)
            loss = F.cross_entropy(net(Tensor(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        errors.append((error(net, digits.train), error(net, digits.test)))
    return errors


nets, curves = {}, {}
print("layers  train %  test %  parameters")
for depth in depths:
    nets[depth] = PlainNet(depth, generator=seed)
    curves[depth] = train(nets[depth], epochs, learning_rate=0.05)
    training_error, test_error = curves[depth][-1]
    print(
        f"{depth:6} {training_error:8.2f} {test_error:7.2f} "
        f"{parameters(nets[depth]):11,}"
    )

figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.8), sharey=True)
for i, (axes, name) in enumerate(zip(panels, ("training", "test"), strict=True)):
    for depth in depths:
        axes.plot(range(1, epochs + 1), [e[i] for e in curves[depth]], label=depth)
    axes.set_xlabel("epoch")
    axes.set_xticks(range(0, epochs + 1, 2))
    axes.set_title(f"{name} error (%)")
panels[0].set_ylim(0, 100)
panels[1].legend(title="layers", loc="center right")
plt.show()

# %%
# Up to 20 layers depth does little harm. From there on, the deeper the net, the worse
# it is. This is the *degradation problem*. (Early in training the errors jump up and
# down. One reason is that with a high learning rate the weights move faster than the
# running statistics, which batch norm uses here.)
#
# It is not overfitting
# ---------------------
#
# A net with too many parameters can overfit: it knows the training images by heart and
# fails on others. Its training error is *small*. Here it is the training error that
# grows with the depth, and the test error follows. The net with the most parameters
# does not even get its training images right. The means against overfitting, more data
# or more regularization, are no answer to that.
#
# The deeper net contains the shallower
# -------------------------------------
#
# Perhaps 56 layers simply cannot compute what 20 can? They can, and we can write down
# the weights. Take the trained net of 20 layers. At the end of each stage, add blocks
# that compute the identity, :math:`y = x`. What does such a block look like?
#
# *The convolution.* A kernel with a 1 in the middle, from each channel to itself, and
# zeros everywhere else.
#
# *The ReLU.* What enters the block came out of a ReLU: :math:`x \ge 0`, and so
# :math:`\max(x, 0) = x`. A second ReLU changes nothing.
#
# *The batch norm.* For each channel it computes
#
# .. math:: y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta
#
# With :math:`\gamma = \sqrt{\sigma^2 + \epsilon}` and :math:`\beta = \mu` that is
# :math:`x`. In evaluation :math:`\mu` and :math:`\sigma^2` are the running statistics,
# and any values do. If we take the true mean and variance of :math:`x`, the block is
# close to the identity in training as well, where each batch brings statistics of its
# own.


def make_identity(block, mean, variance):
    channels = np.arange(len(mean))
    for conv, bn in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        conv.weight.data[...] = 0
        conv.weight.data[channels, channels, 1, 1] = 1
        bn.running_mean.data[...] = bn.bias.data[...] = mean
        bn.running_var.data[...] = variance
        bn.weight.data[...] = np.sqrt(variance + bn.eps)


def stage_outputs(net, x):
    """What comes out of each of the three stages."""
    x = F.relu(net.bn1(net.conv1(x)))
    outputs = []
    for layer in (net.layer1, net.layer2, net.layer3):
        x = layer(x)
        outputs.append(x.numpy())
    return outputs


def deepen(shallow, depth):
    """A net of `depth` layers that computes what `shallow` computes."""
    deep = PlainNet(depth)
    deep.load_state_dict(deep.state_dict() | shallow.state_dict())
    with no_grad(), shallow.evaluating():
        x = Tensor(digits.train.images / 255, dtype="float32")
        outputs = stage_outputs(shallow, x)
    for name, output in zip(("layer1", "layer2", "layer3"), outputs, strict=True):
        mean, variance = output.mean(axis=(0, 2, 3)), output.var(axis=(0, 2, 3))
        for block in list(getattr(deep, name))[len(getattr(shallow, name)) :]:
            make_identity(block, mean, variance)
    return deep


# %%
# ``a | b`` of two dicts has the entries of both, and ``b``'s where a name is in both:
# the first blocks of each stage are those of the shallow net.

shallow_depth = 20
deep_depth = 56
shallow = nets[shallow_depth]
built = deepen(shallow, deep_depth)
with no_grad(), shallow.evaluating(), built.evaluating():
    scores, scores_of_built = shallow(x).numpy(), built(x).numpy()
print(f"largest score      {abs(scores).max():.1f}")
print(f"largest difference {abs(scores - scores_of_built).max():.1e}")
print("layers            train %  test %")
for name, net in (
    (f"{shallow_depth}, trained", shallow),
    (f"{deep_depth}, built", built),
    (f"{deep_depth}, trained", nets[deep_depth]),
):
    print(f"{name:17} {error(net, digits.train):7.2f} {error(net, digits.test):7.2f}")

# %%
# The first two lines are the same. The last two are the same architecture, with other
# weights: a good solution exists, and training did not find it.
#
# Is the good solution perhaps one that training would leave at once? We train on from
# there, and begin with the learning rate that the others had in their third quarter:

further_epochs = 2
error_of_built = error(built, digits.train)
for training_error, test_error in train(built, further_epochs, learning_rate=0.005):
    print(f"train {training_error:.2f} %, test {test_error:.2f} %")

figure, axes = plt.subplots(figsize=(6.4, 3.6))
axes.plot(
    depths, [curves[d][-1][0] for d in depths], "o-", label="random start, trained"
)
axes.plot(
    deep_depth, error_of_built, "s", ms=13, mfc="none", mew=2, label="built by hand"
)
axes.plot(deep_depth, training_error, "*", ms=9, label="built by hand, trained on")
axes.set_xticks(depths)
axes.set_xlabel("layers")
axes.set_ylabel("training error (%)")
axes.set_ylim(-5, 100)
axes.legend(loc="upper left")
plt.show()

# %%
# The error stays small. So the deep net can represent a good function, and gradient
# descent can work near it. What fails is the way there from a random start.
#
# Do the signals vanish?
# ----------------------
#
# The first suspicion is always the same: in a deep net the activations, or the
# gradients, shrink from layer to layer until nothing is left. Page 8 showed it without
# batch norm, for starting weights that are too small. We measure both for each block,
# in training mode. As on page 8, a leaf of zeros, added between two blocks, collects
# the gradient that passes by.

sample = digits.train.images[:300] / 255
sample_labels = digits.train.labels[:300]


def signals(net):
    """For each block: its input, and the gradient of the loss with respect to it."""
    x = F.relu(net.bn1(net.conv1(Tensor(sample, dtype="float32"))))
    inputs, leaves = [], []
    for layer in (net.layer1, net.layer2, net.layer3):
        for block in layer:
            leaf = Tensor(np.zeros(x.shape), requires_grad=True, dtype="float32")
            inputs.append(x.numpy())
            leaves.append(leaf)
            x = block(x + leaf)
    F.cross_entropy(net.fc(F.global_avg_pool2d(x)), sample_labels).backward()
    net.zero_grad()
    return inputs, [leaf.grad.numpy() for leaf in leaves]


figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 6), sharex=True)
size, slope = {}, {}
for depth, colour in ((shallow_depth, "C1"), (deep_depth, "C3")):
    layer = 2 + 2 * np.arange((depth - 2) // 2)  # the first layer of each block
    for net, when, style in (
        (PlainNet(depth, generator=seed), "at the start", "-"),
        (nets[depth], "trained", "--"),
    ):
        inputs, gradients = signals(net)
        size[depth, when] = [value.std() for value in inputs]
        slope[depth, when] = [np.linalg.norm(gradient) for gradient in gradients]
        label = f"{depth} layers, {when}"
        top.plot(layer, size[depth, when], style, color=colour, label=label)
        bottom.plot(layer, slope[depth, when], style, color=colour, label=label)
for axes in (top, bottom):
    axes.set_yscale("log")
top.set_ylabel("activations: standard deviation")
bottom.set_ylabel("gradient: norm")
bottom.set_xlabel("layer")
top.legend()
plt.show()

growth = slope[deep_depth, "at the start"][0] / slope[deep_depth, "at the start"][-1]
print(f"the gradient grows {growth:.0f} times")

# %%
# Nothing vanishes. At the start the activations have the same size in all layers: batch
# norm sees to that. The gradients do not shrink on their way back (in the figure from
# right to left), they *grow*, in the deep net by the factor above. Yang et al. (2019)
# derive this for fully connected nets: batch norm itself is the cause, and no choice of
# the starting weights' size removes it. In the trained nets the growth is gone. The
# paper, too, reports gradients of a healthy size, and considers it unlikely that
# vanishing gradients are the reason.
#
# How does the growth disappear? The first steps, with their huge gradients, make the
# first layers' weights huge, and batch norm's :math:`\gamma` and :math:`\beta`, too:
# see the activations of the trained deep net. The next batch norm divides by all of
# that. If a convolution's weights or its inputs are :math:`k` times as large, what
# comes out of its batch norm is the same, and the gradient with respect to them is
# :math:`1 / k` times as large (page 7 showed it for weights). So large activations make
# the gradient at their place small, and large weights are hardly turned by a step any
# more. This is one part of it. The growth is gone in the later layers, too, where the
# activations are as large as before.

for name in ("layer1.0.conv1.weight", "layer3.0.conv2.weight"):
    before = PlainNet(deep_depth, generator=seed).state_dict()[name]
    after = nets[deep_depth].state_dict()[name]
    ratio = np.linalg.norm(after) / np.linalg.norm(before)
    print(f"{name}: {ratio:.1f} times its norm at the start")

# %%
# What does get lost
# ------------------
#
# Size is not everything about a signal. Exercise 3 of page 1 gave each image the label
# of its nearest neighbour, and few were wrong: images of one digit lie close together.
# Do they still, after 10 random layers, or after 50? We look for the nearest neighbour
# of each image among the *inputs of each block*, at the start of training.


def neighbour_error(features, labels):
    """The percentage of images whose nearest other image has another label."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    squared = (flat**2).sum(axis=1)
    distances = squared[:, None] - 2 * flat @ flat.T + squared
    np.fill_diagonal(distances, np.inf)
    return 100 * (labels[distances.argmin(axis=1)] != labels).mean()


figure, axes = plt.subplots(figsize=(6.4, 3.8))
mixed = {}
for depth in depths:
    inputs, _ = signals(PlainNet(depth, generator=seed))
    mixed[depth] = [neighbour_error(value, sample_labels) for value in inputs]
    axes.plot(2 + 2 * np.arange(len(inputs)), mixed[depth], ".-", label=depth)
axes.axhline(90, color="0.5", linestyle=":")
axes.text(1, 92, "guessing", color="0.4")
axes.set_ylim(0, 100)
axes.set_xlabel("layer")
axes.set_ylabel("nearest neighbour: error (%)")
axes.legend(title="layers", loc="lower right")
plt.show()

# %%
# Layer after layer, images that were close are driven apart. After some 30 random
# layers two images of the same digit are hardly more alike than any others. The last
# layers then see inputs that are in no order. To learn anything, they need the layers
# before them to change; but the gradient that tells those how to change comes through
# the last layers.
#
# Balduzzi et al. (2017) found the same from the other side: in a deep plain net the
# gradients for two nearby inputs have as little in common as white noise, "shattered
# gradients". This describes what happens, and fits what we saw. It may not be the whole
# reason. The paper itself leaves it at the conjecture that deep plain nets learn
# exponentially slowly, and notes that on ImageNet three times as many steps did not
# help.
#
# The identity, which we had to write by hand into 36 layers, is hard to find for a
# stack of convolutions, batch norms and ReLUs that starts at random. The next page
# makes it the easiest thing to compute: :doc:`10_residual_block`.
#
# Exercises
# ---------
#
# 1. Count the multiplications for one image: :math:`9 C D` for each pixel that a
#    convolution writes. Check your numbers for ``plain20`` at 32 x 32 and 3 channels
#    against ``models.summarize(models.create("plain20"))``. Which stage costs most?
# 2. Perhaps the learning rate is wrong for 56 layers? Train ``plain56`` for a few
#    epochs at rates from 0.01 to 0.2, and draw the training errors.
# 3. Start nearer to the identity: add the identity kernel to a tenth of He's weights
#    wherever a convolution keeps the number of channels, and train ``plain56`` from
#    there. Is degradation gone?
#
# :doc:`The solutions <solutions/09_plain_nets_solutions>` are a program, too.
