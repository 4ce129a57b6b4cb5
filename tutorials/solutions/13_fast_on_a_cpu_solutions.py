"""
Solutions to 13: fast on a CPU
==============================

The exercises of :doc:`../13_fast_on_a_cpu`.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor
from minires.nn import functional as F

plt.style.use("minires.plot.page")

generator = np.random.default_rng(0)
N, C, O, H, W = 4, 3, 5, 8, 10
x = generator.standard_normal((N, C, H, W))
w = generator.standard_normal((O, C, 3, 3))
bordered = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))

# %%
# 1. F(2, 3) in both directions
# -----------------------------
#
# In one dimension :math:`m = (G w) \odot (B^T d)` and :math:`y = A^T m`, with the rows
# read off from the page's formulas:

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

d, v = generator.standard_normal(4), generator.standard_normal(3)
np.testing.assert_allclose(AT @ ((G @ v) * (BT @ d)), [d[:3] @ v, d[1:] @ v])

# %%
# In two dimensions the columns are transformed, then the rows. One tile:

tile, kernel = bordered[0, 0, :4, :4], w[0, 0]
y = AT @ ((G @ kernel @ G.T) * (BT @ tile @ BT.T)) @ AT.T
windows = np.lib.stride_tricks.sliding_window_view(tile, (3, 3))  # (2, 2, 3, 3)
np.testing.assert_allclose(y, (windows * kernel).sum(axis=(2, 3)), atol=1e-12)

# %%
# The tiles of a map overlap by two pixels: every second window of 4 x 4. The products
# are summed over the channels before they are transformed back, since that is linear.


def winograd_2d(x, w):
    bordered = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    tiles = np.lib.stride_tricks.sliding_window_view(bordered, (4, 4), axis=(2, 3))
    V = BT @ tiles[:, :, ::2, ::2] @ BT.T  # (N, C, H / 2, W / 2, 4, 4)
    U = G @ w @ G.T  # (O, C, 4, 4)
    M = np.einsum("ocij,ncpqij->nopqij", U, V)
    y = AT @ M @ AT.T  # (N, O, H / 2, W / 2, 2, 2)
    return y.transpose(0, 1, 2, 4, 3, 5).reshape(len(x), len(w), *x.shape[2:])


expected = F.conv2d(Tensor(x), Tensor(w), padding=1).numpy()
difference = np.abs(winograd_2d(x, w) - expected).max()
print(f"largest difference from the library: {difference:.1e}")
print(f"multiplications for an output and a channel: {16 / 4:g} instead of 9")

# %%
# 2. The gradient of the weights without columns
# ----------------------------------------------
#
# Forward, :math:`y_{pq}` is the sum of :math:`W_i \, x_{p+i,\,q..q+2}`. So :math:`W_i`
# collects the products of what it was multiplied with and of what comes back,
#
# .. math:: g^{W_i} = \sum_{p,q} g^y_{pq} \; x_{p+i,\,q..q+2}^T
#
# of shapes :math:`(O, N)` and :math:`(N, 3C)`: the sum over the images is inside of the
# matrix product.


def runs(x):
    """(H, W + 2, C, N) -> (H, W, 3*C, N), a view"""
    H, wide, C, N = x.shape
    return np.lib.stride_tricks.as_strided(
        x, (H, wide - 2, 3 * C, N), x.strides, writeable=False
    )


def weight_gradient(gy, x):
    """(H, W, O, N), (H + 2, W + 2, C, N) -> (O, C, 3, 3)"""
    H, _, O, _ = gy.shape
    C = x.shape[2]
    gW = np.empty((O, C, 3, 3), x.dtype)
    for i in range(3):
        products = gy @ runs(x[i : i + H]).swapaxes(2, 3)  # (H, W, O, 3*C)
        gW[:, :, i] = products.sum(axis=(0, 1)).reshape(O, 3, C).swapaxes(1, 2)
    return gW


gy = generator.standard_normal(expected.shape)
weight = Tensor(w, requires_grad=True)
F.conv2d(Tensor(x), weight, padding=1).backward(gy)
pixels, gy_pixels = (
    np.ascontiguousarray(a.transpose(2, 3, 1, 0)) for a in (bordered, gy)
)
error = np.abs(weight_gradient(gy_pixels, pixels) - weight.grad.numpy()).max()
print(f"largest difference from the library: {error:.1e}")

# %%
# 3. The size of a piece
# ----------------------

numbers = 2**23
a = generator.standard_normal(numbers, dtype=np.float32)
result = np.empty_like(a)


def one_sweep(piece):
    for first in range(0, len(a), piece):
        out = result[first : first + piece]
        np.multiply(a[first : first + piece], 2.0, out=out)
        out += 1.0
        np.maximum(out, 0, out=out)


pieces = [2**power for power in range(8, 24)]
milliseconds = []
for piece in pieces:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        one_sweep(piece)
        times.append(1e3 * (time.perf_counter() - start))
    milliseconds.append(min(times))

figure, axes = plt.subplots(figsize=(6, 3.6))
axes.loglog([4 * piece / 1024 for piece in pieces], milliseconds, marker="o")
axes.set(xlabel="piece (KiB)", ylabel="time of a sweep (ms)")
axes.xaxis.set_major_formatter("{x:,g}")
axes.yaxis.set_major_formatter("{x:,g}")
plt.show()

# %%
# With small pieces there are many calls, and each call costs the same whether it has
# much to do or little. A piece that is too large has left the nearest cache before the
# next of the three operations comes to it. What that costs depends on the cache behind:
# where that is fast and holds the whole array, it may be little.
