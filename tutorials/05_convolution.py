"""
5. Convolution by hand
======================

**You build** a convolution with loops, then as one matrix product, its three gradients,
and a small convolutional net.

**You need** :doc:`02_autograd`, :doc:`03_gradient_check` and :doc:`04_linear_and_mlp`.

**It takes** less than 90 seconds on two cores to run; reading takes longer.

In an MLP every weight of the first layer belongs to one pixel. Move the digit by a
pixel, and each weight meets another part of it: what was learned at one place helps
nowhere else. A convolution looks at a small window at a time and uses the same few
weights at every place of the image.
"""

import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from minires import Function, Tensor, data, gradcheck, nn, no_grad, optim
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# The formula
# -----------
#
# A filter is a small array of weights. It is laid over the image, its weights are
# multiplied with the pixels below it, and the sum is one output. Then it moves on. With
# :math:`C` input channels and :math:`O` filters, each as deep as the image,
#
# .. math::
#    y_{nopq} = b_o + \sum_{c,i,j} W_{ocij} \; x_{n,\,c,\,sp+i,\,sq+j}
#
# for image :math:`n`, filter :math:`o` and the place :math:`(p, q)`. The letters
# :math:`i` and :math:`j` run over the :math:`K_H \times K_W` places of the window,
# :math:`s` is the *stride*, by how many pixels the window moves, and :math:`x` has a
# border of zeros around it, the *padding*. Note that the sum runs over the channels,
# too: a filter makes one map out of all of them, not one of each.
#
# Mathematicians call this a cross-correlation. In their convolution the filter is
# turned by half a turn first. Where the weights are learned both can express the same,
# and every deep-learning library means this formula when it says convolution.
#
# The same :math:`W` serves every place :math:`(p, q)`. How much does that save? Compare
# a layer that takes 16 channels of 32 x 32 pixels to as many, once with a weight
# between any two numbers, once with windows of 3 x 3:

print(f"linear:      {(16 * 32 * 32) ** 2:>11,} weights")
print(f"convolution: {16 * 16 * 3 * 3:>11,} weights")

# %%
# How many places are there? Let the padded height be :math:`H + 2P`. The window in
# place :math:`p` covers the rows :math:`sp` to :math:`sp + K_H - 1`, and the last one
# must end inside: :math:`sp + K_H \le H + 2P`. The places start at 0, so there are
#
# .. math:: O_H = \left\lfloor \frac{H + 2P - K_H}{s} \right\rfloor + 1
#
# and likewise for the width.


def output_size(size, kernel, stride, padding):
    """(H, W), (KH, KW) -> (OH, OW)"""
    return tuple(
        (n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel, strict=True)
    )


for stride, padding in ((1, 0), (1, 1), (2, 1)):
    OH, OW = output_size((32, 32), (3, 3), stride, padding)
    print(f"32 x 32 pixels, stride {stride}, padding {padding}: {OH} x {OW}")

# %%
# A window of 3 x 3 with padding 1 and stride 1 leaves the size as it is. With stride 2
# it halves an even one. Nearly all networks of this project are made of these two.
#
# With loops
# ----------
#
# One loop for each letter:


def padded(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def conv_loops(x, W, b, stride=1, padding=0):
    (N, C, *size), (O, _, KH, KW) = x.shape, W.shape
    OH, OW = output_size(size, (KH, KW), stride, padding)
    x = padded(x, padding)
    y = np.zeros((N, O, OH, OW), x.dtype)
    for n in range(N):
        for o in range(O):
            for p in range(OH):
                for q in range(OW):
                    y[n, o, p, q] = b[o]
                    for c in range(C):
                        for i in range(KH):
                            for j in range(KW):
                                pixel = x[n, c, stride * p + i, stride * q + j]
                                y[n, o, p, q] += W[o, c, i, j] * pixel
    return y


# %%
# The library's version is :func:`~minires.nn.functional.conv2d`. Do both agree, for
# several strides and paddings?

generator = np.random.default_rng(0)
x = generator.standard_normal((2, 3, 7, 6))
W = generator.standard_normal((4, 3, 3, 3))
b = generator.standard_normal(4)


def library_conv(x, W, b, stride=1, padding=0):
    return F.conv2d(Tensor(x), Tensor(W), Tensor(b), stride, padding).numpy()


cases = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)]  # stride, padding
for stride, padding in cases:
    y = conv_loops(x, W, b, stride, padding)
    np.testing.assert_allclose(y, library_conv(x, W, b, stride, padding), atol=1e-12)
    print(f"stride {stride}, padding {padding}: {x.shape} -> {y.shape}, they agree")

# %%
# Every window becomes a row: im2col
# ----------------------------------
#
# Page 1 turned the loops of a linear layer into one matrix product. Here, too: each
# output is the product of two rows of numbers, the pixels of one window and the weights
# of one filter. Write every window as a row, and the rows of all windows are a matrix.
# In the figure the pixels are numbered, so that you can see where each of them goes.

image = np.arange(1, 17).reshape(4, 4)
kernel = np.array([[1, 0, 0], [0, 2, 0], [0, 0, -1]])
windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))  # (2, 2, 3, 3)
rows = windows.reshape(4, 9)
products = rows @ kernel.reshape(9)

PAPER, PIXEL, WEIGHT, RESULT = "white", "#FBD3B4", "#CFE5F4", "#BFE8D8"


def draw_cells(axes, numbers, left, top, title, color):
    """The numbers of a matrix in cells; `color(i, j)` is what a cell is filled with."""
    for (i, j), number in np.ndenumerate(numbers):
        corner = (left + j, top - i - 1)
        cell = plt.Rectangle(corner, 1, 1, facecolor=color(i, j), edgecolor="0.55")
        axes.add_patch(cell)
        text = f"{number}".replace("-", "\N{MINUS SIGN}")
        axes.text(left + j + 0.5, top - i - 0.55, text, ha="center", va="center")
    axes.text(left, top + 0.25, title, ha="left", va="bottom")


def draw_picture(in_image, in_rows, in_result):
    """Above the image, the filter and the output; below the same as a product."""
    _, axes = plt.subplots(figsize=(6.4, 7))
    axes.set(xlim=(-0.1, 13.1), ylim=(-10.3, 5), aspect="equal")
    axes.axis("off")
    draw_cells(axes, image, 0, 4, "image, 4 x 4", in_image)
    draw_cells(axes, kernel, 5.5, 3.5, "filter, 3 x 3", lambda i, j: WEIGHT)
    y = products.reshape(2, 2)
    draw_cells(axes, y, 10, 3, "output, 2 x 2", lambda i, j: in_result(2 * i + j))
    draw_cells(axes, rows, 0, -3.5, "columns, 4 x 9: one row per window", in_rows)
    draw_cells(axes, kernel.reshape(9, 1), 10, -1, "filter", lambda i, j: WEIGHT)
    y = products.reshape(4, 1)
    draw_cells(axes, y, 12, -3.5, "output", lambda i, j: in_result(i))
    for sign, place in (("*", (4.75, 1.8)), ("=", (9.25, 1.95))):
        axes.text(*place, sign, ha="center", va="center", fontsize=15)
    for sign, place in (("@", (9.5, -5.5)), ("=", (11.5, -5.5))):
        axes.text(*place, sign, ha="center", va="center", fontsize=15)
    plt.show()


P, Q = 0, 1  # the place of one window
draw_picture(
    lambda i, j: PIXEL if P <= i < P + 3 and Q <= j < Q + 3 else PAPER,
    lambda i, j: PIXEL if i == 2 * P + Q else PAPER,
    lambda i: RESULT if i == 2 * P + Q else PAPER,
)

# %%
# The window at place (0, 1) is coloured, with its row and its output. The filter is
# written as a column. The name im2col, "image to columns", comes from libraries that
# store the matrix the other way round, one *column* per window; this library does, too.
#
# With several channels, a window has :math:`C K_H K_W` numbers. With several images,
# their windows follow each other. With several filters, each is a column. Then
#
# .. math:: Y = X \, W^T + b
#
# where :math:`X` has the shape :math:`(N O_H O_W, \; C K_H K_W)`, :math:`W` as a matrix
# :math:`(O, \; C K_H K_W)` and :math:`Y` :math:`(N O_H O_W, \; O)`. That is the linear
# layer of page 4, with windows for samples.
#
# ``sliding_window_view`` gives an array of all windows that shares the image's memory.
# Every ``stride``-th of them is kept, the axes of the place go to the front, those of
# the window to the back, and ``reshape`` writes the matrix. Only ``reshape`` copies the
# windows, each pixel once for every window that covers it.


def im2col(x, kernel, stride=1, padding=0):
    """(N, C, H, W) -> (N*OH*OW, C*KH*KW)"""
    x = padded(x, padding)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]  # (N, C, OH, OW, KH, KW)
    N, C, OH, OW, KH, KW = windows.shape
    windows = windows.transpose(0, 2, 3, 1, 4, 5)  # (N, OH, OW, C, KH, KW)
    return windows.reshape(N * OH * OW, C * KH * KW)


def conv(x, W, b, stride=1, padding=0):
    (N, _, *size), (O, _, *kernel) = x.shape, W.shape
    OH, OW = output_size(size, kernel, stride, padding)
    Y = im2col(x, kernel, stride, padding) @ W.reshape(O, -1).T + b  # (N*OH*OW, O)
    return Y.reshape(N, OH, OW, O).transpose(0, 3, 1, 2)  # (N, O, OH, OW)


for stride, padding in cases:
    expected = conv_loops(x, W, b, stride, padding)
    np.testing.assert_allclose(conv(x, W, b, stride, padding), expected, atol=1e-12)
print("loops and columns agree")

# %%
# What is gained, and what does it cost in memory? With windows of 3 x 3, stride 1 and
# padding 1 there are as many windows as pixels, and each has nine numbers per channel:


def seconds(function, *arguments):
    """The shortest of three runs."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


maps = generator.standard_normal((1, 8, 16, 16), dtype=np.float32)
filters = generator.standard_normal((8, 8, 3, 3), dtype=np.float32)
zeros = np.zeros(8, np.float32)
slow = seconds(conv_loops, maps, filters, zeros, 1, 1)
fast = seconds(conv, maps, filters, zeros, 1, 1)
print(f"loops {1e3 * slow:.0f} ms, columns {1e3 * fast:.2f} ms")
print(f"{slow / fast:,.0f} times as fast")

columns = im2col(maps, (3, 3), 1, 1)
memory_ratio = columns.nbytes / maps.nbytes
print(f"{memory_ratio:.0f} times the map's memory")

# %%
# So the columns are not kept for the way back, which makes them again from :math:`x`.
#
# The gradients
# -------------
#
# The loss :math:`L` depends on every output. Let :math:`g^y` be its gradient with
# respect to :math:`y`, which arrives on the way back. Then for any number :math:`u`
# that the outputs depend on
#
# .. math::
#    \frac{\partial L}{\partial u} = \sum_{n,o,p,q} g^y_{nopq}
#    \frac{\partial y_{nopq}}{\partial u} .
#
# **The bias.** :math:`b_o` is a summand of :math:`y_{nopq}` for every :math:`n, p, q`,
# with factor 1:
#
# .. math:: g^b_o = \sum_{n,p,q} g^y_{nopq}
#
# **The weights.** :math:`W_{ocij}` occurs in the outputs of filter :math:`o`, in each
# of them once, multiplied with :math:`x_{n,c,sp+i,sq+j}`:
#
# .. math:: g^W_{ocij} = \sum_{n,p,q} g^y_{nopq} \; x_{n,\,c,\,sp+i,\,sq+j}
#
# That is a sum over all windows. The second factor is the entry of :math:`X` in row
# :math:`(n,p,q)` and column :math:`(c,i,j)`. So it is a matrix product, :math:`g^W =
# (g^Y)^T X`, as in the linear layer, with :math:`g^y` written as a matrix of the shape
# of :math:`Y`. A weight that is shared collects the gradients of all places where it
# was used.


def as_matrix(gy):
    return gy.transpose(0, 2, 3, 1).reshape(-1, gy.shape[1])  # (N*OH*OW, O)


def weight_gradient(gy, x, shape, stride=1, padding=0):
    columns = im2col(x, shape[2:], stride, padding)
    return (as_matrix(gy).T @ columns).reshape(shape)


# %%
# **The input.** If :math:`X` were the input of a linear layer, its gradient would be
# :math:`g^X = g^Y W`. Row by row it says what each window would like to have changed.
# But a pixel stands in several rows. Here is the first picture again, with all places
# of pixel 6:

chosen = 6
draw_picture(
    lambda i, j: PIXEL if image[i, j] == chosen else PAPER,
    lambda i, j: PIXEL if rows[i, j] == chosen else PAPER,
    lambda i: RESULT if chosen in rows[i] else PAPER,
)

# %%
# The pixel has a part in all four outputs, so its gradient is the sum over the four
# coloured entries of :math:`g^X`. *Add every entry to the pixel that it was copied
# from*: that is col2im.
#
# To do so window by window would be slow. Instead take one place :math:`(i, j)` of the
# window at a time. Over all windows, it covers every ``stride``-th pixel from
# :math:`(i, j)` on, each of them once, so one addition to a slice does it. The loop
# that is left has :math:`K_H K_W` iterations. At the end the border is cut off, since
# the gradient of the padding is not needed.


def col2im(columns, shape, kernel, stride=1, padding=0):
    """(N*OH*OW, C*KH*KW) -> (N, C, H, W) = shape"""
    (N, C, H, width), (KH, KW) = shape, kernel
    OH, OW = output_size((H, width), kernel, stride, padding)
    columns = columns.reshape(N, OH, OW, C, KH, KW).transpose(0, 3, 1, 2, 4, 5)
    x = np.zeros((N, C, H + 2 * padding, width + 2 * padding), columns.dtype)
    for i in range(KH):
        for j in range(KW):
            below = slice(i, i + stride * OH, stride), slice(j, j + stride * OW, stride)
            x[:, :, *below] += columns[..., i, j]
    return x[:, :, padding : padding + H, padding : padding + width]


def input_gradient(gy, W, shape, stride=1, padding=0):
    columns = as_matrix(gy) @ W.reshape(len(W), -1)  # (N*OH*OW, C*KH*KW)
    return col2im(columns, shape, W.shape[2:], stride, padding)


# %%
# A sum over copies can be seen directly: the columns of an image of ones, added back,
# count in how many windows each pixel lies. With padding 1 it is nine inside, six at an
# edge and four in a corner.

ones = np.ones((1, 1, 5, 5), int)
counts = col2im(im2col(ones, (3, 3), 1, 1), ones.shape, (3, 3), 1, 1)[0, 0]
print(counts)

# %%
# There is a test for such pairs that needs no derivative. im2col only copies, so it is
# linear: some huge matrix :math:`A` of zeros and ones. The way back through :math:`A`
# is its transpose, and for a matrix and its transpose
#
# .. math:: \langle A x, c \rangle = \langle x, A^T c \rangle
#
# for all :math:`x` and all :math:`c`, where :math:`\langle a, b \rangle` is the sum of
# the products of all entries. Neither matrix has to be written down:

for stride, padding in cases:
    Ax = im2col(x, (3, 3), stride, padding)
    c = generator.standard_normal(Ax.shape)
    left = (Ax * c).sum()
    right = (x * col2im(c, x.shape, (3, 3), stride, padding)).sum()
    print(f"stride {stride}, padding {padding}: {left:.12f} = {right:.12f}")
    np.testing.assert_allclose(left, right)

# %%
# An operation of the engine
# --------------------------
#
# Page 2 made an operation out of a pair of methods, :class:`~minires.Function` in this
# library. With the three gradients in it, the operation is complete, and page 3's check
# can be run: each number of :math:`x`, :math:`W` and :math:`b` is nudged, and the loss
# is a random upstream gradient times the outputs.


class Convolution(Function):
    def __init__(self, stride=1, padding=0):
        self.stride, self.padding = stride, padding

    def forward(self, x, W, b):
        self.saved = x, W  # not the columns
        return conv(x, W, b, self.stride, self.padding)

    def backward(self, gy):
        (x, W), options = self.saved, (self.stride, self.padding)
        gx = input_gradient(gy, W, x.shape, *options)
        gW = weight_gradient(gy, x, W.shape, *options)
        gb = gy.sum(axis=(0, 2, 3))
        return gx, gW, gb


errors = [gradcheck(Convolution(*case), [x, W, b]) for case in cases]
print(f"largest relative error of all cases: {max(errors):.1e}")


def gradients(operation, upstream):
    """The gradients of x, W and b, for the upstream gradient of y."""
    tensors = [Tensor(array, requires_grad=True) for array in (x, W, b)]
    operation(*tensors).backward(upstream)
    return [tensor.grad.numpy() for tensor in tensors]


for stride, padding in cases:
    u = generator.standard_normal(conv(x, W, b, stride, padding).shape)
    our_gradients = gradients(Convolution(stride, padding), u)
    library_gradients = gradients(partial(F.conv2d, stride=stride, padding=padding), u)
    for gradient, expected in zip(our_gradients, library_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-10)
print("gx, gW and gb are those of the library")

# %%
# The gradient of the input is a convolution, too
# -----------------------------------------------
#
# Look at the formula from the pixel's side, with stride 1. Pixel :math:`h` of the image
# is row :math:`h + P` of the padded one, so it lies at place :math:`i` of the window
# :math:`p = h + P - i`. All outputs that it has a part in:
#
# .. math::
#    g^x_{nchw} = \sum_{o,i,j} W_{ocij} \; g^y_{n,\,o,\,h+P-i,\,w+P-j}
#
# (where :math:`g^y` has no such row or column, it counts as 0). Here the window of
# :math:`g^y` is walked backwards. Turn the filter by half a turn, :math:`i' = K - 1 -
# i`, and the row is :math:`h - (K - 1 - P) + i'`: the formula of a convolution with
# padding :math:`K - 1 - P`. It sums over the filters :math:`o` and leaves the channels
# :math:`c`, so these two change places.

turned = W[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)  # (O, C, 3, 3) -> (C, O, 3, 3)
for padding in (0, 1, 2):
    gy = generator.standard_normal(conv(x, W, b, 1, padding).shape)
    by_convolution = conv(gy, turned, 0, padding=3 - 1 - padding)
    scattered = input_gradient(gy, W, x.shape, 1, padding)
    np.testing.assert_allclose(by_convolution, scattered, atol=1e-10)
print("scattered, or convolved with the turned filter: the same")

# %%
# So every method that makes a convolution fast makes this gradient fast, too.
#
# Relatives
# ---------
#
# **1 x 1.** A window of one pixel sees no neighbours. It is a linear layer on the
# channels, the same at each pixel. Networks use it to change the number of channels.

w = generator.standard_normal((5, 3, 1, 1))
pixelwise = np.einsum("oc,nchw->nohw", w[:, :, 0, 0], x)
np.testing.assert_allclose(library_conv(x, w, np.zeros(5)), pixelwise, atol=1e-12)

# %%
# **Groups.** With ``groups=2`` the first half of the filters sees the first half of the
# channels only, the second half the second. The filters are half as deep, so there are
# half as many weights.

x4 = Tensor(generator.standard_normal((2, 4, 7, 6)))
w4 = Tensor(generator.standard_normal((6, 2, 3, 3)))  # (O, C / groups, KH, KW)
halves = [F.conv2d(x4[:, :2], w4[:3]).numpy(), F.conv2d(x4[:, 2:], w4[3:]).numpy()]
grouped = F.conv2d(x4, w4, groups=2).numpy()
np.testing.assert_allclose(grouped, np.concatenate(halves, axis=1), atol=1e-12)

# %%
# **Dilation.** With ``dilation=2`` the window has holes: it looks at every second
# pixel, so that 3 x 3 weights span 5 x 5 pixels. It is the same as a filter with zeros
# between its weights.

spread = np.zeros((4, 3, 5, 5))
spread[:, :, ::2, ::2] = W
dilated = F.conv2d(Tensor(x), Tensor(W), dilation=2).numpy()
np.testing.assert_allclose(dilated, library_conv(x, spread, np.zeros(4)), atol=1e-12)
print("1 x 1, groups and dilation are what they were said to be")

# %%
# What a convolution sees
# -----------------------
#
# An output is the inner product of filter and window: large where bright pixels lie
# under positive weights and dark ones under negative weights, and 0 where all pixels
# are alike, if the weights add up to 0. So the differences of the pixels to the right
# and to the left show edges that run up and down. The differences of those below and
# above show edges that run across.

picture = data.shapes(train=30, test=0, size=64).train.images[26]
grey = picture.mean(axis=0)[None, None] / 255  # (1, 1, 64, 64)
upright = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
edges = np.stack([upright, upright.T])[:, None]  # (2, 1, 3, 3)
edge_maps = conv(grey, edges, np.zeros(2))[0]  # (2, 62, 62)

tiles = {
    "the picture": grey[0, 0],
    "right minus left": edge_maps[0],
    "below minus above": edge_maps[1],
    "length of both": np.hypot(*edge_maps),
}
figure, panels = plt.subplots(2, 2, figsize=(5.6, 5.8))
for panel, (title, tile) in zip(panels.flat, tiles.items(), strict=True):
    panel.imshow(tile)
    panel.set_title(title)
    panel.axis("off")
plt.show()

# %%
# Move the image and the map moves along
# --------------------------------------
#
# Let :math:`x'` be the image moved to the right by one pixel, :math:`x'_{h,w} =
# x_{h,w-1}`. Put it into the formula with stride 1:
#
# .. math::
#    y'_{pq} &= \sum_{i,j} W_{ij} \, x'_{p+i,\,q+j} \\
#    &= \sum_{i,j} W_{ij} \, x_{p+i,\,(q-1)+j} = y_{p,\,q-1}
#
# The output has moved by one pixel, and is otherwise the same. This is called
# *equivariance*. It holds since :math:`W` does not depend on the place. Only at the
# border other values can come in: the zeros of the padding, and the pixels that have
# moved into the image.

moved = np.roll(grey, 1, axis=3)
maps_of_moved = conv(moved, edges, np.zeros(2), padding=1)
moved_maps = np.roll(conv(grey, edges, np.zeros(2), padding=1), 1, axis=3)
difference = np.abs(maps_of_moved - moved_maps)
inside, at_border = difference[..., 2:-1].max(), difference.max()
print(f"largest difference inside: {inside:.1e}, with the border: {at_border:.1e}")

# %%
# A convolutional net against an MLP
# ----------------------------------
#
# Does it help? Two nets learn the digits, an MLP and a convolutional net with half as
# many parameters. The digits lie in pictures of 18 x 18 pixels, so that moving them by
# up to five cuts nothing off. The convolutional net keeps only the largest value of
# each map. When a map moves, its largest value moves along and remains the largest.
# That is *invariance*. Such layers are the subject of :doc:`06_pooling`, and the
# momentum and the weight decay of the optimizer that of :doc:`08_training`.

digits = data.load("digits")
border = ((0, 0), (0, 0), (5, 5), (5, 5))
training = data.Split(np.pad(digits.train.images, border), digits.train.labels)
test = data.Split(np.pad(digits.test.images, border), digits.test.labels)


def build_nets(seed):
    generator = np.random.default_rng(seed)
    mlp = nn.Sequential(
        nn.Flatten(),
        nn.Linear(18 * 18, 32, generator=generator),
        nn.ReLU(),
        nn.Linear(32, 10, generator=generator),
    )
    convnet = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, generator=generator),  # (N, 16, 18, 18)
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, generator=generator),  # (N, 32, 18, 18)
        nn.ReLU(),
        nn.MaxPool2d(18),  # (N, 32, 1, 1)
        nn.Flatten(),
        nn.Linear(32, 10, generator=generator),
    )
    return {"MLP": mlp, "convolutional net": convnet}


def train(net, epochs, seed):
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.005)
    batches = data.Loader(training, batch_size=64, seed=seed)
    for _ in range(epochs):
        for images, labels in batches:
            loss = F.cross_entropy(net(Tensor(images)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def scores_when_moved(net, axis, pixels):
    images = np.roll(test.images, pixels, axis).astype(np.float32) / 255
    with no_grad():
        return net(Tensor(images)).numpy()


def error_when_moved(net, pixels):
    """The test error in percent, over the four directions."""
    errors = []
    for axis in (2, 3):
        for step in (-pixels, pixels):
            guesses = scores_when_moved(net, axis, step).argmax(axis=1)
            errors.append(100 * (guesses != test.labels).mean())
    return np.mean(errors)


epochs = 12
shifts = (0, 1, 2, 3, 4, 5)
nets, test_errors = build_nets(seed=0), {}
for name, net in nets.items():
    train(net, epochs, seed=0)
    test_errors[name] = [error_when_moved(net, pixels) for pixels in shifts]
    parameters = sum(parameter.numel() for parameter in net.parameters())
    print(f"{name}, {parameters:,} parameters. Test error in percent, moved by 0 to 5:")
    print("   ", ", ".join(f"{error:.1f}" for error in test_errors[name]))

figure, axes = plt.subplots(figsize=(6, 3.6))
for name, values in test_errors.items():
    axes.plot(shifts, values, marker="o", linewidth=2.5, label=name)
axes.axhline(90, color="0.5", linestyle="--", linewidth=1)
axes.text(5, 91, "guessing", color="0.4", ha="right", va="bottom")
axes.set(xlabel="moved by (pixels)", ylabel="test error (%)", ylim=(0, 100))
axes.legend(loc="center right")
plt.show()

# %%
# Neither net has ever seen a digit that was moved. The MLP fails from the first pixel
# on. The convolutional net makes the very same errors up to two pixels, and not many
# more beyond. It is not that it copes well with a digit that has moved a little: for
# this net there *is* no difference. All ten outputs are the same numbers, except for
# rounding:

convnet = nets["convolutional net"]
change = {}
for pixels in shifts:
    moved_scores = scores_when_moved(convnet, axis=3, pixels=pixels)
    change[pixels] = np.abs(moved_scores - scores_when_moved(convnet, 3, 0)).max()
    print(f"moved by {pixels}: outputs change by at most {change[pixels]:.1e}")

# %%
# A value behind two layers of 3 x 3 sees 5 x 5 pixels, two to each side of its own. So
# a digit leaves its marks up to two pixels around it. The outermost values of the
# second map have seen the padding and are a case of their own. As long as the marks
# stay clear of these, the maps just move. There are five pixels of paper around the
# digit: two for the marks, one for the outermost values, two to move.
#
# What has the net learned? Its first layer has 16 filters of 3 x 3, the upper of each
# pair in the figure: red weights ask for ink, blue ones for none. And what do they
# find? im2col has every window of every image as a row, so one matrix product gives all
# answers of all filters. Below each filter is the mean of the twenty windows that it
# answers to most.

first = convnet[0].weight.numpy()  # (16, 1, 3, 3)
every_window = im2col(training.images / 255, (3, 3), 1, 1)  # (1437*18*18, 9)
answers = every_window @ first.reshape(16, 9).T  # (1437*18*18, 16)
best = np.argsort(-answers, axis=0)[:20]  # (20, 16)

figure, panels = plt.subplots(4, 8, figsize=(6.4, 3.5))
for k in range(16):
    above, below = panels[2 * (k // 8) : 2 * (k // 8) + 2, k % 8]
    limit = np.abs(first[k]).max()
    above.imshow(first[k, 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    below.imshow(every_window[best[:, k]].mean(axis=0).reshape(3, 3), vmin=0, vmax=1)
    for panel, label in ((above, "filter"), (below, "finds")):
        panel.set(xticks=[], yticks=[], ylabel="" if k % 8 else label)
        panel.spines[:].set_visible(False)
plt.show()

# %%
# Ends of strokes, edges in several directions, corners: pieces that all digits are made
# of. The net was not told to look for them.
#
# Exercises
# ---------
#
# 1. Write ``conv_with_groups(x, W, groups)`` with ``im2col``: the columns of each
#    group's channels, one product for each group. Check it against the library for 1, 2
#    and 4 groups. With as many groups as channels, how many weights has a filter?
# 2. Give ``im2col``, ``col2im`` and ``Convolution`` a dilation, and check both the
#    output and the gradients.
# 3. With stride 2, is the convolution still equivariant? Move an image by one and by
#    two pixels and compare.
# 4. Replace the last ``MaxPool2d`` and the linear layer by ``Flatten`` and a linear
#    layer on all places of the maps. What happens to the error on moved digits, and
#    why?
#
# :doc:`The solutions <solutions/05_convolution_solutions>` are a program, too.
