"""
Solutions to 6: pooling
=======================

The exercises of :doc:`../06_pooling`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, gradcheck, nn, optim
from minires.nn import functional as F
from minires.train import evaluate

plt.style.use("minires.plot.page")
generator = np.random.default_rng(0)

# %%
# 1. Average pooling is a convolution
# -----------------------------------
#
# All nine weights of a window are 1/9. With ``groups=4`` each output channel sees one
# input channel, its own, so that the weight has the shape :math:`(4, 1, 3, 3)`.

x = Tensor(generator.standard_normal((2, 4, 9, 9)), requires_grad=True)
W = Tensor(np.full((4, 1, 3, 3), 1 / 9))
as_convolution = F.conv2d(x, W, stride=2, groups=4)
pooled = F.avg_pool2d(x, 3, stride=2)
np.testing.assert_allclose(as_convolution.numpy(), pooled.numpy(), atol=1e-12)

gradients = []
for y in (as_convolution, pooled):
    x.grad = None
    (y * y).sum().backward()  # any loss will do
    gradients.append(x.grad.numpy())
np.testing.assert_allclose(*gradients, atol=1e-12)
print("values and gradient agree")

# %%
# A convolution is linear: the result of a sum of two maps is the sum of their results.
# A maximum is not. The largest of 1 and -1 is 1, and so is that of -1 and 1; but the
# sum of the two maps is all zero, and its maximum is 0, not 2.
#
# 2. Adaptive average pooling by hand
# -----------------------------------
#
# In whole numbers: ``i * H // OH`` is rounded down, and ``-(-a // b)`` is rounded up.


def bounds(length, count):
    """Where each of `count` windows begins and ends."""
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def adaptive_avg_pool(x, output_size):
    N, C, H, W = x.shape
    y = np.empty((N, C, *output_size), x.dtype)
    for i, (top, bottom) in enumerate(bounds(H, output_size[0])):
        for j, (left, right) in enumerate(bounds(W, output_size[1])):
            y[:, :, i, j] = x[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return y


maps = generator.standard_normal((2, 3, 7, 5))
for size in ((3, 2), (1, 1), (7, 5), (4, 5)):
    library = F.adaptive_avg_pool2d(Tensor(maps), size).numpy()
    np.testing.assert_allclose(adaptive_avg_pool(maps, size), library, atol=1e-12)
print("7 pixels, 3 windows:", bounds(7, 3))
print("6 pixels, 3 windows:", bounds(6, 3))

# %%
# Where the length is a multiple of the number of windows, they lie side by side, all of
# one size. Otherwise an end that is rounded up and the next beginning, rounded down,
# lie on two sides of the same fraction, and the two windows share a pixel there.
#
# 3. Between average and maximum
# ------------------------------


def power_pool(x, size, p):
    return F.avg_pool2d(x**p, size) ** (1 / p)


maps = generator.uniform(0.1, 1, (1, 2, 6, 6))
print(
    "relative error of the gradient:",
    gradcheck(lambda x: power_pool(x, 2, 3.0), [maps]),
)
x = Tensor(maps)
largest = F.max_pool2d(x, 2).numpy()
powers = (1, 2, 4, 8, 16, 32, 64)
below = [float((largest - power_pool(x, 2, float(p)).numpy()).max()) for p in powers]
np.testing.assert_allclose(power_pool(x, 2, 1.0).numpy(), F.avg_pool2d(x, 2).numpy())

figure, axes = plt.subplots(figsize=(6.4, 3))
axes.plot(powers, below, "o-")
axes.set_xscale("log", base=2)
axes.set_xticks(powers, powers)
axes.set(xlabel="$p$", ylabel="at most below the maximum", ylim=(0, None))
plt.show()

# %%
# The reason: divide all numbers by the largest, :math:`m`. Then :math:`y = m \,
# (\mathrm{mean}((x / m)^p))^{1/p}`, and the mean is between :math:`1 / k^2` and 1 for
# any :math:`p`: the largest alone contributes :math:`1 / k^2`. And :math:`(1 /
# k^2)^{1/p}` goes to 1.
#
# 4. Change the experiment
# ------------------------

epochs = 10
digits = data.load("digits")


class GlobalMaxPool(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, x.shape[2:])


def placed(split, down=0, right=0, border=2):
    rows, columns = (border + down, border - down), (border + right, border - right)
    return data.Split(
        np.pad(split.images, ((0, 0), (0, 0), rows, columns)), split.labels
    )


def train(pool, rate, strided):
    generator = np.random.default_rng(0)
    between = (
        [nn.Conv2d(32, 32, 3, stride=2, padding=1, generator=generator)]
        if strided
        else []
    )
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, generator=generator),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, generator=generator),
        nn.ReLU(),
        *between,
        pool,
        nn.Flatten(),
        nn.Linear(32, 10, generator=generator),
    )
    optimizer = optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    loader = data.Loader(placed(digits.train), 64, seed=0)
    for _ in range(epochs):
        for images, labels in loader:
            loss = F.cross_entropy(net(Tensor(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


def error(net, *place):
    return evaluate(net, data.Loader(placed(digits.test, *place), 100, shuffle=False))[
        1
    ]


errors = {}
for strided in (False, True):
    for name, pool, rate in (
        ("global average", nn.GlobalAvgPool2d(), 0.3),
        ("global maximum", GlobalMaxPool(), 0.05),
    ):
        net = train(pool, rate, strided)
        moved = np.mean(
            [error(net, *place) for place in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        )
        errors[name, strided] = error(net), moved
        print(f"{name}, stride {1 + strided}: {error(net):.1f} %, moved {moved:.1f} %")

# %%
# Unmoved, both nets with the stride are far better than guessing. Moved by a pixel,
# they are wrong about half the time, or more. A convolution of stride 2 computes only
# every second value of its map. Move the image by one pixel, and it computes the
# *other* ones. The pool over the whole map forgets where a value was, but it cannot
# know the values that were left out. Moved by two pixels the same values come back, one
# place further. In wider pictures, where no border disturbs, one can see it in the
# scores:

scores = [
    net(
        Tensor(placed(digits.test, 0, right, border=7).images / 255, dtype="float32")
    ).numpy()
    for right in range(3)
]
by_one, by_two = (np.abs(moved - scores[0]).max() for moved in scores[1:])
print(
    f"largest difference of a score, moved by one: {by_one:.0e}, by two: {by_two:.0e}"
)

# %%
# The same holds for a pool with a stride, if a convolution comes behind it. ResNets
# have strides of 2, too, five of them in the nets for photos. They also learn from
# random crops, which show each object in many places: exercise 4 of page :doc:`4
# <../04_linear_and_mlp>` showed what that does.
