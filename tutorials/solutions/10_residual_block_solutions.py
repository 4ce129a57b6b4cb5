"""
Solutions to 10: the residual block
===================================

The exercises of :doc:`../10_residual_block`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, models, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# 1. The bottleneck block
# -----------------------
#
# The 3 x 3 convolution is the expensive one. Between two 1 x 1 convolutions it works
# with a quarter of the channels.

norm = nn.BatchNorm2d


def conv(in_channels, channels, size, stride=1):
    padding = size // 2
    return nn.Conv2d(in_channels, channels, size, stride, padding, bias=False)


class Bottleneck(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        out = 4 * channels
        self.conv1, self.bn1 = conv(in_channels, channels, 1, stride), norm(channels)
        self.conv2, self.bn2 = conv(channels, channels, 3), norm(channels)
        self.conv3, self.bn3 = conv(channels, out, 1), norm(out)
        same = stride == 1 and in_channels == out
        self.downsample = (
            nn.Identity()
            if same
            else nn.Sequential(conv(in_channels, out, 1, stride), norm(out))
        )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


def stage(n, in_channels, channels, stride):
    first = Bottleneck(in_channels, channels, stride)
    rest = (Bottleneck(4 * channels, channels) for _ in range(n - 1))
    return nn.Sequential(first, *rest)


class BottleneckNet(nn.Module):
    def __init__(self, depth):
        n = (depth - 2) // 9
        self.conv1, self.bn1 = conv(3, 16, 3), norm(16)
        self.layer1 = stage(n, 16, 16, 1)
        self.layer2 = stage(n, 64, 32, 2)
        self.layer3 = stage(n, 128, 64, 2)
        self.fc = nn.Linear(256, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.global_avg_pool2d(x))


def parameters(net):
    return sum(p.numel() for p in net.parameters())


depth = 164
our_net = BottleneckNet(depth)
library_net = models.create("resnet164")
our_net.load_state_dict(library_net.state_dict())
x = np.random.default_rng(0).standard_normal((2, 3, 32, 32))
x = Tensor(x, dtype="float32")
with no_grad():
    np.testing.assert_allclose(our_net(x), library_net(x), rtol=1e-3, atol=1e-3)
print(
    f"{parameters(our_net):,} and {parameters(library_net):,} parameters, "
    "the same function"
)

# %%
# Mind the first block of ``layer1``. Its stride is 1, but it makes 64 channels of 16:
# it has a projection, too.
#
# 2. Half a shortcut
# ------------------
#
# Each factor of the product is now :math:`1/2 + J_l`. The path that takes all shortcuts
# contributes :math:`1 / 2^{27}` in 27 blocks: next to nothing is left of what made the
# difference.

epochs = 4
batch_size = 64
seed = 0
digits = data.load("digits")


def error(net, split):
    with no_grad(), net.evaluating():
        scores = net(Tensor(split.images / 255, dtype="float32")).numpy()
    return 100 * (scores.argmax(axis=1) != split.labels).mean()


def train(net, epochs, learning_rate=0.05):
    """The training error after each epoch."""
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
        errors.append(error(net, digits.train))
    return errors


small = {"in_channels": 1, "widths": (8, 16, 32), "generator": seed}
half = {"shortcut": "constant_scaling", "factors": (0.5, 1)}
deep_name = "resnet56"
curves = {}
for name, options in (("x", {"shortcut": "A"}), ("x / 2", half)):
    curves[name] = train(models.create(deep_name, **small, **options), epochs)
    print(f"shortcut {name}: training error {curves[name][-1]:.1f} %")

figure, axes = plt.subplots()
for name, errors in curves.items():
    axes.plot(range(1, epochs + 1), errors, "o-", label=name)
axes.set_xticks(range(1, epochs + 1))
axes.set_ylim(0, 100)
axes.set_xlabel("epoch")
axes.set_ylabel("training error (%)")
axes.legend(title="shortcut")
plt.show()

# %%
# 3. Zeros in another place
# -------------------------
#
# In ``layer2`` the library has the channels in the order :math:`z, o, z'`: half of the
# zeros, the old channels, the other half of the zeros. The other net has :math:`o, z,
# z'`. So we bring everything that touches these channels into that order: in each block
# of the stage the outputs of ``conv2`` with ``bn2``, and in all blocks but the first
# the inputs of ``conv1``. In ``layer3`` it is the same once more, and there the old
# channels arrive in ``layer2``'s new order already. The inputs of the layer after a
# stage change their order, too: ``conv1`` of the next stage's first block, and at the
# end the classifier.


class ZerosAfter(nn.Module):
    def __init__(self, new_channels):
        self.new_channels = new_channels

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.new_channels))


net = models.create("resnet20", shortcut="A", **small)
train(net, epochs)
weights = {name: array.copy() for name, array in net.state_dict().items()}

order = np.arange(8)  # of the channels that come into layer2
for name, following in (("layer2", "layer3.0.conv1.weight"), ("layer3", "fc.weight")):
    old_order, zeros_before = order, len(order) // 2
    zeros = np.r_[:zeros_before, 3 * zeros_before : 4 * zeros_before]
    order = np.r_[zeros_before + old_order, zeros]  # new position -> old position
    for i in range(3):
        prefix = f"{name}.{i}."
        weights[prefix + "conv2.weight"] = weights[prefix + "conv2.weight"][order]
        for array in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{prefix}bn2.{array}"] = weights[f"{prefix}bn2.{array}"][order]
        if i > 0:
            weights[prefix + "conv1.weight"] = weights[prefix + "conv1.weight"][
                :, order
            ]
    weights[following] = weights[following][:, order]

repaired = models.create("resnet20", shortcut="A", **small)
repaired.layer2[0].downsample = ZerosAfter(8)
repaired.layer3[0].downsample = ZerosAfter(16)
repaired.load_state_dict(net.state_dict())
error_of_moved = error(repaired, digits.test)
repaired.load_state_dict(weights)
error_of_net, error_of_repaired = error(net, digits.test), error(repaired, digits.test)
print(f"before {error_of_net:.2f} %, other zeros {error_of_moved:.2f} %, ", end="")
print(f"permuted {error_of_repaired:.2f} %")

x = Tensor(digits.test.images / 255, dtype="float32")
with no_grad(), net.evaluating(), repaired.evaluating():
    np.testing.assert_allclose(net(x), repaired(x), rtol=1e-4, atol=1e-4)
