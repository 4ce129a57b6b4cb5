"""
Solutions to 1: arrays
======================

The exercises of :doc:`../01_arrays`.
"""

import matplotlib.pyplot as plt
import numpy as np

from minires import data

plt.style.use("minires.plot.page")

digits = data.load("digits")
images, labels = digits.train.images / 255, digits.train.labels

# %%
# 1. The mean image of each digit
# -------------------------------
#
# With a loop over the ten digits:

means = np.stack(
    [images[labels == digit].mean(axis=0)[0] for digit in range(10)]
)  # (10, 8, 8)

# %%
# Without one: row :math:`k` of a matrix has :math:`1 / N_k` where an image shows the
# digit :math:`k`, and 0 elsewhere.

shows = np.arange(10)[:, None] == labels  # (10, 1) == (N) -> (10, N)
weights = shows / shows.sum(axis=1, keepdims=True)
as_product = (weights @ images.reshape(len(images), 64)).reshape(10, 8, 8)
np.testing.assert_allclose(as_product, means)

figure, panels = plt.subplots(2, 5, figsize=(6, 2.4))
for panel, mean in zip(panels.flat, means, strict=True):
    panel.imshow(mean)
    panel.axis("off")
plt.show()

# %%
# 2. One-hot labels
# -----------------

one_hot = (labels[:, None] == np.arange(10)).astype(
    np.float32
)  # (N, 1) == (10) -> (N, 10)
print(one_hot.shape, "ones in each row:", set(one_hot.sum(axis=1)))

# %%
# 3. The nearest neighbour
# ------------------------
#
# :math:`|a|^2` has the shape :math:`(M, 1)`, :math:`|b|^2` the shape :math:`(N)`, and
# the products of all pairs are one matrix product of shape :math:`(M, N)`.

a = digits.test.images.reshape(-1, 64) / 255
b = images.reshape(-1, 64)
squared = (a**2).sum(axis=1)[:, None] - 2 * a @ b.T + (b**2).sum(axis=1)
np.testing.assert_allclose(squared[3, 5], ((a[3] - b[5]) ** 2).sum(), atol=1e-9)

guesses = labels[squared.argmin(axis=1)]
wrong = 100 * (guesses != digits.test.labels).mean()
print(f"{wrong:.1f} % of {len(a)} test images are wrong")

# %%
# That is good, for a method that has learned nothing. It keeps all training images and
# looks at each of them for every guess. And what if the test images are moved by one
# pixel to the right?

moved = np.roll(digits.test.images, 1, axis=3).reshape(-1, 64) / 255
distances = (b**2).sum(axis=1) - 2 * moved @ b.T  # without |a|^2, the same for all b
wrong_if_moved = 100 * (labels[distances.argmin(axis=1)] != digits.test.labels).mean()
print(f"{wrong_if_moved:.1f} % are wrong after a shift by one pixel")

# %%
# The digits look the same to us. As vectors they are far apart. Page 4 sees the same in
# networks, and page 5 has the cure.
