"""
6. Pooling: maximum, average, overlapping, global
=================================================

**You build** maximum and average pooling with their gradients, for windows that
overlap, too, and measure what pooling does for an image that moves.

**You need** pages :doc:`1 <01_arrays>` to :doc:`5 <05_convolution>`. The images come
with the package.

**It takes** less than 60 seconds on two cores to run; reading takes longer.

A pooling layer puts one number in the place of all pixels under a window. It has no
weights. It makes maps smaller, so that the layers behind it cost less and see a larger
part of the image, and it makes them care less about where exactly something is.
"""

import math
import time

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, data, gradcheck, models, nn, no_grad, optim
from minires.errors import GradientError, ShapeError
from minires.nn import functional as F
from minires.nn.init import skip_init
from minires.train import evaluate

plt.style.use("minires.plot.page")

# %%
# The maximum under a window
# --------------------------
#
# A window of :math:`k \times k` pixels starts in the upper left corner and moves by
# :math:`s` pixels, the *stride*:
#
# .. math:: y_{ncij} = \max_{0 \le p, q < k} x_{n, c, \, si + p, \, sj + q}
#
# Each channel is pooled by itself. A map of :math:`H` rows has room for :math:`\lfloor
# (H - k) / s \rfloor + 1` windows, as in a convolution. With loops:


def max_pool_with_loops(x, size, stride):
    N, C, H, W = x.shape
    OH, OW = (H - size) // stride + 1, (W - size) // stride + 1
    y = np.empty((N, C, OH, OW), x.dtype)
    for n in range(N):
        for c in range(C):
            for i in range(OH):
                for j in range(OW):
                    top, left = stride * i, stride * j
                    y[n, c, i, j] = x[n, c, top : top + size, left : left + size].max()
    return y


# %%
# Page 1 had a view of all windows, with two more axes and without a copy. We take every
# ``stride``-th window, and the maximum over the two new axes:


def windows(x, size, stride):
    """(N, C, H, W) -> (N, C, OH, OW, size, size), a view."""
    all_windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return all_windows[:, :, ::stride, ::stride]


def max_pool(x, size, stride):
    return windows(x, size, stride).max(axis=(4, 5))


def avg_pool(x, size, stride):
    return windows(x, size, stride).mean(axis=(4, 5))


shapes = data.load("shapes", train=100, test=0)
x = shapes.train.images.astype(np.float32) / 255  # (100, 3, 32, 32)

start = time.perf_counter()
slow = max_pool_with_loops(x, 2, 2)
between = time.perf_counter()
fast = max_pool(x, 2, 2)
end = time.perf_counter()
np.testing.assert_array_equal(fast, slow)
np.testing.assert_array_equal(F.max_pool2d(Tensor(x), 2).numpy(), slow)
np.testing.assert_allclose(
    F.avg_pool2d(Tensor(x), 2).numpy(), avg_pool(x, 2, 2), rtol=1e-6
)
print(x.shape, "->", fast.shape, "and the library agrees")
print(
    f"loops: {1e3 * (between - start):.0f} ms, windows: {1e3 * (end - between):.1f} ms"
)

# %%
# The library's stride is the window's size if none is given, so that the windows lie
# side by side.
#
# What do maximum and average keep? Above is an image, below the strength of its edges,
# found as on page 5: one filter compares the left with the right, another the top with
# the bottom. Both pictures are pooled with windows of 4 x 4:

image = x[[43]]
sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)
grey = np.pad(
    image.mean(axis=1, keepdims=True), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge"
)
slopes = F.conv2d(Tensor(grey), Tensor(np.stack([sobel, sobel.T])[:, None])).numpy()
edges = np.hypot(*slopes.swapaxes(0, 1))[None]  # (1, 2, 32, 32) -> (1, 1, 32, 32)

figure, panels = plt.subplots(2, 3, figsize=(6.4, 4.5))
for row, name, picture in zip(panels, ("image", "edges"), (image, edges), strict=True):
    pooled = max_pool(picture, 4, 4), avg_pool(picture, 4, 4)
    names = name, "maximum", "average"
    for panel, title, version in zip(row, names, (picture, *pooled), strict=True):
        panel.imshow(version[0].transpose(1, 2, 0), vmin=0, vmax=picture.max())
        panel.set_title(f"{title}, {version.shape[2]} x {version.shape[3]}")
        panel.axis("off")
plt.show()

# %%
# The average makes the picture coarse, as a camera with fewer pixels would. But a thin
# edge fades, since most pixels under a window are not on it. The maximum asks *is it
# anywhere in here?* and keeps the full strength. Behind a convolution that looks for
# something, this is often the question.
#
# Where the gradient goes
# -----------------------
#
# Let :math:`m` be the place of the largest pixel under a window, so :math:`y = x_m`.
# Nudge that pixel, and :math:`y` moves along: the derivative is 1. Nudge another one by
# a little, and nothing happens: 0. So the window hands its whole gradient to one pixel.
# An average, :math:`y = \frac{1}{k^2} \sum x`, has the derivative :math:`1 / k^2`
# everywhere: it hands an equal part to each.
#
# To write it down, forward has to remember the places. ``argmax`` of a window with its
# pixels in one row gives a number from 0 to :math:`k^2 - 1`, which is row times
# :math:`k` plus column:


def max_pool_places(x, size, stride):
    """Which pixel of each window is the maximum, 0 to size * size - 1."""
    view = windows(x, size, stride)
    return view.reshape(*view.shape[:4], size * size).argmax(axis=4)


def naive_gradient(gy, places, shape, size, stride):
    """gx of max pooling. Right if no pixel lies under two windows."""
    gx = np.zeros(shape, gy.dtype)
    n, c, i, j = np.indices(gy.shape)
    gx[n, c, stride * i + places // size, stride * j + places % size] += gy
    return gx


generator = np.random.default_rng(4)
small = generator.permutation(36).reshape(1, 1, 6, 6).astype(np.float32)
gy = np.ones((1, 1, 3, 3), np.float32)
by_hand = naive_gradient(gy, max_pool_places(small, 2, 2), small.shape, 2, 2)

leaf = Tensor(small, requires_grad=True)
F.max_pool2d(leaf, 2).backward(gy)
np.testing.assert_array_equal(by_hand, leaf.grad.numpy())
print("gradient by hand and the library's agree")

# %%
# A map of 36 numbers and the gradients of both poolings, when each of the nine windows
# gets the gradient 1 from above:


def draw_gradients(x, size, stride):
    """The map, and where a gradient of 1 for each window goes."""
    _, panels = plt.subplots(1, 3, figsize=(6.4, 2.45))
    leaf = Tensor(x, requires_grad=True)
    drawn_maps = {"map": x}
    for name, pool in (("maximum", F.max_pool2d), ("average", F.avg_pool2d)):
        leaf.grad = None
        pool(leaf, size, stride).sum().backward()
        drawn_maps[f"gradient, {name}"] = leaf.grad.numpy()
    for panel, (name, values) in zip(panels, drawn_maps.items(), strict=True):
        values = values[0, 0]
        top = 4 * values.max() if name == "map" else 3
        panel.imshow(values, cmap="Oranges", vmin=0, vmax=top)
        for (i, j), value in np.ndenumerate(values):
            text = f"{value:.2f}"[1:] if 0 < value < 1 else f"{value:.0f}"
            color = "0.7" if value == 0 and name != "map" else "black"
            panel.text(j, i, text, ha="center", va="center", fontsize=11, color=color)
        starts = np.arange(0, len(values) - size + 1, stride) - 0.5
        for corner in np.stack(np.meshgrid(starts, starts), axis=-1).reshape(-1, 2):
            frame = plt.Rectangle(corner, size, size, fill=False, color="C0", alpha=0.6)
            panel.add_patch(frame)
        panel.set_title(name)
        panel.axis("off")
    plt.show()


draw_gradients(small, 2, 2)

# %%
# Both gradients add up to nine, the sum of the gradients from above. They distribute it
# differently.
#
# And when two pixels are both the largest? Then there is no derivative. Nudge one of
# them up, and the maximum rises; nudge it down, and the other one holds it: the slope
# is 1 to one side and 0 to the other. The gradient check from page 3, which takes the
# mean of both sides, can only disagree:

try:
    gradcheck(lambda x: F.max_pool2d(x, 2), [np.ones((1, 1, 2, 2))])
except GradientError as error:
    tie_message = str(error)
    print(tie_message)

tie = Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
F.max_pool2d(tie, 2).backward()
print("the library's gradient:", *tie.grad.tolist())

# %%
# (The check sends a random number as the gradient from above. ``backward()`` hands on
# all of it; the differences find half.) Any share between the equal ones would do. The
# library gives all of it to the first in reading order, row by row, and so does
# ``argmax``. Ties are common: behind a ReLU many windows hold nothing but zeros. But
# there it does not matter which pixel is chosen, because the ReLU lets no gradient
# through where its output is 0.
#
# Windows that overlap
# --------------------
#
# AlexNet pools with windows of 3 x 3 and a stride of 2, so that neighbouring windows
# share a row or a column of pixels. Its authors report that this lowers their top-1
# error by 0.4 %, compared with windows of 2 x 2. Now a pixel can be the maximum of
# several windows, up to four, and the gradients of all of them *add up*, since each of
# those outputs depends on it.

small = generator.permutation(49).reshape(1, 1, 7, 7).astype(np.float32)
draw_gradients(small, 3, 2)

# %%
# And our function is wrong:

gy = np.ones((1, 1, 3, 3), np.float32)
places = max_pool_places(small, 3, 2)
naive = naive_gradient(gy, places, small.shape, 3, 2)
leaf = Tensor(small, requires_grad=True)
F.max_pool2d(leaf, 3, 2).sum().backward()
print(
    "the gradient's sum, naive:", naive.sum(), " the library's:", leaf.grad.sum().item()
)

# %%
# Why? ``gx[rows, columns] += gy`` with arrays of indices reads all places first, then
# adds, then writes all of them back. A place that occurs twice is written twice, each
# time with what was read at the start plus *one* gradient. The last one wins.
# ``np.add.at`` adds one after the other:

counts, wrong_counts = np.zeros(3), np.zeros(3)
wrong_counts[[0, 0, 0, 2]] += 1
np.add.at(counts, [0, 0, 0, 2], 1)
print("+=:", wrong_counts, " np.add.at:", counts)


def gradient_add_at(gy, places, shape, size, stride):
    gx = np.zeros(shape, gy.dtype)
    n, c, i, j = np.indices(gy.shape)
    rows, columns = stride * i + places // size, stride * j + places % size
    np.add.at(gx, (n, c, rows, columns), gy)
    return gx


np.testing.assert_array_equal(
    gradient_add_at(gy, places, small.shape, 3, 2), leaf.grad.numpy()
)

# %%
# No error, no warning, a gradient that merely lacks some of its terms: such mistakes
# are why page 3 comes before this one.
#
# There is another way, without arrays of indices. Fix one place :math:`(p, q)` *inside
# the window*. Over all windows, the pixels at this place are ``x[:, :, p::s, q::s]``: a
# slice, in which no pixel occurs twice. So ``+=`` is right for each of the :math:`k^2`
# slices, and they are done one after the other. Page 5 added its columns back in this
# way. For the average, in which every pixel has the same weight, nothing else is
# needed:


def gradient_by_slices(gy, shape, size, stride, places=None):
    """gx of max pooling, or of average pooling without `places`."""
    gx = np.zeros(shape, gy.dtype)
    OH, OW = gy.shape[2:]
    for p in range(size):
        for q in range(size):
            part = gx[:, :, p : p + stride * OH : stride, q : q + stride * OW : stride]
            if places is None:
                part += gy / size**2
            else:
                part += gy * (places == p * size + q)
    return gx


def library_gradient(pool, x, gy, size, stride):
    leaf = Tensor(x, requires_grad=True)
    pool(leaf, size, stride).backward(gy)
    return leaf.grad.numpy()


places = max_pool_places(x, 3, 2)
gy = generator.standard_normal(places.shape, dtype=np.float32)  # (100, 3, 15, 15)
added = gradient_add_at(gy, places, x.shape, 3, 2)
sliced = gradient_by_slices(gy, x.shape, 3, 2, places)
np.testing.assert_allclose(added, sliced, atol=1e-5)
np.testing.assert_allclose(
    library_gradient(F.max_pool2d, x, gy, 3, 2), sliced, atol=1e-5
)
np.testing.assert_allclose(
    library_gradient(F.avg_pool2d, x, gy, 3, 2),
    gradient_by_slices(gy, x.shape, 3, 2),
    atol=1e-5,
)
print("maximum and average: the library's gradients agree")

# %%
# What happens at the border
# --------------------------
#
# Six pixels, windows of 3, stride 2. The second window ends at the fifth pixel. There
# is no room for a third one, and the sixth pixel is never looked at. There are two ways
# out: let a last window hang over (``ceil_mode``), or put a border around the map
# (``padding``). In the figure each bar is a window, and what is dotted lies outside of
# the map.

border_options = {
    "cut off": {},
    "ceil_mode=True": {"ceil_mode": True},
    "padding=1": {"padding": 1},
}
row = Tensor(np.zeros((1, 1, 6, 6), np.float32))
figure, panels = plt.subplots(3, 1, figsize=(6.2, 5.2), sharex=True)
for panel, (name, options) in zip(panels, border_options.items(), strict=True):
    for pixel in range(-1, 7):
        inside = 0 <= pixel < 6
        style = {"facecolor": "#cfe3f2" if inside else "white", "edgecolor": "0.6"}
        panel.add_patch(
            plt.Rectangle((pixel - 0.5, 0), 1, 1, **style, ls="-" if inside else ":")
        )
        if inside:
            panel.text(pixel, 0.5, pixel + 1, ha="center", va="center")
    for i in range(F.max_pool2d(row, 3, 2, **options).shape[2]):
        first, height = 2 * i - options.get("padding", 0), -0.35 - 0.3 * (i % 2)
        panel.plot(
            [first - 0.42, first + 2.42], [height, height], color="C1", linewidth=5
        )
    panel.set(xlim=(-1.7, 6.7), ylim=(-1, 1.1), title=name)
    panel.axis("off")
plt.show()

# %%
# Let :math:`P` be the padding on each side. The number of windows is
#
# .. math:: \left\lfloor \frac{H + 2P - k}{s} \right\rfloor + 1
#
# and with ``ceil_mode`` the fraction is rounded up instead. One exception: a window
# that would begin behind the last pixel is left out, because there would be nothing
# under it.


def output_size(H, size, stride, padding=0, ceil_mode=False):
    room = H + 2 * padding - size
    count = (math.ceil(room / stride) if ceil_mode else room // stride) + 1
    if ceil_mode and stride * (count - 1) - padding >= H:
        count -= 1
    return count


print("                         H  k  s  P  ceil   OH")
for name, H, *options in (
    ("AlexNet, first pool ", 55, 3, 2, 0, False),
    ("AlexNet, second pool", 27, 3, 2, 0, False),
    ("AlexNet, third pool ", 13, 3, 2, 0, False),
    ("VGG-16, first pool  ", 224, 2, 2, 0, False),
    ("GoogLeNet, 1st pool ", 112, 3, 2, 0, True),
    ("ResNet, first pool  ", 112, 3, 2, 1, False),
):
    size, stride, padding, ceil_mode = options
    OH = output_size(H, *options)
    blank = Tensor(np.zeros((1, 1, H, H), np.float32))
    pooled = F.max_pool2d(blank, size, stride, padding, ceil_mode=ceil_mode)
    assert pooled.shape[2:] == (OH, OH)
    print(f"{name} {H:5} {size:2} {stride:2} {padding:2}  {ceil_mode!s:5} {OH:3}")

# %%
# What counts as the value of a pixel outside of the map? For a maximum it must be one
# that never wins: minus infinity. Zero would win against every negative pixel:

negative = Tensor(-np.ones((1, 1, 3, 3), np.float32))
with_zeros = max_pool(np.pad(negative.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1))), 3, 2)
print("padded with zeros:", with_zeros.ravel())
print("the library:      ", F.max_pool2d(negative, 3, 2, padding=1).numpy().ravel())

# %%
# For an average there are two answers. Either the border counts as pixels that are 0,
# or it does not count at all and the sum is divided by the number of true pixels. A map
# of ones shows the difference:

ones = Tensor(np.ones((1, 1, 3, 3), np.float32))
for counted in (True, False):
    pooled = F.avg_pool2d(ones, 3, 1, padding=1, count_include_pad=counted)
    print(f"count_include_pad={counted}:\n{pooled.numpy()[0, 0].round(2)}")

# %%
# In the first form, the library's default, corners are darker: 4 of 9 pixels. Pixels
# beyond the padding, where ``ceil_mode`` lets a window hang over, count in neither
# form.
#
# The mean over the whole map
# ---------------------------
#
# The last pool of a ResNet has a window as large as the map. It leaves one number for
# each channel, :math:`(N, C, H, W) \to (N, C)`:
#
# .. math:: y_{nc} = \frac{1}{HW} \sum_{i, j} x_{ncij}, \qquad
#    \frac{\partial L}{\partial x_{ncij}}
#    = \frac{1}{HW} \frac{\partial L}{\partial y_{nc}}

np.testing.assert_allclose(
    F.global_avg_pool2d(Tensor(x)).numpy(), x.mean(axis=(2, 3)), rtol=1e-5
)
maps = generator.standard_normal((2, 3, 7, 5))  # float64, and no ties
for name, pool in {
    "max_pool2d, overlapping": lambda x: F.max_pool2d(x, 3, 2, padding=1),
    "avg_pool2d, overlapping": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "global_avg_pool2d": F.global_avg_pool2d,
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
}.items():
    print(f"{name:24} relative error of the gradient: {gradcheck(pool, [maps]):.0e}")

# %%
# What does this pool replace? AlexNet and VGG make one long vector of their last maps,
# as page 4 made one of an image, and send it through fully connected layers. The first
# of those has a weight for each channel *at each place*, for each of its outputs.
# :func:`~minires.models.summarize` counts:

networks = ("alexnet", "vgg16", "resnet18", "resnet50")
shares = {}
for name in networks:
    with skip_init():  # counting needs no random weights
        rows = models.summarize(models.create(name))
    total = sum(row.parameters for row in rows)
    linear = sum(row.parameters for row in rows if row.kind == "Linear")
    shares[name] = 100 * linear / total
    print(
        f"{name:9} {total:11,} parameters, {linear:11,} in linear layers,"
        f" {shares[name]:3.0f} %"
    )

# %%
# More than nine tenths of AlexNet's parameters are in these layers, and most of VGG's.
# With the mean over the map before it, one small layer from channels to classes is
# enough. And since the mean does not ask how many pixels there are, images of any size
# will do:

net = models.create("resnet20", generator=0).eval()
flat = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 32 * 32, 10)
)
with no_grad():
    for H, W in ((32, 32), (48, 40)):
        images = Tensor(generator.random((2, 3, H, W), dtype=np.float32))
        print(f"{H} x {W}: resnet20 gives {net(images).shape}")
        try:
            print(f"{H} x {W}: a flattened map gives {flat(images).shape}")
        except ShapeError as error:
            print(f"{H} x {W}: {error}")

# %%
# A linear layer behind a mean is the mean of that linear layer at every place, :math:`W
# \, \mathrm{mean}(x) + b = \mathrm{mean}(W x + b)`. So each place votes for the
# classes, all with the same weights, and the votes are averaged.
#
# Between a fixed window and the whole map lies
# :func:`~minires.nn.functional.adaptive_avg_pool2d`. It is told how many windows there
# are to be, and chooses their sizes. Counted from 0, window :math:`i` of :math:`O`
# begins at pixel :math:`\lfloor i H / O \rfloor` and ends before :math:`\lceil (i + 1)
# H / O \rceil`. With it the libraries' AlexNet takes images of other sizes than 224,
# although its linear layers want 6 x 6 pixels. Exercise 2 writes it.
#
# When the image moves
# --------------------
#
# On page 4 a digit moved by one pixel was a stranger to the MLP. What does pooling do
# about that? One thing is exact: a shift by one stride moves the pooled map by one
# pixel. A shift by less puts other pixels under each window, and the map becomes
# another one. Here the pixels that leave on one side come in on the other, so that
# there is no border to disturb:

pooled = max_pool(x, 2, 2)
by_two = max_pool(np.roll(x, 2, axis=3), 2, 2)
by_one = max_pool(np.roll(x, 1, axis=3), 2, 2)
print("moved by two:", np.array_equal(by_two, np.roll(pooled, 1, axis=3)))
print(
    f"moved by one: {100 * (by_one == pooled).mean():.0f} % of the pixels are unchanged"
)
means, moved_means = x.mean(axis=(2, 3)), np.roll(x, 1, axis=3).mean(axis=(2, 3))
print("mean of the whole map, the same:", np.allclose(means, moved_means, rtol=1e-5))

# %%
# So a small window does not make a map *invariant*, that is, unchanged under a shift.
# It can make the map less sensitive. A small experiment tells how much less: digits in
# the middle of 12 x 12 pixels as on page 4, two convolutions, then a pool, then a
# linear layer. Only the pool differs. The nets learn from digits in the middle, and are
# tested on those moved by a pixel. (Page 8 explains the optimizer's ``momentum``.)


class GlobalMaxPool(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, x.shape[2:])  # one window: (N, C, 1, 1)


epochs = 10
digits = data.load("digits")


def placed(split, down=0, right=0, border=2):
    rows, columns = (border + down, border - down), (border + right, border - right)
    return data.Split(
        np.pad(split.images, ((0, 0), (0, 0), rows, columns)), split.labels
    )


def train(pool, places, rate=0.05):
    """Train a net with this pool, which leaves this many places of 32 channels."""
    generator = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, generator=generator),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, generator=generator),
        nn.ReLU(),
        pool,
        nn.Flatten(),
        nn.Linear(32 * places, 10, generator=generator),
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


def error(net, *place, **border):
    split = placed(digits.test, *place, **border)
    return evaluate(net, data.Loader(split, 100, shuffle=False))[1]


directions = ((-1, 0), (1, 0), (0, -1), (0, 1))
nets = {
    "no pool": train(nn.Identity(), 144),
    "average 4 x 4": train(nn.AvgPool2d(4), 9),
    "maximum 2 x 2": train(nn.MaxPool2d(2), 36),
    "maximum 4 x 4": train(nn.MaxPool2d(4), 9),
    "global average": train(nn.GlobalAvgPool2d(), 1, rate=0.3),
    "global maximum": train(GlobalMaxPool(), 1),
}
errors = {}
for name, net in nets.items():
    errors[name] = error(net), np.mean([error(net, *place) for place in directions])
    print(
        f"{name:15} {errors[name][0]:5.1f} %, moved by a pixel {errors[name][1]:5.1f} %"
    )

figure, axes = plt.subplots(figsize=(6.4, 4.2))
lines = np.arange(len(errors))
unmoved, moved = np.array(list(errors.values())).T
axes.hlines(lines, unmoved, moved, color="0.7", linewidth=3, zorder=1)
axes.plot(unmoved, lines, "o", color="C0", markersize=9, label="in the middle")
axes.plot(moved, lines, "s", color="C1", markersize=9, label="moved by a pixel")
axes.set_yticks(lines, list(errors))
axes.invert_yaxis()
axes.set(xlabel="test error (%)", xlim=(0, None))
axes.legend(loc="lower right")
plt.show()

# %%
# Without a pool the net is brittle, convolutions or not: the linear layer behind them
# has a weight for each place, as in the MLP. The larger the maximum's window, the less
# a shift does. With one window for the whole map, it does next to nothing. An average
# of 4 x 4 helps less than a maximum of 4 x 4.
#
# The global average is as steady as the global maximum, but makes more errors
# altogether. (Its net learned at a larger rate, because the mean divides its gradient
# by 144.) It measures *how much* there is of each pattern that the convolutions find,
# and these patterns have only 5 x 5 pixels, as much as two convolutions see. Behind the
# many convolutions of a ResNet each value has seen most of the image or all of it.
# There the mean has an advantage: its gradient reaches every place, while that of a
# maximum goes to one place.
#
# Where moved digits still change the outputs of the global maximum, the border is the
# cause: a digit that moves comes so close to it that the convolutions see their padding
# beside the digit. In the middle of a wider picture, which the net takes because its
# pool is global, no difference is left:

net = nets["global maximum"]
with no_grad():
    logits = [
        net(Tensor(placed(digits.test, *place, border=6).images / 255, dtype="float32"))
        for place in ((0, 0), *directions)
    ]
difference = max(np.abs((values - logits[0]).numpy()).max() for values in logits)
print(
    f"largest difference of any logit: {difference:.0e} of {logits[0].max().item():.0f}"
)

# %%
# Does forgetting the place go too far? A 6 and a 9 consist of much the same parts in
# other places. So networks pool little by little, with convolutions in between that
# still see how the parts lie relative to each other, and forget the place as a whole
# only at the end.
#
# Exercises
# ---------
#
# 1. *Average pooling is a convolution.* Which weight makes
#    :func:`~minires.nn.functional.conv2d` compute ``avg_pool2d(x, 3, stride=2)`` of a
#    map with 4 channels? Use ``groups``. Check values and gradient. Why is there no
#    such weight for the maximum?
# 2. *Adaptive average pooling by hand.* Write it from the two formulas above, and check
#    it against the library for 7 x 5 pixels and 3 x 2 windows. For which sizes do its
#    windows overlap?
# 3. *Between average and maximum.* For maps without negative values, :math:`y =
#    (\mathrm{mean}(x^p))^{1/p}` is the average for :math:`p = 1`. Build it from the
#    library's operations, check its gradient, and show that it approaches the maximum
#    as :math:`p` grows.
# 4. *Change the experiment.* Put a convolution of stride 2 between the second ReLU and
#    the pool, in the nets with the global average and the global maximum. What happens
#    to the errors, unmoved and moved? Why is the steadiness gone, although the pool is
#    still global?
#
# :doc:`The solutions <solutions/06_pooling_solutions>` are a program, too.
