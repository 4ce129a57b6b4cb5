"""
1. Arrays, and one code for two devices
=======================================

**You build** a linear layer and a softmax on whole arrays, and one function that runs
on a CPU and on a GPU.

**You need** Python and a little NumPy.

**It takes** less than 20 seconds on two cores to run; reading takes longer.

A network computes with arrays: images, weights and gradients are all arrays. This page
has the few facts about arrays that everything later rests on.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, nn
from minires.backend import library, to_device
from minires.errors import DeviceError
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# A batch of images
# -----------------
#
# The package brings handwritten digits, real ones. An image has three axes: channels,
# height and width. A batch of images has four, and everywhere in this project they are
# in the order
#
# .. math:: (N, C, H, W)
#
# for the number of images, channels, height and width. These images have one channel,
# grey.

digits = data.load("digits")
images, labels = digits.train.images, digits.train.labels
print(len(digits.train), "images to learn from,", len(digits.test), "to test with")
print("images:", images.shape, images.dtype)
print("labels:", labels.shape, labels.dtype)

figure, panels = plt.subplots(2, 5, figsize=(6, 2.8))
for panel, image, label in zip(panels.flat, images, labels, strict=False):
    panel.imshow(image[0])  # (1, 8, 8) -> (8, 8)
    panel.set_title(f"label {label}")
    panel.axis("off")
plt.show()

# %%
# The pixels are bytes, whole numbers from 0 to 255: one byte each, which is how images
# are kept. Networks compute with numbers with a fraction. In this project, as in most,
# those are ``float32``: four bytes, about seven digits.

x = images.astype(np.float32) / 255
print(x.dtype, x.min(), "to", x.max())

# %%
# Whole arrays instead of loops
# -----------------------------
#
# A linear layer takes a vector :math:`x` of :math:`D` numbers and gives a vector
# :math:`y` of :math:`K`:
#
# .. math:: y_k = \sum_d W_{kd} \, x_d + b_k
#
# with weights :math:`W` of shape :math:`(K, D)` and biases :math:`b` of shape
# :math:`(K)`. For a batch of :math:`N` vectors, :math:`x` has the shape :math:`(N, D)`
# and :math:`y` the shape :math:`(N, K)`. Written down as the formula says, with a loop
# for each letter:


def linear_with_loops(x, W, b):
    N, D = x.shape
    K = len(W)
    y = np.zeros((N, K), x.dtype)
    for n in range(N):
        for k in range(K):
            for d in range(D):
                y[n, k] += W[k, d] * x[n, d]
            y[n, k] += b[k]
    return y


# %%
# All the sums together are one matrix product. ``W.T`` has the shape :math:`(D, K)`:


def linear(x, W, b):
    return x @ W.T + b  # (N, D) @ (D, K) + (K) -> (N, K)


# %%
# Do both give the same result, and how long does each of them take? The random numbers
# come from a generator that we make and hand on. No hidden global state decides what
# they are: the same seed gives the same numbers, today and tomorrow.

generator = np.random.default_rng(0)
vectors = x.reshape(len(x), -1)  # (N, 1, 8, 8) -> (N, 64)
W = generator.standard_normal((10, 64), dtype=np.float32)
b = generator.standard_normal(10, dtype=np.float32)


def seconds(function, *arguments):
    """The shortest of three runs: a disturbance can only make a run longer."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


sample = vectors[:100]
np.testing.assert_allclose(
    linear(sample, W, b), linear_with_loops(sample, W, b), rtol=1e-4, atol=1e-4
)
slow, fast = seconds(linear_with_loops, sample, W, b), seconds(linear, sample, W, b)
print(f"loops: {1e3 * slow:.1f} ms, whole arrays: {1e3 * fast:.3f} ms")
print(f"{slow / fast:,.0f} times as fast")

# %%
# Python looks at every number that a loop touches: what type is it, what does ``*``
# mean for it? The matrix product asks once for the whole array, and then runs compiled
# code that uses the processor's wide registers and its cache. *Write it as operations
# on whole arrays* is the first rule of everything that follows.
#
# Why ``rtol=1e-4`` and not an exact comparison? A sum in ``float32`` is rounded after
# each addition, and the two versions add in different orders. Both are right to within
# rounding.
#
# The library's own version is called ``linear``, too, and agrees. It takes and gives a
# :class:`~minires.Tensor`, an array that remembers how it was made. That memory is the
# subject of the next page.

y = F.linear(Tensor(vectors), Tensor(W), Tensor(b))
np.testing.assert_allclose(y.numpy(), linear(vectors, W, b), rtol=1e-4, atol=1e-4)
print("the library agrees:", y.shape)

# %%
# Axes, and shapes that stretch
# -----------------------------
#
# A sum over an axis removes it. ``keepdims=True`` leaves it there with length 1:

print("sum over the classes:       ", y.numpy().sum(axis=1).shape)
print("the same with keepdims=True:", y.numpy().sum(axis=1, keepdims=True).shape)

# %%
# The second form is there for the sake of *broadcasting*: where two arrays meet, an
# axis of length 1 is stretched to the other's length, and missing axes are added in
# front. Nothing is copied for that. The bias above went from :math:`(K)` to :math:`(1,
# K)` to :math:`(N, K)` in this way.
#
# Softmax uses both. It turns :math:`K` numbers, one for each class, into :math:`K`
# probabilities:
#
# .. math:: p_k = \frac{e^{y_k}}{\sum_j e^{y_j}}
#
# Written just so, it fails for large numbers: :math:`e^{89}` is more than a ``float32``
# can hold. Subtracting the largest of the :math:`y_k` from all of them changes no
# probability, since it cancels, and leaves no exponent above 0.


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))  # (N, K) - (N, 1) -> (N, K)
    return e / e.sum(axis=1, keepdims=True)


print("the largest float32 is e to the power of", np.log(np.finfo(np.float32).max))
p = softmax(y.numpy())
print("each row adds up to 1:", np.allclose(p.sum(axis=1), 1))
print("large numbers do no harm:", softmax(np.array([[1000, 999]], np.float32)))

# %%
# What an array is
# ----------------
#
# Numbers in one row in memory, and how to walk along it: that is all. ``shape`` says
# how many numbers there are along each axis, ``strides`` how many bytes lie between one
# and the next.

block = x[:32]
print("shape:", block.shape, " strides in bytes:", block.strides)
turned = block.transpose(0, 1, 3, 2)  # height and width change places
print("turned:", turned.shape, "strides:", turned.strides)
print("the same memory:", np.shares_memory(block, turned))

# %%
# ``transpose`` has moved nothing. It gave back a *view*: the same memory, other
# strides. That is why it takes no time, and why writing to the view changes the
# original. It also makes it possible to see every window of an image without copying
# one, as an array with two more axes. Page 5 makes a convolution out of this.

windows = np.lib.stride_tricks.sliding_window_view(block, (3, 3), axis=(2, 3))
print(
    "all windows of 3 x 3:", windows.shape, "shared:", np.shares_memory(block, windows)
)

# %%
# But memory is read fastest in its own order. Both sums here add the same numbers of a
# large matrix. One walks along the rows, as they lie in memory. The other has to jump
# from row to row for each number.

side = 4_000
matrix = np.ones((side, side), np.float32)


def along_rows():
    return [row.sum() for row in matrix]


def along_columns():
    return [column.sum() for column in matrix.T]


rows, columns = seconds(along_rows), seconds(along_columns)
print(f"in memory's order: {1e3 * rows:.0f} ms, across it: {1e3 * columns:.0f} ms")

# %%
# A trap: float64 comes in unseen
# -------------------------------
#
# A Python number takes the dtype of the array beside it. A NumPy number does not: since
# NumPy 2 it brings its own, and ``np.sqrt`` gives a ``float64``. One such factor, and
# all that follows takes twice the memory, and more time.

print("x * 2 ** 0.5:  ", (x * 2**0.5).dtype)
print("x * np.sqrt(2):", (x * np.sqrt(2)).dtype)

# %%
# So constants are Python's: ``math.sqrt(2)``, not ``np.sqrt(2)``. Look at ``.dtype``
# when something is slow.
#
# One code for two devices
# ------------------------
#
# CuPy has NumPy's functions under NumPy's names, and its arrays lie on a GPU. A
# function that asks *the array* where it comes from serves both. ``library`` gives the
# module, ``np`` or ``cupy``; the rest of the function is what it was before.


def softmax_anywhere(y):
    xp = library(y)  # numpy, or cupy for an array on a GPU
    e = xp.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


np.testing.assert_array_equal(softmax_anywhere(y.numpy()), softmax(y.numpy()))
np.testing.assert_allclose(F.softmax(y).numpy(), softmax(y.numpy()), rtol=1e-5)
print(
    "ours and the library's softmax agree; the module was", library(y.numpy()).__name__
)

# %%
# The operations of the library are written in this way, and none of them knows a
# device. The few that need more than NumPy has, such as the convolution, call a kernel,
# of which there is one for each device. Moving an array is a call; nothing moves by
# itself. Where there is no GPU, the call says what is missing:

try:
    on_gpu = softmax_anywhere(to_device(y.numpy(), "cuda"))
    print("on the GPU:", np.allclose(to_device(on_gpu, "cpu"), softmax(y.numpy())))
except DeviceError as error:
    print("no GPU here:", error)

# %%
# Tensors and whole networks move with ``.to("cuda")``, as in PyTorch. All other lines
# of a program stay as they are:

device = "cpu"  # or "cuda"
layer = nn.Linear(64, 10, generator=0).to(device)
probabilities = F.softmax(layer(Tensor(vectors).to(device)))
print(probabilities.shape, "on", probabilities.device)

# %%
# Exercises
# ---------
#
# 1. Compute the mean image of each digit, an array of shape :math:`(10, 8, 8)`, and
#    draw the ten. Then do it without a loop: a matrix of shape :math:`(10, N)` times
#    the images as vectors.
# 2. One-hot labels: make the array of shape :math:`(N, 10)` with a 1 in the column of
#    each image's label, in one line, by broadcasting ``labels`` of shape :math:`(N, 1)`
#    against the ten classes.
# 3. The nearest neighbour: give each test image the label of the training image at the
#    smallest distance. Compute all distances without a loop, from :math:`|a - b|^2 =
#    |a|^2 - 2 a \cdot b + |b|^2`. What percentage is wrong?
#
# :doc:`The solutions <solutions/01_arrays_solutions>` are a program, too.
