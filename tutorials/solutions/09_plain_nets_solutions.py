"""
Solutions to 9: plain nets
==========================

The exercises of :doc:`../09_plain_nets`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, models, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# 1. Multiplications
# ------------------
#
# A 3 x 3 convolution from :math:`C` to :math:`D` channels multiplies :math:`9 C D`
# times for each pixel that it writes. The classifier multiplies once for each weight.

n, (a, b, c) = 3, (16, 32, 64)
by_hand = {
    "conv1": 32 * 32 * 9 * 3 * a,
    "layer1": 32 * 32 * 2 * n * 9 * a * a,
    "layer2": 16 * 16 * (9 * a * b + (2 * n - 1) * 9 * b * b),
    "layer3": 8 * 8 * (9 * b * c + (2 * n - 1) * 9 * c * c),
    "fc": c * 10,
}
rows = models.summarize(models.create("plain20"))
for part, multiplications in by_hand.items():
    counted = sum(r.multiply_adds for r in rows if r.name.split(".")[0] == part)
    assert counted == multiplications
    print(f"{part}: {multiplications:10,}")
print(f"all:    {sum(by_hand.values()):10,}")

# %%
# A quarter of the pixels, twice the channels in and twice out: layers inside of the
# three stages cost the same. The first layer of a later stage has fewer channels coming
# in and costs half, so ``layer1`` costs most.
#
# 2. Other learning rates
# -----------------------

depth = 56
epochs = 4
batch_size = 64
rates = (0.01, 0.05, 0.2)
seed = 0
digits = data.load("digits")


def training_error(net):
    with no_grad(), net.evaluating():
        x = Tensor(digits.train.images / 255, dtype="float32")
        guesses = net(x).numpy().argmax(axis=1)
    return 100 * (guesses != digits.train.labels).mean()


def train(net, epochs, learning_rate):
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
        errors.append(training_error(net))
    return errors


def deep_net():
    return models.create(
        f"plain{depth}", in_channels=1, widths=(8, 16, 32), generator=seed
    )


figure, axes = plt.subplots()
curves = {rate: train(deep_net(), epochs, rate) for rate in rates}
for rate, errors in curves.items():
    axes.plot(range(1, epochs + 1), errors, "o-", label=rate)
    print(f"learning rate {rate}: training error {errors[-1]:.1f} %")
axes.set_ylim(0, 100)
axes.set_xticks(range(1, epochs + 1))
axes.set_xlabel("epoch")
axes.set_ylabel("training error (%)")
axes.legend(title="learning rate", loc="lower left")
plt.show()

# %%
# Some rates are better than others. None makes 56 layers as good as 20.
#
# 3. A start nearer to the identity
# ---------------------------------

near_identity = deep_net()
for parameter in near_identity.parameters():
    if parameter.ndim == 4 and parameter.shape[0] == parameter.shape[1]:
        channels = np.arange(len(parameter))
        parameter.data *= 0.1
        parameter.data[channels, channels, 1, 1] += 1

near_epochs = 8
near_errors = train(near_identity, near_epochs, learning_rate=0.05)
print("training error after each epoch:", [f"{e:.1f}" for e in near_errors])

# %%
# The architecture is the same, only the first weights are others, and the training
# error falls. It is still not that of 20 layers. So the start is a large part of the
# trouble, and "begin at the identity" is a good idea. But weights can leave the
# identity again. A shortcut cannot: it is part of the architecture.
