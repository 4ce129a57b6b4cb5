"""
Solutions to 4: a linear classifier and a small MLP
===================================================

The exercises of :doc:`../04_linear_and_mlp`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, nn, optim
from minires.nn import functional as F
from minires.train import evaluate

plt.style.use("minires.plot.page")

digits = data.load("digits")
x = digits.train.images.reshape(-1, 64).astype(np.float32) / 255
x_test = digits.test.images.reshape(-1, 64).astype(np.float32) / 255
labels, labels_test = digits.train.labels, digits.test.labels
batch_size, rate = 32, 0.5


def mlp(inputs, hidden, generator):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, hidden, generator=generator),
        nn.ReLU(),
        nn.Linear(hidden, 10, generator=generator),
    )


def fit(net, split, epochs):
    optimizer = optim.SGD(net.parameters(), lr=rate)
    loader = data.Loader(split, batch_size, seed=0)
    for _ in range(epochs):
        for images, targets in loader:
            loss = F.cross_entropy(net(Tensor(images)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


def error(net, split):
    return evaluate(net, data.Loader(split, 500, shuffle=False))[1]


# %%
# 1. The MLP by hand
# ------------------
#
# Forward, with the names that backward needs again: :math:`a = x W_1^T + b_1`, then
# :math:`h = \max(a, 0)`, then :math:`y = h W_2^T + b_2`. Backward, from the last line
# to the first. :math:`g_y` is softmax minus one-hot. The second layer's gradients are
# those of the linear classifier, with :math:`h` in the place of :math:`x`. What reaches
# :math:`h` is :math:`g_h = g_y W_2`: hidden unit :math:`j` entered the score :math:`k`
# with the weight :math:`W_{2, kj}`, and the contributions of all scores add up. The
# ReLU lets it through where :math:`a` was positive, and the first layer is a linear
# layer again.


def loss_and_gradients(x, labels, W1, b1, W2, b2):
    a = x @ W1.T + b1  # (N, H)
    h = np.maximum(a, 0)
    y = h @ W2.T + b2  # (N, 10)

    rows = np.arange(len(y))
    y = y - y.max(axis=1, keepdims=True)
    log_p = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    loss = -log_p[rows, labels].mean()

    gy = np.exp(log_p)
    gy[rows, labels] -= 1
    gy /= len(y)
    ga = (gy @ W2) * (a > 0)  # (N, 10) @ (10, H) -> (N, H)
    return loss, (ga.T @ x, ga.sum(axis=0), gy.T @ h, gy.sum(axis=0))


net = mlp(64, 64, np.random.default_rng(0))
weights = [parameter.numpy().copy() for parameter in net.parameters()]
loss, gradients = loss_and_gradients(x, labels, *weights)

library_loss = F.cross_entropy(net(Tensor(x)), labels)
library_loss.backward()
np.testing.assert_allclose(loss, library_loss.item(), rtol=1e-5)
for parameter, gradient in zip(net.parameters(), gradients, strict=True):
    np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=1e-6)
print("loss and four gradients agree")

# %%
# And it learns:

epochs = 20
generator = np.random.default_rng(0)
for _ in range(epochs):
    order = generator.permutation(len(x))
    for first in range(0, len(x), batch_size):
        batch = order[first : first + batch_size]
        _, gradients = loss_and_gradients(x[batch], labels[batch], *weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= rate * gradient

W1, b1, W2, b2 = weights
guesses = (np.maximum(x_test @ W1.T + b1, 0) @ W2.T + b2).argmax(axis=1)
by_hand = 100 * (guesses != labels_test).mean()
print(f"test error {by_hand:.1f} %")

# %%
# 2. Learning by heart
# --------------------

epochs_by_heart = 300
generator = np.random.default_rng(1)
nonsense = data.Split(digits.train.images[:200], generator.integers(10, size=200))
net = fit(mlp(64, 64, generator), nonsense, epochs_by_heart)
heart_error, heart_test = error(net, nonsense), error(net, digits.test)
print(f"training error {heart_error:.0f} %, test error {heart_test:.0f} %")

# %%
# The training error reaches zero: with 64 hidden units there are weights enough to
# learn 200 labels by heart. There is nothing in these labels that could be learned
# about digits, and the test error is about that of guessing. So a training error of
# zero proves nothing about unseen images.
#
# 3. Two units are enough, but are they found?
# --------------------------------------------

generator = np.random.default_rng(0)
corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
points = np.repeat(corners, 100, axis=0)
points += 0.15 * generator.standard_normal(points.shape, dtype=np.float32)
classes = np.repeat([0, 1, 1, 0], 100)
steps = 1000
seeds = 20


def wrong_points(hidden, seed):
    generator = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Linear(2, hidden, generator=generator),
        nn.ReLU(),
        nn.Linear(hidden, 2, generator=generator),
    )
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    for _ in range(steps):
        loss = F.cross_entropy(net(Tensor(points)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 100 * (net(Tensor(points)).numpy().argmax(axis=1) != classes).mean()


successes = {}
for hidden in (2, 4, 8):
    successes[hidden] = sum(wrong_points(hidden, seed) < 5 for seed in range(seeds))
    print(f"{hidden} hidden units: found from {successes[hidden]} of {seeds} seeds")

# %%
# That a net *can* compute a function does not mean that gradient descent finds it. With
# two units both have to start in a good place: a ReLU that is 0 for all points has no
# gradient and never comes back, and two that bend along useless lines can be stuck
# there. With more units than needed some of them start well. Page :doc:`9
# <../09_plain_nets>` meets the same distinction in deep networks.
#
# 4. Show it every place
# ----------------------


def placed(split, down=0, right=0):
    """In 12 x 12 pixels, off the middle: (N, 1, 8, 8) -> (N, 1, 12, 12)."""
    rows, columns = (2 + down, 2 - down), (2 + right, 2 - right)
    return data.Split(
        np.pad(split.images, ((0, 0), (0, 0), rows, columns)), split.labels
    )


places = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
copies = [placed(digits.train, *place) for place in places]
everywhere = data.Split(
    np.concatenate([copy.images for copy in copies]),
    np.concatenate([copy.labels for copy in copies]),
)

passes = 6
nets = {
    "unmoved": fit(
        mlp(144, 64, np.random.default_rng(0)), placed(digits.train), 9 * passes
    ),
    "nine places": fit(mlp(144, 64, np.random.default_rng(0)), everywhere, passes),
}
errors = {}
for name, net in nets.items():
    middle = error(net, placed(digits.test))
    by_one = np.mean(
        [error(net, placed(digits.test, *place)) for place in places if any(place)]
    )
    by_two = error(net, placed(digits.test, 2, 0))
    errors[name] = middle, by_one, by_two
    print(
        f"{name}: middle {middle:.0f} %, by one {by_one:.0f} %, by two {by_two:.0f} %"
    )

# %%
# It works for the places that were shown, in the same number of steps. For the place
# two pixels down, which was not shown, it does not: the error there is still several
# times as large. This is *augmentation*, training on changed copies, and page :doc:`11
# <../11_resnet20_on_cifar>` uses it, too. But an MLP has to be shown every place, while
# a convolution needs to see a pattern only once.
