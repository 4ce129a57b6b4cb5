"""
Solutions to 12: bottlenecks and the ImageNet nets
==================================================

The exercises of :doc:`../12_imagenet_nets`.
"""

import numpy as np
from PIL import Image

from minires import Tensor, data, models, nn, no_grad, optim, train
from minires.nn import functional as F
from minires.nn.init import skip_init

# %%
# 1. ResNeXt-50 (32x4d)
# ---------------------
#
# With :math:`G` groups each output channel sees :math:`C / G` input channels, so that
# the 3 x 3 has :math:`O \, (C / G) \, 3^2` weights. Where the stride is in the 3 x 3,
# the first 1 x 1 still works on the large map.


def conv(C, O, K, H, groups=1):
    weights = O * C // groups * K**2
    return np.array([weights + 2 * O, weights * H**2])


def block(C, width, H, stride):
    inner, O = 2 * width, 4 * width
    cost = conv(C, inner, 1, H * stride)
    cost = cost + conv(inner, inner, 3, H, groups=32) + conv(inner, O, 1, H)
    return cost + (conv(C, O, 1, H) if C != O else 0), O


total, C = conv(3, 64, 7, 112), 64
for n, width, H in ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)):
    for j in range(n):
        cost, C = block(C, width, H, stride=2 if width > 64 and j == 0 else 1)
        total = total + cost
parameters, multiply_adds = total + np.array([C * 1000 + 1000, C * 1000])

with skip_init():
    rows = models.summarize(models.create("resnext50_32x4d"))
assert parameters == sum(row.parameters for row in rows)
assert multiply_adds == sum(row.multiply_adds for row in rows)
print(f"{parameters:,} parameters, {multiply_adds:,} multiply-adds, as in the library")

# %%
# That is about what ResNet-50 has. The groups pay for the doubled width.
#
# 2. Only the statistics?
# -----------------------
#
# The net and its training are those of the page, with a block in few lines.


def conv_bn(C, O, K, stride, generator):
    options = {"stride": stride, "padding": K // 2, "bias": False}
    return nn.Sequential(
        nn.Conv2d(C, O, K, generator=generator, **options), nn.BatchNorm2d(O)
    )


class Bottleneck(nn.Module):
    def __init__(self, C, width, stride, stride_in_1x1, generator):
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.part1 = conv_bn(C, width, 1, first, generator)
        self.part2 = conv_bn(width, width, 3, second, generator)
        self.part3 = conv_bn(width, 4 * width, 1, 1, generator)
        self.shortcut = conv_bn(C, 4 * width, 1, stride, generator)

    def forward(self, x):
        y = F.relu(self.part2(F.relu(self.part1(x))))
        return F.relu(self.part3(y) + self.shortcut(x))


def small_net(stride_in_1x1):
    generator = np.random.default_rng(0)
    return nn.Sequential(
        conv_bn(1, 16, 3, 1, generator),
        nn.ReLU(),
        Bottleneck(16, 8, 1, stride_in_1x1, generator),
        Bottleneck(32, 16, 2, stride_in_1x1, generator),
        Bottleneck(64, 32, 2, stride_in_1x1, generator),
        nn.GlobalAvgPool2d(),
        nn.Linear(128, 10, generator=generator),
    )


digits = data.load("digits")
normalize = data.pixel_mean(digits.train.images)
batches = data.Loader(digits.train, 32, normalize=normalize, seed=0)
tests = data.Loader(digits.test, 360, normalize=normalize, shuffle=False)

steps = 400
trained = small_net(stride_in_1x1=False)
optimizer = optim.SGD(trained.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
schedule = optim.cosine(0.05, steps)
for step in range(steps):
    images, labels = batches.batch(step)
    optimizer.lr = schedule(step)
    optimizer.zero_grad()
    F.cross_entropy(trained(Tensor(images)), labels).backward()
    optimizer.step()

moved_net = small_net(stride_in_1x1=True)
moved_net.load_state_dict(trained.state_dict())
_, as_trained = train.evaluate(trained, tests)
_, as_loaded = train.evaluate(moved_net, tests)
forward_steps = 100
with no_grad():
    for step in range(forward_steps):
        images, _ = batches.batch(step)
        moved_net(Tensor(images))  # in training mode: the running statistics follow
_, measured_anew = train.evaluate(moved_net, tests)
print(f"as trained:                  {as_trained:.1f} % wrong")
print(f"stride moved:                {as_loaded:.1f} % wrong")
print(f"and statistics measured anew: {measured_anew:.1f} % wrong")

# %%
# A small part of the damage is repaired, without any label. The rest is real: the 3 x 3
# of the moved net looks at pixels that lie twice as far apart as those that its weights
# have learned from, and at the border it meets the padding more often.
#
# 3. Ten crops by slicing
# -----------------------


def ten_crops(image, size):
    _, H, W = image.shape
    bottom, right = H - size, W - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    five = [
        image[:, top : top + size, left : left + size]
        for top, left in [*corners, (bottom // 2, right // 2)]
    ]
    return np.stack(five + [crop[:, :, ::-1] for crop in five])


pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 53), dtype=np.uint8)
library_crops = data.ten_crops(Image.fromarray(pixels.transpose(1, 2, 0)), 32)
np.testing.assert_array_equal(data.as_pixels(library_crops), ten_crops(pixels, 32))
print("the library agrees:", ten_crops(pixels, 32).shape)
