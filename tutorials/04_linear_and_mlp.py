"""
4. A linear classifier and a small MLP
======================================

**You build** a classifier of handwritten digits with gradients by hand, then one with a
hidden layer, and see what each of them cannot do.

**You need** pages :doc:`1 <01_arrays>` and :doc:`2 <02_autograd>`. The digits come with
the package.

**It takes** less than 60 seconds on two cores to run; reading takes longer.

This page builds two networks that see an image as a plain row of numbers. They are
small enough to understand to the last weight, and everything around them stays the same
for the deep ones: the loss, the loop, the difference between training error and test
error. At the end the better one fails at something easy, and the reason leads to the
convolution.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, nn, no_grad, optim
from minires.lab import shift_experiment
from minires.nn import functional as F
from minires.train import evaluate

plt.style.use("minires.plot.page")

digits = data.load("digits")
x = digits.train.images.reshape(-1, 64).astype(np.float32) / 255  # (N, 64)
labels = digits.train.labels  # (N)
x_test = digits.test.images.reshape(-1, 64).astype(np.float32) / 255
labels_test = digits.test.labels
print("to learn from:", x.shape, " to test with:", x_test.shape)

# %%
# Scores
# ------
#
# A linear classifier computes one number for each class, its *score*:
#
# .. math:: y_k = \sum_d W_{kd} \, x_d + b_k
#
# The class with the largest score is the guess. For ten classes and 64 pixels,
# :math:`W` has the shape :math:`(10, 64)` and :math:`b` the shape :math:`(10)`. How
# wrong the guesses are on a set of images is the *error*, in percent:


def error(y, labels):
    return 100 * (y.argmax(axis=1) != labels).mean()


# %%
# We want the error to be small. But it has no slope to follow: move a weight by very
# little and no guess changes, so the error's gradient is zero almost everywhere. We
# need a quantity that says how much better or worse the scores have become while the
# guess is still the same.
#
# From the likelihood to a loss
# -----------------------------
#
# Softmax, from page 1, turns the scores of an image into probabilities :math:`p_k`.
# Read :math:`p_k` as the probability that the classifier gives to class :math:`k`. If
# the images are independent of each other, the probability that it gives to all
# training labels :math:`t_n` together, their *likelihood*, is a product:
#
# .. math:: \prod_{n=1}^{N} p_{n, t_n}
#
# Good weights make the likelihood large. But as a number it is useless. A classifier of
# ten classes that knows nothing gives each label the probability 0.1, and this is what
# a ``float64`` makes of the product:

print("0.1 to the power of the number of images:", 0.1 ** len(x))

# %%
# It is too small to be told from zero. The logarithm of a product is a sum, and it
# grows exactly when its argument grows. So the largest likelihood, the largest sum of
# :math:`\log p` and the smallest *mean of* :math:`-\log p` belong to the same weights.
# This last one is the *cross-entropy*:
#
# .. math:: L = \frac{1}{N} \sum_{n} L_n, \qquad L_n = -\log p_{n, t_n}
#
# With softmax put in, for one image, and its index :math:`n` left out:
#
# .. math:: L = -\log \frac{e^{y_t}}{\sum_j e^{y_j}} = \log \sum_j e^{y_j} - y_t
#
# Now its gradient. The derivative of the first term with respect to :math:`y_k` is, by
# the chain rule for the logarithm,
#
# .. math:: \frac{\partial}{\partial y_k} \log \sum_j e^{y_j}
#    = \frac{e^{y_k}}{\sum_j e^{y_j}} = p_k
#
# and the second term, :math:`y_t`, has the derivative 1 for :math:`k = t` and 0 for all
# other :math:`k`. Together:
#
# .. math:: \frac{\partial L}{\partial y_k} = p_k - [k = t]
#
# where :math:`[k = t]` is 1 for the true class and 0 elsewhere. *Softmax minus
# one-hot*: what the classifier said, less what it should have said. Both vectors add up
# to 1, so the gradient adds up to 0. If a step raises some scores, it lowers others by
# as much.

scores, truth = np.array([1.0, 2.5, 0.3]), 0
p = np.exp(scores) / np.exp(scores).sum()
gradient = p - (np.arange(3) == truth)

figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3))
probabilities = np.linspace(0.01, 1, 200)
left.plot(probabilities, -np.log(probabilities))
left.plot(p[truth], -np.log(p[truth]), "o", color="C1", markersize=8)
left.set_xlabel("probability of the true class")
left.set_ylabel("loss")
right.bar(np.arange(3) - 0.2, p, 0.4, label="$p$")
right.bar(np.arange(3) + 0.2, gradient, 0.4, label="$p$ - one-hot", color="C1")
right.axhline(0, color="black", linewidth=0.8)
right.set_xticks(range(3), ["0 (true)", "1", "2"])
right.set_xlabel("class")
right.set_ylim(-1.05, 1.35)
right.legend(loc="upper right", fontsize=10)
plt.show()

# %%
# On the left, the loss: it has no upper limit, so a confident error is punished far
# more than doubt. On the right an image with three scores, the dot of the left figure.
# Its true class is 0, but class 1 got most of the probability. A step goes *against*
# the gradient: it raises the score of class 0, and lowers the others, each in
# proportion to its probability. When the probabilities are right, nothing is left to
# do.
#
# In code, for all :math:`N` images together. The logarithm is taken of the sum, not of
# :math:`p`: a probability too small for a ``float32`` would be rounded to 0, with a
# logarithm of minus infinity.


def cross_entropy(y, labels):
    """The mean loss, a number, and its gradient with respect to y: (N, K) -> (N, K)."""
    rows = np.arange(len(y))
    y = y - y.max(axis=1, keepdims=True)
    log_p = y - np.log(np.exp(y).sum(axis=1, keepdims=True))  # (N, K) - (N, 1)
    loss = -log_p[rows, labels].mean()
    gy = np.exp(log_p)
    gy[rows, labels] -= 1
    return loss, gy / len(y)


# %%
# ``gy / len(y)`` because the loss is a mean: each image has one :math:`N`-th of it. The
# library's :func:`~minires.nn.functional.cross_entropy` finds the same gradient:

generator = np.random.default_rng(0)
y = Tensor(3 * generator.standard_normal((5, 10)), requires_grad=True)
random_labels = generator.integers(10, size=5)

F.cross_entropy(y, random_labels).backward()
loss, gy = cross_entropy(y.numpy(), random_labels)
np.testing.assert_allclose(F.cross_entropy(y, random_labels).item(), loss)
np.testing.assert_allclose(y.grad.numpy(), gy, atol=1e-12)
print("loss and gradient agree; the rows' sums:", np.abs(gy.sum(axis=1)).max())

# %%
# From the scores to the weights
# ------------------------------
#
# :math:`W_{kd}` enters the score :math:`y_{nk}` of every image, multiplied by the pixel
# :math:`x_{nd}`. So, with :math:`g_{nk} = \partial L / \partial y_{nk}`,
#
# .. math:: \frac{\partial L}{\partial W_{kd}} = \sum_n g_{nk} \, x_{nd}, \qquad
#    \frac{\partial L}{\partial b_k} = \sum_n g_{nk}
#
# The first is a matrix product: :math:`g^T x`, of shape :math:`(K, N)` times :math:`(N,
# D)`, which is :math:`(K, D)` as :math:`W` is. A step of gradient descent moves
# everything against its gradient, by a *learning rate* times as much:

rate = 0.5


def step_by_hand(W, b, x, labels):
    """One step, in place. Returns the loss before it."""
    loss, gy = cross_entropy(x @ W.T + b, labels)
    W -= rate * gy.T @ x
    b -= rate * gy.sum(axis=0)
    return loss


# %%
# Read the update of one row of :math:`W`: the images themselves are added to it. Each
# image is added to the row of its own class, since :math:`p_t - 1` is negative, and
# subtracted from the rows of the others, in proportion to the probability that they
# wrongly got. That is all that a linear classifier ever does: it adds up images.
#
# One step could use all images. Instead each uses a few, a *batch*, drawn anew: the
# mean over 32 images points roughly where the mean over all of them points, and costs a
# small part. After as many batches as it takes to see each image once, an *epoch* is
# over.

epochs = 40
batch_size = 32
W, b = np.zeros((10, 64), np.float32), np.zeros(10, np.float32)

generator = np.random.default_rng(0)
losses = []
for _ in range(epochs):
    order = generator.permutation(len(x))
    for first in range(0, len(x), batch_size):
        batch = order[first : first + batch_size]
        losses.append(step_by_hand(W, b, x[batch], labels[batch]))

print(f"loss of the first batch: {losses[0]:.4f}; log 10 = {np.log(10):.4f}")
train_error, test_error = (
    error(x @ W.T + b, labels),
    error(x_test @ W.T + b, labels_test),
)
print(f"training error {train_error:.1f} %, test error {test_error:.1f} %")

# %%
# The first loss is known in advance. With all weights zero, each class gets the
# probability 1/10, and :math:`-\log (1/10) = \log 10`. A first loss that is something
# else is the cheapest sign of a mistake.
#
# What it has learned can be looked at. Each row of :math:`W` has one weight for each
# pixel, so it is an image, too: a *template*. Ink on red speaks for the class, ink on
# blue against it.

limit = np.abs(W).max()
figure, panels = plt.subplots(2, 5, figsize=(6.4, 3))
for digit, panel in enumerate(panels.flat):
    panel.imshow(W[digit].reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
    panel.set_title(f"for {digit}")
    panel.axis("off")
plt.show()

# %%
# The 0 wants ink around and none in the middle. No template is a picture of its digit:
# it shows what tells the digit apart from the other nine. A pixel that is 0 in every
# training image never has a gradient, and its weights stay white. And since the
# gradient of each step adds up to zero over the classes, so do the ten templates, to
# within rounding:

print(f"largest sum over the classes: {np.abs(W.sum(axis=0)).max():.0e}")
print(f"largest weight: {limit:.1f}")

# %%
# The same with the library
# -------------------------
#
# :class:`~minires.nn.Linear` holds the weights, :class:`~minires.data.Loader` makes
# shuffled batches with pixels from 0 to 1, ``backward()`` finds the gradients and
# :class:`~minires.optim.SGD` takes the step; its name is short for *stochastic gradient
# descent*, since chance draws the batches. The step by hand goes along with the same
# weights and the same batches:

net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, generator=0))
loader = data.Loader(digits.train, batch_size, seed=0)
optimizer = optim.SGD(net.parameters(), lr=rate)
W_hand, b_hand = net[1].weight.numpy().copy(), net[1].bias.numpy().copy()

loss_gaps = []
for images, targets in loader:  # (32, 1, 8, 8) and (32)
    loss = F.cross_entropy(net(Tensor(images)), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    vectors = images.reshape(len(images), 64)
    loss_gaps.append(abs(loss.item() - step_by_hand(W_hand, b_hand, vectors, targets)))

print(f"losses of {len(loss_gaps)} steps, largest difference: {max(loss_gaps)}")
np.testing.assert_allclose(net[1].weight.numpy(), W_hand, atol=1e-5)

# %%
# The four lines from ``loss`` to ``step()`` train everything up to a ResNet.
# ``zero_grad()`` is among them because ``backward()`` *adds* to the gradients that are
# already there.
#
# What a linear classifier cannot do
# ----------------------------------
#
# Take two inputs and the question whether exactly one of them is large: *exclusive or*.
# The corners :math:`(0, 1)` and :math:`(1, 0)` are one class, :math:`(0, 0)` and
# :math:`(1, 1)` the other. For two classes only the difference of the two scores
# counts, and that is linear again: :math:`s(x) = w_1 x_1 + w_2 x_2 + b`. It should be
# positive at the first two corners and negative at the other two. But
#
# .. math:: s(0, 1) + s(1, 0) = w_1 + w_2 + 2b = s(0, 0) + s(1, 1)
#
# and a positive number is not a negative one. No weights do it: at least one corner is
# on the wrong side.
#
# A hidden layer can. It computes new numbers :math:`h` from :math:`x`, and the
# classifier looks at those. Two are enough here:
#
# .. math::
#
#    h_1 &= \max(x_1 + x_2, 0) \\
#    h_2 &= \max(x_1 + x_2 - 1, 0) \\
#    s &= h_1 - 2 h_2 - \tfrac{1}{2}

corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
W1, b1 = np.array([[1, 1], [1, 1]]), np.array([0, -1])
w2, b2 = np.array([1, -2]), -0.5
h = np.maximum(corners @ W1.T + b1, 0)
for corner, hidden, s in zip(corners, h, h @ w2 + b2, strict=True):
    print(f"x = {corner}  h = {hidden}  s = {s:+.1f}")

# %%
# The hidden layer has *moved* the corners, to where a straight line can part them:

exactly_one = np.array([False, True, True, False])
span = np.array([-0.4, 2.4])
figure, (left, right) = plt.subplots(
    1, 2, figsize=(6.4, 2.9), sharey=True, width_ratios=(2.2, 2.8)
)
for axes, places in ((left, corners), (right, h)):
    axes.plot(*places[~exactly_one].T, "o", color="C0", markersize=13)
    axes.plot(*places[exactly_one].T, "s", color="C1", markersize=12)
    axes.set_aspect("equal")
right.plot(span, (span + b2) / 2, color="black")
right.annotate("$s = 0$", (1.75, 0.5), ha="center", va="top")
right.annotate("both (0, 1)\nand (1, 0)", (1, -0.1), ha="center", va="top", fontsize=10)
left.set(xlim=(-0.6, 1.6), ylim=(-0.8, 1.4), xlabel="$x_1$", ylabel="$x_2$")
right.set(xlim=span, xlabel="$h_1$", ylabel="$h_2$")
plt.show()

# %%
# All depends on the maximum, the *ReLU*. Without it the two layers are :math:`W_2 (W_1
# x + b_1) + b_2 = (W_2 W_1) x + (W_2 b_1 + b_2)`, one linear layer written in a
# roundabout way. Stacking linear layers adds nothing.
#
# Those weights need not be chosen by hand. Around each corner we draw a hundred points,
# and let both classifiers learn:

generator = np.random.default_rng(1)
points = np.repeat(corners, 100, axis=0)
points += 0.15 * generator.standard_normal(points.shape, dtype=np.float32)
classes = np.repeat([0, 1, 1, 0], 100)
steps = 1000


def fit_points(net):
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    for _ in range(steps):
        loss = F.cross_entropy(net(Tensor(points)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


linear_net = fit_points(nn.Linear(2, 2, generator=generator))
hidden_net = fit_points(
    nn.Sequential(
        nn.Linear(2, 8, generator=generator),
        nn.ReLU(),
        nn.Linear(8, 2, generator=generator),
    )
)

side = np.linspace(-0.6, 1.6, 221, dtype=np.float32)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (221 * 221, 2)
xor_errors = []
figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.3), sharey=True)
for panel, name, net in zip(
    panels, ("linear", "8 hidden units"), (linear_net, hidden_net), strict=True
):
    xor_errors.append(error(net(Tensor(points)).numpy(), classes))
    guess = net(Tensor(grid)).numpy().argmax(axis=1).reshape(221, 221)
    panel.contourf(side, side, guess, levels=1, colors=["#cfe3f2", "#f6dcc8"])
    panel.plot(*points[classes == 0].T, "o", color="C0", markersize=3)
    panel.plot(*points[classes == 1].T, "s", color="C1", markersize=3)
    panel.set(
        title=f"{name}: {xor_errors[-1]:.0f} % wrong", xlabel="$x_1$", aspect="equal"
    )
    panel.grid(False)
panels[0].set_ylabel("$x_2$")
plt.show()

# %%
# A line with a single corner on its wrong side would have fewer errors. But at that
# corner it would be sure and wrong, which cross-entropy punishes. The trained one gives
# both classes about the same probability at every point.
#
# Each hidden unit has a line of its own, along which its ReLU bends, and the border
# between the classes can bend only where it crosses one of these lines. Such a net is a
# *multilayer perceptron*, MLP for short: linear layers with something nonlinear between
# them.
#
# A trap: hidden layers must not start at zero
# --------------------------------------------
#
# The linear classifier started with all weights zero. Let an MLP do so, and look at its
# gradients:


def mlp(inputs, hidden=64, generator=0):
    generator = np.random.default_rng(generator)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, hidden, generator=generator),
        nn.ReLU(),
        nn.Linear(hidden, 10, generator=generator),
    )


stuck = mlp(64)
for parameter in stuck.parameters():
    parameter.data[...] = 0
F.cross_entropy(stuck(Tensor(x)), labels).backward()
for name, parameter in stuck.named_parameters():
    print(f"{name:9}", "largest gradient:", abs(parameter.grad.numpy()).max())

# %%
# Only the last bias can move. The hidden values are zero, so the second layer's weights
# get no gradient; those weights are zero, so nothing comes back through them to the
# first layer. A step changes none of this. Equal weights other than zero are hardly
# better: hidden units with equal weights get equal gradients, and stay equal forever.
# So weights start as random numbers. How large these should be is a subject of page
# :doc:`8 <08_training>`.
#
# The MLP on the digits
# ---------------------
#
# 64 hidden units, and the loop from above. After each epoch
# :func:`~minires.train.evaluate` measures the loss and the error, on all training
# images and on all test images:


def fit(net, split, epochs, test=digits.test, seed=0):
    """Train. Returns training and test error (%) after each epoch: (epochs, 2)."""
    optimizer = optim.SGD(net.parameters(), lr=rate)
    loader = data.Loader(split, batch_size, seed=seed)
    loaders = [data.Loader(part, 500, shuffle=False) for part in (split, test)]
    errors = []
    for _ in range(epochs):
        for images, targets in loader:
            loss = F.cross_entropy(net(Tensor(images)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors.append([evaluate(net, part)[1] for part in loaders])
    return np.array(errors)


linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, generator=0))
net = mlp(64)
curves = {
    "linear": fit(linear, digits.train, epochs),
    "MLP": fit(net, digits.train, epochs),
}

figure, axes = plt.subplots()
for color, (name, errors) in zip(("C0", "C1"), curves.items(), strict=True):
    for kind, style, values in zip(
        ("training", "test"), ("--", "-"), errors.T, strict=True
    ):
        axes.plot(
            np.arange(epochs) + 1, values, style, color=color, label=f"{name}, {kind}"
        )
    print(f"{name}: training {errors[-1, 0]:.1f} %, test {errors[-1, 1]:.1f} %")
axes.set(xlabel="epoch", ylabel="error (%)", ylim=(0, 20))
axes.legend(ncols=2)
plt.show()

# %%
# The hidden layer brings the *training* error to zero. The *test* error stays well
# above it, for both. These two numbers answer two questions:
#
# - The training error says whether the network can fit what it is shown. If that stays
#   large, the network is too small, or the optimization fails. Page :doc:`9
#   <09_plain_nets>` has a case of the second kind.
# - The test error says what to expect on images it has never seen. The gap between them
#   is *overfitting*: fitting what is particular to these images and not common to all
#   digits.
#
# The test images must take no part in learning. This holds for our choices, too: if you
# pick the epoch, the learning rate or the width by the test error, you have learned
# from the test images, and the error is no longer that on unseen images. Choices are
# made on a third part, held back from the training images for *validation*.
#
# More images make the gap smaller. Here the same MLP learns from the first few images
# only, in about as many steps each time:

counts = (50, 100, 200, 400, 800, 1437)
few_errors = []
for count in counts:
    more_epochs = epochs * len(x) // count
    few_errors.append(fit(mlp(64), digits.train.take(count), more_epochs)[-1])
few_errors = np.array(few_errors)  # (6, 2)

figure, axes = plt.subplots()
axes.plot(counts, few_errors[:, 1], "o-", color="C1", label="test")
axes.plot(counts, few_errors[:, 0], "o--", color="C1", label="training")
axes.fill_between(counts, *few_errors.T, color="C1", alpha=0.12)
axes.annotate("the gap", (110, few_errors[1].mean()), fontsize=12)
axes.set_xscale("log")
axes.set_xticks(counts, counts)
axes.minorticks_off()
axes.set(xlabel="training images", ylabel="error (%)")
axes.legend()
plt.show()

# %%
# The training error is zero, or nearly so, in each case, and so says nothing about the
# test error. The test error falls to less than half from the smallest set to the
# largest.
#
# Where is it wrong?
# ------------------
#
# An error of so many percent is a number. Looking at the errors is better. The
# *confusion matrix* counts how often an image of class :math:`i` (row) was taken for
# :math:`j` (column):

with no_grad():
    guesses = net(Tensor(x_test)).numpy().argmax(axis=1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (labels_test, guesses), 1)

centred = {"ha": "center", "va": "center"}
wrong = np.flatnonzero(guesses != labels_test)
figure = plt.figure(figsize=(6.4, 7.4))
above, below = figure.subfigures(2, 1, height_ratios=[2.3, 1])
axes = above.subplots()
axes.imshow(np.where(np.eye(10, dtype=bool), 0, confusion), cmap="Oranges", vmax=12)
for i, j in np.argwhere(confusion):
    color = "0.5" if i == j else "black"
    axes.text(j, i, confusion[i, j], color=color, **centred)
axes.set(xticks=range(10), yticks=range(10), xlabel="guess", ylabel="label")
axes.grid(False)
for panel, i in zip(below.subplots(2, 6).flat, wrong, strict=False):
    panel.imshow(digits.test.images[i, 0])
    panel.set_title(f"{labels_test[i]} as {guesses[i]}", fontsize=10)
for panel in below.axes:
    panel.axis("off")
plt.show()

# %%
# Some are hard to read at 8 x 8 pixels. And most of the test digits were written by
# other people than the training digits, which makes the test harder, and more honest.
#
# Move the image by a pixel
# -------------------------
#
# The digits fill their 8 x 8 pixels, so a shift would cut something off. We put them
# into the middle of 12 x 12 pixels: then two pixels in each direction are free, and a
# shift loses nothing. An MLP learns from those, unmoved, and is tested on moved ones.

BORDER = 2


def bordered(images, down=0, right=0):
    """In 12 x 12 pixels, off the middle: (N, 1, 8, 8) -> (N, 1, 12, 12)."""
    rows, columns = (BORDER + down, BORDER - down), (BORDER + right, BORDER - right)
    return np.pad(images, ((0, 0), (0, 0), rows, columns))


middle = [
    data.Split(bordered(part.images), part.labels)
    for part in (digits.train, digits.test)
]
net = mlp(144)
fit(net, middle[0], epochs, test=middle[1])

offsets = range(-BORDER, BORDER + 1)
table = np.zeros((5, 5))
for down in offsets:
    for right in offsets:
        moved = data.Split(bordered(digits.test.images, down, right), labels_test)
        table[BORDER + down, BORDER + right] = evaluate(
            net, data.Loader(moved, 500, shuffle=False)
        )[1]

figure, axes = plt.subplots(figsize=(5, 4.4))
axes.imshow(table, cmap="Oranges", vmin=0, vmax=100, extent=(-2.5, 2.5, 2.5, -2.5))
for (down, right), percent in np.ndenumerate(table):
    color = "white" if percent > 60 else "black"
    axes.text(right - 2, down - 2, f"{percent:.0f} %", color=color, **centred)
axes.set(xlabel="shift to the right (pixels)", ylabel="shift down (pixels)")
axes.grid(False)
plt.show()

# %%
# The middle is the error on the test images as they are, close to the one before. Each
# other field is the error on the same images, moved. One pixel up, down, left or right
# is enough to make about half of the guesses wrong. Two pixels, and the network might
# as well guess at random, which is wrong nine times in ten. Here is one image that is
# guessed right in the middle:

shifts = {
    "middle": (0, 0),
    "right": (0, 1),
    "down": (1, 0),
    "left": (0, -1),
    "up": (-1, 0),
}
guesses = []
for down, right in shifts.values():
    moved = bordered(digits.test.images, down, right) / 255
    with no_grad():
        guesses.append(net(Tensor(moved, dtype="float32")).numpy().argmax(axis=1))
guesses = np.array(guesses)  # (5, N)
wrong_shifts = (guesses[0] == labels_test) * (guesses[1:] != labels_test).sum(axis=0)
example = wrong_shifts.argmax()  # the first one with as many wrong guesses as possible

figure, panels = plt.subplots(1, 5, figsize=(6.4, 1.9))
for panel, direction, guess in zip(panels, shifts, guesses[:, example], strict=True):
    panel.imshow(bordered(digits.test.images[[example]], *shifts[direction])[0, 0])
    panel.set_title(f"guess: {guess}")
    panel.set(xlabel=direction, xticks=[], yticks=[])
plt.show()

# %%
# Why? To a linear layer an image is a point in a space of 144 dimensions, one for each
# pixel, and it does not know which pixels are neighbours. Shuffle the pixels of all
# images in the same way, and it learns just as well. So "almost the same image" means
# one thing to us, and another to it. Measure it: how far is each test image from itself
# moved by one pixel, and how far from the nearest training image *of another digit*?

a = bordered(digits.test.images).reshape(-1, 144) / 255
c = bordered(digits.test.images, right=1).reshape(-1, 144) / 255
t = middle[0].images.reshape(-1, 144) / 255
to_itself = np.sqrt(((a - c) ** 2).sum(axis=1))
squared = (a**2).sum(axis=1)[:, None] - 2 * a @ t.T + (t**2).sum(axis=1)  # (360, 1437)
squared[labels_test[:, None] == labels] = np.inf  # not of the same digit
to_another = np.sqrt(squared.min(axis=1))
farther = 100 * (to_itself > to_another).mean()
print(f"{farther:.0f} % are farther from themselves, moved, than from some other digit")

# %%
# A weight of the first layer belongs to one pixel, and what it has learned serves for
# that pixel only. To be right everywhere, an MLP has to be shown every digit in every
# place, and to learn it in each place anew; exercise 4 tries that.
#
# What a convolution will change
# ------------------------------
#
# The cure is to use the same few weights at every place of the image: a convolution,
# page :doc:`5 <05_convolution>`. Then a digit that moves gives values that move along,
# and a maximum over all places, page :doc:`6 <06_pooling>`, does not see the
# difference. The library has the whole experiment, with an MLP of 32 hidden units and a
# convolutional net of about as many parameters. At the command line it is ``minires
# shift``; in Python, :func:`~minires.lab.shift_experiment`:

shift_epochs = 15
with tempfile.TemporaryDirectory() as folder:
    results = shift_experiment(folder, epochs=shift_epochs)
print(results["found"])

figure, axes = plt.subplots(figsize=(6.4, 3.2))
for result, name, marker in zip(
    results["nets"].values(), ("MLP", "convolutional net"), "os", strict=True
):
    label = f"{name}, {result['parameters']:,} parameters"
    axes.plot(results["shifts"], result["test_error"], marker=marker, label=label)
axes.set(xlabel="shift (pixels)", ylabel="test error (%)", ylim=(0, 100))
axes.set_xticks(results["shifts"])
axes.legend()
plt.show()

# %%
# The convolutional net is not perfect. Where its error grows with the shift, the border
# is the cause; page :doc:`6 <06_pooling>` looks at that.
#
# Exercises
# ---------
#
# 1. *The MLP by hand.* Write a function that takes ``x``, ``labels``, ``W1``, ``b1``,
#    ``W2``, ``b2`` and returns the loss and the four gradients, with NumPy only. Check
#    them against the library's, then train with it.
# 2. *Learning by heart.* Give the first 200 training images random labels. Does the MLP
#    reach a training error of zero? What is its test error, and what does that say
#    about the training error?
# 3. *Two units are enough, but are they found?* The exclusive or can be computed with
#    two hidden units. Train from 20 seeds each with 2, 4 and 8 hidden units, and count
#    how often a net gets more than 95 % of the points right.
# 4. *Show it every place.* Train the MLP of 12 x 12 pixels on digits moved by up to one
#    pixel in each direction, nine copies of each. What happens to the test error on
#    moved digits, and on unmoved ones?
#
# :doc:`The solutions <solutions/04_linear_and_mlp_solutions>` are a program, too.
