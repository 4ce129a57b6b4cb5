"""
10. The residual block
======================

**You build** the residual block with its three kinds of shortcut, ResNets of any depth,
and a deep net that equals a shallow one and can be trained from there.

**You need** page 9, the problem; pages 5 and 7, convolution and batch norm. The data
are the digits.

**It takes** less than 120 seconds on two cores to run; reading takes longer.

Page 9 ended with a net of 56 layers that fails to learn what 20 layers learn, although
it only had to compute the identity in 36 of them. So let a block compute the identity
when all its weights are zero.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, models, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# One addition
# ------------
#
# Two layers of a plain net compute some function :math:`H(x)`. In a residual block the
# same two layers compute :math:`\mathcal F(x)`, and their input is added:
#
# .. math:: y = \mathcal F(x) + x
#
# The layers now have to learn the difference to their input, the *residual*
# :math:`\mathcal F(x) = H(x) - x`. Every function that could be learned before still
# can. But the identity has become easy: :math:`\mathcal F = 0`, all weights zero.
#
# This is the block of the paper (He et al. 2015, Figure 2), with batch norm after each
# convolution, beside the plain block of page 9:


def draw_block(axes, title, shortcut):
    """The parts of a block, in the order in which they are passed."""
    axes.plot([0, 0], [1, -7.1], color="k", linewidth=1, zorder=0)
    parts = ["conv 3 x 3", "batch norm", "ReLU", "conv 3 x 3", "batch norm", "", "ReLU"]
    for i, part in enumerate(parts):
        color = "0.95" if part == "ReLU" else "#dbe9f4"
        box = {"boxstyle": "round,pad=0.35", "facecolor": color, "edgecolor": "0.5"}
        axes.text(0, -i, part, ha="center", va="center", bbox=box if part else None)
    axes.text(0, 1.25, "$x$", ha="center", va="center")
    axes.text(0, -7.4, "$y$", ha="center", va="center")
    if shortcut:
        axes.plot([0, 1.9, 1.9, 0], [0.62, 0.62, -5, -5], color="C1", linewidth=2)
        circle = {"boxstyle": "circle,pad=0.2", "facecolor": "white"}
        axes.text(0, -5, "+", ha="center", va="center", bbox=circle)
        axes.text(2, -2.2, "shortcut", rotation=90, va="center", color="C1")
        branch = r"branch $\mathcal{F}$"
        axes.text(-1.6, -2, branch, rotation=90, ha="center", va="center")
    axes.set(xlim=(-2, 2.6), ylim=(-7.7, 1.5), title=title)
    axes.axis("off")


figure, (left, right) = plt.subplots(1, 2, figsize=(5.6, 5.2))
draw_block(left, "plain", shortcut=False)
draw_block(right, "residual", shortcut=True)
plt.show()

# %%
# The left path is the *branch* :math:`\mathcal F`, the right one the *shortcut*. The
# last ReLU comes after the addition.
#
# In the code we leave room for a shortcut that is not the identity.


class Block(nn.Module):
    def __init__(self, in_channels, channels, stride=1, shortcut=None):
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut or nn.Identity()

    def branch(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))

    def forward(self, x):
        return F.relu(self.branch(x) + self.downsample(x))


# %%
# (``downsample`` is a strange name for a shortcut. But other libraries use it, and
# weights are loaded by name.)
#
# What the addition does to the gradient
# --------------------------------------
#
# An addition hands the gradient that arrives to both of its inputs, unchanged. One of
# them is the branch, which multiplies it by its Jacobian :math:`J = \partial \mathcal F
# / \partial x`. The other is :math:`x` itself:
#
# .. math:: \frac{\partial L}{\partial x}
#           = \frac{\partial L}{\partial y} \, (J + 1)
#
# with the identity matrix for :math:`1`. To see it, take a block without its last ReLU,
# send back a random gradient, and send the same one through the branch alone:

generator = np.random.default_rng(0)
block = Block(8, 8)
values = generator.standard_normal((4, 8, 6, 6), dtype=np.float32)
upstream = generator.standard_normal((4, 8, 6, 6), dtype=np.float32)

x = Tensor(values, requires_grad=True)
(block.branch(x) + x).backward(upstream)
branch_input = Tensor(values, requires_grad=True)
block.branch(branch_input).backward(upstream)
np.testing.assert_allclose(x.grad, branch_input.grad.numpy() + upstream, atol=1e-5)
print("it is the branch's, plus what arrived")

# %%
# Now many blocks in a row. In a plain net the gradient is multiplied by one Jacobian
# after the other, from the last block back to the first. With shortcuts each factor is
# :math:`1 + J_l`, and the product multiplied out is a sum over all paths through the
# net. Each path goes through the branches of some blocks and takes the shortcut past
# the others:
#
# .. math::
#    &\prod_l J_l \quad \text{but} \\
#    &\prod_l (1 + J_l) = 1 + \sum_l J_l + \sum_{l < k} J_k J_l + \dots
#
# The first product is determined by all its factors together: one that is bad spoils
# it. In the sum below it the :math:`1` always stays: part of the gradient arrives at
# every block as it left the loss. The second term passes a single branch, and so on.
# The long product of all :math:`J_l` is only the last term of many.
#
# The last ReLU of each block cuts a little into this: it sets the gradient to zero
# where the sum was negative. A later paper moves it out of the way (He et al. 2016).
#
# Where the shape changes: A, B, C
# --------------------------------
#
# The sum needs two maps of the same shape. Where a stage begins, the branch halves
# height and width and doubles the channels. The paper tries three ways to make the
# shortcut fit.
#
# **A**: every second pixel in both directions, and zeros for the channels that are new.
# No parameters.
#
# **B**: a *projection*, a 1 x 1 convolution with stride 2, and batch norm after it, as
# after every convolution. The identity everywhere else.
#
# **C**: a projection in every block.


class ZeroPadding(nn.Module):
    """Option A: half of the new channels before the old ones, half after."""

    def __init__(self, in_channels, channels, stride):
        self.stride, self.half = stride, (channels - in_channels) // 2

    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]  # (N, C, H, W) -> (N, C, H/2, W/2)
        return F.pad(x, (0, 0, 0, 0, self.half, self.half))  # -> (N, 2C, H/2, W/2)


def projection(in_channels, channels, stride):
    conv = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def shortcut(option, in_channels, channels, stride):
    if option == "C":
        return projection(in_channels, channels, stride)
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return {"A": ZeroPadding, "B": projection}[option](in_channels, channels, stride)


# %%
# The net around the blocks is the plain net of page 9, with :math:`n` blocks in each of
# three stages:


def stage(n, in_channels, channels, stride, option):
    shapes = [(in_channels, channels, stride)] + [(channels, channels, 1)] * (n - 1)
    return nn.Sequential(*(Block(*shape, shortcut(option, *shape)) for shape in shapes))


class ResNet(nn.Module):
    def __init__(
        self, depth, option="A", widths=(8, 16, 32), in_channels=1, generator=None
    ):
        n, (a, b, c) = (depth - 2) // 6, widths
        self.conv1 = nn.Conv2d(in_channels, a, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.layer1 = stage(n, a, a, 1, option)
        self.layer2 = stage(n, a, b, 2, option)
        self.layer3 = stage(n, b, c, 2, option)
        self.fc = nn.Linear(c, 10)
        nn.init.initialize(self, generator)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.global_avg_pool2d(x))


def parameters(net):
    return sum(p.numel() for p in net.parameters())


# %%
# How many parameters do the options add, in the paper's net of 20 layers for colour
# images? A projection from :math:`C` to :math:`D` channels has :math:`C D` weights, and
# its batch norm :math:`2 D`. With the paper's channels, 16, 32 and 64, option B has two
# projections, and option C has nine, three in each stage. And do our nets compute the
# same as the library's, given the same weights?


def projected(C, D):
    return C * D + 2 * D


paper = {"widths": (16, 32, 64), "in_channels": 3}
plain_parameters = parameters(models.create("plain20"))
extra_b = projected(16, 32) + projected(32, 64)
extra_c = 3 * projected(16, 16) + 2 * projected(32, 32) + 2 * projected(64, 64)
images = Tensor(generator.standard_normal((2, 3, 32, 32)), dtype="float32")
for option, added in (("A", 0), ("B", extra_b), ("C", extra_b + extra_c)):
    our_net = ResNet(20, option, **paper)
    library_net = models.create("resnet20", shortcut=option)
    our_net.load_state_dict(library_net.state_dict())
    assert parameters(our_net) == parameters(library_net) == plain_parameters + added
    with no_grad():
        np.testing.assert_allclose(our_net(images), library_net(images), atol=1e-4)
    print(f"{option}: {plain_parameters:,} + {added:,} = {plain_parameters + added:,}")

# %%
# Both checks hold for all three: as many parameters as the library's, and equal
# outputs. With option A a residual net has exactly the parameters of its plain twin.
# Any difference between the two comes from the addition. For small images the paper
# uses A everywhere, and so does this page from here on.
#
# Is the problem gone?
# --------------------
#
# Plain and residual nets of 20 and 56 layers, all trained in the same way and from the
# same random numbers:

epochs = 8
batch_size = 64
depths = (20, 56)
seed = 0
digits = data.load("digits")


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


def create(family, depth):
    if family == "residual":
        return ResNet(depth, generator=seed)
    return models.create(
        f"plain{depth}", in_channels=1, widths=(8, 16, 32), generator=seed
    )


nets, curves = {}, {}
print("             train %  test %  parameters")
for family in ("plain", "residual"):
    for depth in depths:
        nets[family, depth] = net = create(family, depth)
        curves[family, depth] = train(net, epochs, learning_rate=0.05)
        training_error, test_error = curves[family, depth][-1]
        print(
            f"{family:8} {depth:3} {training_error:8.2f} {test_error:7.2f} "
            f"{parameters(net):11,}"
        )

figure, panels = plt.subplots(1, 2, figsize=(6.4, 4), sharey=True)
for axes, family in zip(panels, ("plain", "residual"), strict=True):
    for i, depth in enumerate(depths):
        training, test = zip(*curves[family, depth], strict=True)
        epoch = range(1, epochs + 1)
        axes.plot(epoch, training, color=f"C{i}", linewidth=1)
        axes.plot(epoch, test, color=f"C{i}", linewidth=2.6, label=f"{depth} layers")
    axes.set_xlabel("epoch")
    axes.set_title(family)
panels[0].set_ylabel("error (%), thin: training, bold: test")
panels[0].set_ylim(0, 100)
panels[1].legend()
plt.show()

# %%
# The plain net of 56 layers fails. The residual net of 56 layers has not one parameter
# more, and learns. This is the paper's Figure 6 on a small scale.
#
# The deep net that equals a shallow one
# --------------------------------------
#
# On page 9 it took some care to build a block that computes the identity. Now it takes
# one line. Batch norm ends the branch with :math:`\gamma \hat x + \beta`. With
# :math:`\gamma = \beta = 0` the branch is zero for any weights of its convolutions, in
# training as well as in evaluation; and :math:`\max(0 + x, 0) = x`, since :math:`x`
# comes from a ReLU.


def deepen(shallow, depth):
    """A residual net of `depth` layers that computes what `shallow` computes."""
    deep = ResNet(depth, generator=seed)
    deep.load_state_dict(deep.state_dict() | shallow.state_dict())
    for name, parameter in deep.named_parameters():
        if name not in shallow.state_dict() and name.endswith("bn2.weight"):
            parameter.data[...] = 0  # gamma; beta starts with 0
    return deep


shallow, built = (
    nets["residual", depths[0]],
    deepen(nets["residual", depths[0]], depths[1]),
)
test_images = Tensor(digits.test.images / 255, dtype="float32")
with no_grad(), shallow.evaluating(), built.evaluating():
    difference = abs(shallow(test_images).numpy() - built(test_images).numpy()).max()
print("largest difference:", difference)
error_of_built = error(built, digits.train)
print(f"train {error_of_built:.2f} %, test {error(built, digits.test):.2f} %")

# %%
# Can such blocks learn at all, with a factor of zero in them? Here is the largest
# gradient of two parameters of one of them:

sample = digits.train.images[:300] / 255
sample_labels = digits.train.labels[:300]

F.cross_entropy(built(Tensor(sample, dtype="float32")), sample_labels).backward()
new_block = built.layer1[-1]
print("convolution:", abs(new_block.conv1.weight.grad.numpy()).max())
print("last gamma: ", abs(new_block.bn2.weight.grad.numpy()).max())

# %%
# The convolutions have to wait for one step: their gradient is a product with
# :math:`\gamma = 0`. But :math:`\gamma` itself has a gradient, and with the first step
# it is no longer zero. So training can go on from here, at the full learning rate of
# the beginning:

further_epochs = 2
for training_error, test_error in train(built, further_epochs, learning_rate=0.05):
    print(f"train {training_error:.2f} %, test {test_error:.2f} %")

# %%
# What the signals look like
# --------------------------
#
# Page 9 looked into the nets at the start of training. We repeat two of its
# measurements in 56 layers, with and without shortcuts: the gradient at the input of
# each block, with the help of leaves of zeros, and in how many percent of the images
# the nearest neighbour there shows another digit.


def blocks(net):
    return [block for layer in (net.layer1, net.layer2, net.layer3) for block in layer]


def signals(net):
    """For each block: its input, and the norm of the gradient with respect to it."""
    x = F.relu(net.bn1(net.conv1(Tensor(sample, dtype="float32"))))
    inputs, leaves = [], []
    for block in blocks(net):
        leaf = Tensor(np.zeros(x.shape), requires_grad=True, dtype="float32")
        inputs.append(x.numpy())
        leaves.append(leaf)
        x = block(x + leaf)
    F.cross_entropy(net.fc(F.global_avg_pool2d(x)), sample_labels).backward()
    return inputs, [np.linalg.norm(leaf.grad) for leaf in leaves]


def neighbour_error(features):
    """The percentage of images whose nearest other image has another label."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    squared = (flat**2).sum(axis=1)
    distances = squared[:, None] - 2 * flat @ flat.T + squared
    np.fill_diagonal(distances, np.inf)
    return 100 * (sample_labels[distances.argmin(axis=1)] != sample_labels).mean()


growth, mixed = {}, {}
figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 6), sharex=True)
for family in ("plain", "residual"):
    inputs, gradient = signals(create(family, depths[1]))
    growth[family] = gradient[0] / gradient[-1]
    mixed[family] = [neighbour_error(value) for value in inputs]
    layer = 2 + 2 * np.arange(len(inputs))
    top.plot(layer, gradient, ".-", label=family)
    bottom.plot(layer, mixed[family], ".-", label=family)
top.set_yscale("log")
top.set_ylabel("gradient: norm")
bottom.set_ylabel("nearest neighbour: error (%)")
bottom.set_ylim(0, 100)
bottom.set_xlabel("layer")
top.legend()
plt.show()
for family in growth:
    print(f"{family:8}: grows {growth[family]:.0f} times")

# %%
# With shortcuts the gradient grows far less, and the order among the images survives
# far longer. Both have the same reason: what comes out of a block is for a good part
# what went in.
#
# How much does a block change?
# -----------------------------
#
# The paper supposes that what a block has to learn is often near the identity: so the
# residuals should be small, and smaller in a deeper net, where each block has less to
# do. Its Figure 7 shows the standard deviations of what batch norm gives out. After
# batch norm that is nearly :math:`|\gamma|`, which starts at 1; and it takes longer
# than our few epochs to move far from there. So we compare each block's output with its
# input, wherever they have the same shape:
#
# .. math:: \frac{|y - x|}{|x|}


def changes(net):
    """|y - x| / |x| for the test images, in each block that keeps the shape."""
    relative_changes = []
    with no_grad(), net.evaluating():
        x = F.relu(net.bn1(net.conv1(test_images)))
        for block in blocks(net):
            y = block(x)
            if y.shape == x.shape:
                change = np.linalg.norm((y - x).numpy()) / np.linalg.norm(x.numpy())
                relative_changes.append(change)
            x = y
    return relative_changes


figure, axes = plt.subplots(figsize=(6.4, 3.6))
change = {}
compared = (("plain", depths[0]), ("residual", depths[0]), ("residual", depths[1]))
for family, depth in compared:
    change[family, depth] = changes(nets[family, depth])
    position = np.linspace(0, 1, len(change[family, depth]))
    label = f"{family}, {depth} layers"
    axes.plot(position, change[family, depth], ".-", label=label)
    print(f"{label}: median {np.median(change[family, depth]):.2f}")
axes.set_xticks((0, 1), ("first block", "last block"))
axes.set_ylim(0, 1.8)
axes.set_ylabel("relative change")
axes.legend(loc="upper center", ncols=2)
plt.show()

# %%
# The change that a plain block makes is about as large as its input. Residual blocks
# make smaller changes, and those of the deeper net smaller ones still. A deep residual
# net is a long row of small corrections. (The plain net of 56 layers is left out: it
# has not learned anything that could be compared.)
#
# Four mistakes
# -------------
#
# None of them raises an error.
#
# **The ReLU before the addition.** If the branch ends with a ReLU, it can only add. The
# sum grows from block to block. (In He et al. 2016 the test error of a net of 110
# layers rises from 6.61 % to 7.84 % by this.)


def mean_output(join):
    """The mean of what the last block gives out, at the start of training."""
    net = ResNet(depths[1], generator=seed)
    with no_grad():
        x = F.relu(net.bn1(net.conv1(Tensor(sample, dtype="float32"))))
        for block in blocks(net):
            x = join(block.branch(x), block.downsample(x))
    return x.mean().item()


mean_after = mean_output(lambda branch, x: F.relu(branch + x))
mean_before = mean_output(lambda branch, x: F.relu(branch) + x)
print(f"ReLU after the addition: mean {mean_after:.2f}")
print(f"ReLU before it:          mean {mean_before:.2f}")

# %%
# **The addition in place.** ``x`` is not only the block's input. The first convolution
# has kept it for its gradient. Adding the branch into the same memory, as ``x +=
# branch`` does for arrays, changes what was kept:


def gradient_of_conv1(in_place):
    block, x = Block(8, 8), Tensor(values.copy())
    nn.init.initialize(block, 0)
    branch = block.branch(x)
    if in_place:
        x.data[...] += branch.data  # the sum overwrites x
    (branch + x).backward(upstream)
    return block.conv1.weight.grad.numpy()


right, wrong = gradient_of_conv1(in_place=False), gradient_of_conv1(in_place=True)
gradient_error = np.linalg.norm(wrong - right) / np.linalg.norm(right)
print(f"the gradient is off by {100 * gradient_error:.0f} %")

# %%
# (For a :class:`~minires.Tensor` with a history ``x += y`` makes a new one, so this
# needs arrays.)
#
# **The stride in the wrong layer.** With stride 2 in the second convolution instead of
# the first, the block has the same parameters and an output of the same shape. Only the
# function and the cost change:

block = Block(16, 32, 2, ZeroPadding(16, 32, 2))
late_stride = Block(16, 32, 2, ZeroPadding(16, 32, 2))
late_stride.load_state_dict(block.state_dict())
late_stride.conv1.stride, late_stride.conv2.stride = 1, 2
x = Tensor(generator.standard_normal((2, 16, 32, 32)), dtype="float32")
with no_grad():
    print(block(x).shape, "and", late_stride(x).shape)
    print("largest difference:", abs(block(x) - late_stride(x)).numpy().max())
cost = {
    name: sum(row.multiply_adds for row in models.summarize(b, (16, 32, 32)))
    for name, b in (("first", block), ("second", late_stride))
}
print(f"multiplications:  {cost['first']:,}")
print(f"with late stride: {cost['second']:,}")

# %%
# **The other option A.** The paper does not say where the zeros go. This page and the
# library put half of the new channels before the old ones and half after. Others put
# all of them after. Either is fine, but trained weights fit only one order of the
# channels. Here is our trained net, with its zeros in the other place:


class ZerosAfter(ZeroPadding):
    def forward(self, x):
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, 2 * self.half))


moved_net = ResNet(depths[0])
moved_net.load_state_dict(shallow.state_dict())
moved_net.layer2[0].downsample = ZerosAfter(8, 16, 2)
moved_net.layer3[0].downsample = ZerosAfter(16, 32, 2)
error_of_shallow, error_of_moved = (
    error(shallow, digits.test),
    error(moved_net, digits.test),
)
print(f"test error       {error_of_shallow:.2f} %")
print(f"with other zeros {error_of_moved:.2f} %")

# %%
# So compare outputs, not only shapes and parameters, when you load weights that others
# have trained.
#
# Exercises
# ---------
#
# 1. Write the bottleneck block: 1 x 1 to :math:`C` channels, 3 x 3, 1 x 1 to :math:`4
#    C`; batch norm after each, ReLU after the first two and after the addition. Build
#    ``models.create("resnet164")`` from it (:math:`9n + 2` layers, option B, the stride
#    in the first 1 x 1) and check parameters and outputs.
# 2. What if the shortcut is halved, :math:`y = \mathcal F(x) + x / 2`? What happens to
#    the :math:`1` in the sum over paths? Train ``resnet56`` with the options
#    ``shortcut="constant_scaling"`` and ``factors=(0.5, 1)``, one factor for the
#    shortcut and one for the branch, and without them. (For the digits it needs
#    ``in_channels=1`` and ``widths=(8, 16, 32)``, too.)
# 3. Repair the net of the fourth mistake: permute its weights so that it computes with
#    all zeros after what it computed before.
#
# :doc:`The solutions <solutions/10_residual_block_solutions>` are a program, too.
