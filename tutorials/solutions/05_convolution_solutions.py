"""
Solutions to 5: convolution
===========================

The exercises of :doc:`../05_convolution`.
"""

import numpy as np

from minires import Function, Tensor, data, gradcheck, nn, no_grad, optim
from minires.nn import functional as F

generator = np.random.default_rng(0)

# %%
# 1. Groups
# ---------
#
# im2col as on the page, here for stride 1 and with the dilation that the second
# exercise asks for: the window spans :math:`d (K - 1) + 1` pixels, and every
# :math:`d`-th of them is kept.


def im2col(x, kernel, padding=0, dilation=1):
    """(N, C, H, W) -> (N*OH*OW, C*KH*KW), and (OH, OW)"""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    span = tuple(dilation * (k - 1) + 1 for k in kernel)
    windows = np.lib.stride_tricks.sliding_window_view(x, span, axis=(2, 3))
    windows = windows[..., ::dilation, ::dilation]  # (N, C, OH, OW, KH, KW)
    N, C, OH, OW, KH, KW = windows.shape
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * OH * OW, C * KH * KW)
    return rows, (OH, OW)


# %%
# The channels are cut into groups, the filters, too, and each group is a convolution.


def conv_with_groups(x, W, groups):
    N, (O, deep, *kernel) = len(x), W.shape
    maps = []
    for k in range(groups):
        channels = x[:, k * deep : (k + 1) * deep]
        filters = W[k * O // groups : (k + 1) * O // groups]
        columns, size = im2col(channels, kernel)
        y = columns @ filters.reshape(len(filters), -1).T
        maps.append(y.reshape(N, *size, -1).transpose(0, 3, 1, 2))
    return np.concatenate(maps, axis=1)


x = generator.standard_normal((2, 4, 7, 6))
for groups in (1, 2, 4):
    W = generator.standard_normal((8, 4 // groups, 3, 3))
    expected = F.conv2d(Tensor(x), Tensor(W), groups=groups).numpy()
    np.testing.assert_allclose(conv_with_groups(x, W, groups), expected, atol=1e-12)
    print(f"{groups} groups agree; a filter has {W[0].size} weights")

# %%
# With as many groups as channels a filter sees one channel: nine weights.
#
# 2. Dilation
# -----------
#
# On the way back, place :math:`(i, j)` of the window covers the pixels from :math:`(d
# i, d j)` on.


def col2im(columns, shape, kernel, size, padding=0, dilation=1):
    """(N*OH*OW, C*KH*KW) -> (N, C, H, W) = shape"""
    (N, C, H, width), (KH, KW), (OH, OW) = shape, kernel, size
    columns = columns.reshape(N, OH, OW, C, KH, KW).transpose(0, 3, 1, 2, 4, 5)
    x = np.zeros((N, C, H + 2 * padding, width + 2 * padding), columns.dtype)
    for i in range(KH):
        for j in range(KW):
            top, left = dilation * i, dilation * j
            x[:, :, top : top + OH, left : left + OW] += columns[..., i, j]
    return x[:, :, padding : padding + H, padding : padding + width]


class DilatedConvolution(Function):
    def __init__(self, padding, dilation):
        self.options = padding, dilation

    def forward(self, x, W):
        self.saved = x, W
        columns, size = im2col(x, W.shape[2:], *self.options)
        y = columns @ W.reshape(len(W), -1).T
        return y.reshape(len(x), *size, len(W)).transpose(0, 3, 1, 2)

    def backward(self, gy):
        x, W = self.saved
        Y = gy.transpose(0, 2, 3, 1).reshape(-1, len(W))
        columns, size = im2col(x, W.shape[2:], *self.options)
        gW = (Y.T @ columns).reshape(W.shape)
        gX = Y @ W.reshape(len(W), -1)
        return col2im(gX, x.shape, W.shape[2:], size, *self.options), gW


W = generator.standard_normal((3, 4, 3, 3))
x = x[:1]
for padding, dilation in ((0, 2), (1, 2), (3, 3)):
    operation = DilatedConvolution(padding, dilation)
    y = F.conv2d(Tensor(x), Tensor(W), padding=padding, dilation=dilation)
    difference = np.abs(operation(Tensor(x), Tensor(W)).numpy() - y.numpy()).max()
    error = gradcheck(operation, [x, W])
    print(f"padding {padding}, dilation {dilation}: {difference:.1e}, {error:.1e}")
    np.testing.assert_allclose(difference, 0, atol=1e-12)

# %%
# 3. Stride and equivariance
# --------------------------
#
# With stride 2 there is an output for every second pixel. If the image moves by two
# pixels, the map moves by one:

image = generator.standard_normal((1, 1, 32, 32))
kernel = generator.standard_normal((1, 1, 3, 3))


def every_second(image):
    return F.conv2d(Tensor(image), Tensor(kernel), stride=2, padding=1).numpy()


by_two = every_second(np.roll(image, 2, axis=3))
after_two = np.abs(by_two - np.roll(every_second(image), 1, axis=3))[..., 2:-1].max()
print(f"moved by 2: largest difference {after_two:.1e}")

# %%
# If the image moves by one pixel, every window meets what lay between two windows
# before. No shift of the old map gives the new one:

by_one = every_second(np.roll(image, 1, axis=3))
after_one = min(
    np.abs(by_one - np.roll(every_second(image), step, axis=3))[..., 2:-2].max()
    for step in range(16)
)
print(f"moved by 1: largest difference {after_one:.1e}, at the best shift")

# %%
# So a network with strides is equivariant in steps of all its strides multiplied.
#
# 4. A linear layer on all places
# -------------------------------

digits = data.load("digits")
border = ((0, 0), (0, 0), (5, 5), (5, 5))
training = data.Split(np.pad(digits.train.images, border), digits.train.labels)
test_images = np.pad(digits.test.images, border)

epochs = 6
generator = np.random.default_rng(0)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, generator=generator),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, generator=generator),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(32 * 18 * 18, 10, generator=generator),
)
optimizer = optim.SGD(net.parameters(), lr=0.02, momentum=0.9, weight_decay=0.005)
batches = data.Loader(training, batch_size=64, seed=0)
for _ in range(epochs):
    for images, labels in batches:
        loss = F.cross_entropy(net(Tensor(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

flat_errors = []
for pixels in range(4):
    moved = np.roll(test_images, pixels, axis=3).astype(np.float32) / 255
    with no_grad():
        guesses = net(Tensor(moved)).argmax(1).numpy()
    flat_errors.append(100 * (guesses != digits.test.labels).mean())
print("test error in percent:", ", ".join(f"{error:.1f}" for error in flat_errors))

# %%
# The maps still move along with the digit. But then each place of each map meets a
# weight of its own, as the pixels do in an MLP. Equivariant layers alone do not make a
# net invariant. Something has to forget the place.
