"""
12. Bottlenecks and the ImageNet nets
=====================================

**You build** the bottleneck block, a count of every parameter and multiply-add of five
ImageNet nets from the paper's table, and the way from a photo to five guesses.

**You need** pages 7, 8 and 10, and nothing but the digits in the package.

**It takes** less than 60 seconds on two cores to run; reading takes longer.

The networks that classify photos are the same idea as ResNet-20 at another scale: 224 x
224 pixels, 1,000 classes, up to 152 layers. What is new is the block that makes such
depths affordable, and that others have trained them already.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from minires import Tensor, data, models, nn, no_grad, optim, train
from minires.errors import CheckpointError
from minires.nn import functional as F
from minires.nn.init import skip_init

plt.style.use("minires.plot.page")

# %%
# The table
# ---------
#
# Table 1 of the ResNet paper (He et al. 2015) describes five networks in a few lines. A
# stem comes first: a 7 x 7 convolution with stride 2 and 64 filters, and a 3 x 3 max
# pooling with stride 2. Four stages of blocks follow, called conv2 to conv5 there and
# ``layer1`` to ``layer4`` in most code. Then global average pooling, and a linear layer
# to 1,000 classes. The nets differ only in the kind of the blocks and in their number:

TABLE = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
WIDTHS = (64, 128, 256, 512)

# %%
# The depth counts the layers with weights on the way through: the first convolution,
# two or three for each block, and the last linear layer.

for depth, (block, counts) in TABLE.items():
    layers = {"basic": 2, "bottleneck": 3}[block]
    print(
        f"ResNet-{depth}: 1 + {layers} * {sum(counts)} + 1 = {layers * sum(counts) + 2}"
    )


def size_after(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


stem = size_after(224, kernel=7, stride=2, padding=3)
sizes = [size_after(stem, kernel=3, stride=2, padding=1)]
for _ in range(3):  # the first block of each further stage has stride 2
    sizes.append(size_after(sizes[-1], kernel=3, stride=2, padding=1))
print("224 ->", stem, "->", *sizes)

# %%
# Two kinds of blocks
# -------------------
#
# The *basic block* is the one of page 10: two 3 x 3 convolutions. The *bottleneck* has
# three. A 1 x 1 convolution reduces the channels to a quarter, the 3 x 3 works on those
# few, and another 1 x 1 brings back as many as there were. Batch norm follows each of
# them.


def draw_block(axes, channels, layers):
    """Boxes from top to bottom, the shortcut as a line around them."""
    bottom = -1.6 * len(layers)
    axes.plot([0, 0], [1.1, bottom - 1.6], color="k", linewidth=1, zorder=0)
    axes.plot([0, 2, 2, 0], [0.7, 0.7, bottom, bottom], color="C1", linewidth=2)
    axes.text(0.15, 1.15, f"{channels} channels", va="center")
    for i, text in enumerate(layers):
        y = -1.6 * i - 0.5
        axes.add_patch(
            Rectangle((-1.5, y - 0.4), 3, 0.8, facecolor="#dbe9f4", edgecolor="C0")
        )
        axes.text(0, y, text, ha="center", va="center")
        if i < len(layers) - 1:
            axes.text(0.15, y - 0.8, "ReLU", va="center", color="0.35")
    axes.text(
        0, bottom, "+", ha="center", va="center", bbox={"boxstyle": "circle", "fc": "w"}
    )
    axes.text(0.15, bottom - 0.9, "ReLU", va="center", color="0.35")
    axes.text(0.15, bottom - 1.5, f"{channels} channels", va="center")
    axes.set_xlim(-1.7, 2.6)
    axes.set_ylim(-6.6, 1.5)
    axes.axis("off")


figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 4.4))
draw_block(left, 64, ["3 x 3, 64", "3 x 3, 64"])
draw_block(right, 256, ["1 x 1, 64", "3 x 3, 64", "1 x 1, 256"])
plt.show()

# %%
# What does it save? A convolution from :math:`C` to :math:`O` channels with windows of
# :math:`K \times K` has :math:`O \, C \, K^2` weights. For an output of :math:`H \times
# H` pixels each weight is used :math:`H^2` times, for one *multiply-add* each: a
# multiplication, and an addition to the sum. That is what the paper counts as "FLOPs".


def weights(C, O, K):
    return O * C * K**2


basic_64 = 2 * weights(64, 64, 3)
basic_256 = 2 * weights(256, 256, 3)
bottleneck_256 = weights(256, 64, 1) + weights(64, 64, 3) + weights(64, 256, 1)
print(f"basic block with  64 channels: {basic_64:>9,} weights")
print(f"basic block with 256 channels: {basic_256:>9,} weights")
print(f"bottleneck with  256 channels: {bottleneck_256:>9,} weights")

# %%
# For less than what a basic block costs on 64 channels, a bottleneck takes 256 through
# the net. A basic block on 256 would cost about 17 times as much. The price: the 3 x 3,
# the only layer that looks at neighbours, gets only 64 mixtures of the 256 channels.
#
# This is also why shortcuts without parameters matter here. A projection from 256 to
# 256 channels has 65,536 weights: it would nearly double the cost of a block.
#
# Counting a whole net
# --------------------
#
# Now all layers of all five nets, from the table. Each convolution is followed by batch
# norm with two parameters a channel and has no bias. The first block of a stage changes
# the number of channels (except in the first stage of basic blocks), so its shortcut is
# a 1 x 1 projection with batch norm: option B of page 10.


def conv(C, O, K, H):
    """(parameters with batch norm, multiply-adds); the output is O x H x H."""
    return np.array([weights(C, O, K) + 2 * O, weights(C, O, K) * H**2])


def basic_block(C, width, H, stride):
    cost = conv(C, width, 3, H) + conv(width, width, 3, H)
    return cost + (conv(C, width, 1, H) if stride > 1 or C != width else 0), width


def bottleneck_block(C, width, H, stride):
    O = 4 * width
    cost = conv(C, width, 1, H) + conv(width, width, 3, H) + conv(width, O, 1, H)
    return cost + (conv(C, O, 1, H) if stride > 1 or C != O else 0), O


def count(depth):
    """{stage: (parameters, multiply-adds)}."""
    kind, counts = TABLE[depth]
    block = {"basic": basic_block, "bottleneck": bottleneck_block}[kind]
    costs, C = {"stem": conv(3, 64, 7, stem)}, 64
    for i, (n, width, H) in enumerate(zip(counts, WIDTHS, sizes, strict=True)):
        total = np.zeros(2, np.int64)
        for j in range(n):
            cost, C = block(C, width, H, stride=2 if i > 0 and j == 0 else 1)
            total += cost
        costs[f"layer{i + 1}"] = total
    return costs | {"fc": np.array([C * 1000 + 1000, C * 1000])}


# %%
# Now compare with the library, which does not compute from a table, but sends an image
# through the network and looks at each layer (``skip_init`` leaves the weights at 0;
# counting does not need them). The paper's figures are in the last column.

PAPER = {18: 1.8e9, 34: 3.6e9, 50: 3.8e9, 101: 7.6e9, 152: 11.3e9}
for depth in TABLE:
    parameters, multiply_adds = sum(count(depth).values())
    with skip_init():
        rows = models.summarize(models.create(f"resnet{depth}"))
    assert parameters == sum(row.parameters for row in rows)
    assert multiply_adds == sum(row.multiply_adds for row in rows)
    print(
        f"ResNet-{depth:<3} {parameters:>10,} parameters {multiply_adds:>14,}"
        f"  paper: {PAPER[depth] / 1e9:.1f} billion"
    )

# %%
# Equal, to the last one. The paper's figures are these, cut or rounded to one decimal.
#
# Where do they sit?

stages = list(count(50))
figure, panels = plt.subplots(2, 1, figsize=(6.4, 5), sharex=True)
for panel, column, quantity in (
    (panels[0], 0, "parameters"),
    (panels[1], 1, "multiply-adds"),
):
    for shift, depth in ((-0.2, 18), (0.2, 50)):
        part = np.array([cost[column] for cost in count(depth).values()])
        places = np.arange(len(stages)) + shift
        panel.bar(places, 100 * part / part.sum(), 0.38, label=f"ResNet-{depth}")
    panel.set_ylabel(f"{quantity} (%)")
    panel.grid(axis="x", visible=False)
panels[0].legend()
panels[1].set_xticks(range(len(stages)), stages)
plt.show()

# %%
# Parameters gather at the end, computation does not. From stage to stage the number of
# channels doubles, so that a layer has four times the weights. But the map has a
# quarter of the pixels: what a block costs to compute stays the same. So a file's size
# says little about a net's speed.
#
# The bottleneck as a module
# --------------------------
#
# After page 10's basic block there is little to explain. The names of the layers are
# torchvision's; further down that will be of use:


class Bottleneck(nn.Module):
    def __init__(self, C, width, stride=1, stride_in_1x1=True, generator=None):
        stride1, stride2 = (stride, 1) if stride_in_1x1 else (1, stride)
        options = {"bias": False, "generator": generator}
        self.conv1 = nn.Conv2d(C, width, 1, stride=stride1, **options)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride2, padding=1, **options)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, **options)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Identity()
        if stride > 1 or C != 4 * width:
            projection = nn.Conv2d(C, 4 * width, 1, stride=stride, **options)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))  # (N, C, H, W) -> (N, width, ...)
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))  # -> (N, 4 * width, ...)
        return F.relu(y + self.downsample(x))


# %%
# The library's ResNet-50 has such a block at the start of its second stage, from 256
# channels to 512 on half the size. Ours takes its weights under their names, and gives
# the same output:

resnet50 = models.create("resnet50", generator=0)
library_block = resnet50.layer2[0]
our_block = Bottleneck(256, 128, stride=2)
our_block.load_state_dict(library_block.state_dict())
x = Tensor(np.random.default_rng(0).standard_normal((2, 256, 14, 14)), dtype="float32")
np.testing.assert_allclose(
    our_block(x).numpy(), library_block(x).numpy(), rtol=1e-4, atol=1e-4
)
print(x.shape, "->", our_block(x).shape, "and the library agrees")

# %%
# Where the stride is
# -------------------
#
# A block that halves the map has stride 2 in one of its convolutions. The paper has it
# in the first 1 x 1. A 1 x 1 with stride 2 takes every second pixel of every second row
# and looks at no other. The projection on the shortcut does the same, with the same
# pixels. So which of the block's input pixels influence its output? The gradient says
# it: it is 0 where a pixel has no influence.


def used_pixels(stride_in_1x1):
    block = Bottleneck(16, 8, stride=2, stride_in_1x1=stride_in_1x1, generator=0)
    x = np.random.default_rng(0).standard_normal((8, 16, 12, 12))
    x = Tensor(x, dtype="float32", requires_grad=True)
    upstream = np.random.default_rng(1).standard_normal((8, 32, 6, 6))
    (block(x) * Tensor(upstream, dtype="float32")).sum().backward()
    return np.abs(x.grad.numpy()).sum(axis=(0, 1)) > 0  # (12, 12)


figure, panels = plt.subplots(1, 2, figsize=(6.4, 3.3))
for panel, in_1x1, name in zip(panels, (True, False), ("1 x 1", "3 x 3"), strict=True):
    pixels = used_pixels(in_1x1)
    print(f"stride in the {name}: {100 * pixels.mean():.0f} % of the pixels matter")
    panel.pcolormesh(pixels[::-1], cmap="Blues", vmin=0, vmax=1.4, edgecolor="w")
    panel.set_title(f"stride in the {name}")
    panel.set_aspect("equal")
    panel.axis("off")
plt.show()

# %%
# Three quarters of what the stage before has computed is thrown away unseen. With the
# stride in the 3 x 3 everything is looked at. The price is a first 1 x 1 on four times
# as many pixels. Most libraries do this, torchvision among them, and it is known as
# "ResNet v1.5". Here it is the network ``resnet50_v1_5``. Its parameters have *the same
# names and the same shapes*, and it costs more:

with skip_init():
    rows = models.summarize(models.create("resnet50_v1_5"))
print(f"resnet50:      {sum(count(50).values())[1]:,} multiply-adds")
print(f"resnet50_v1_5: {sum(row.multiply_adds for row in rows):,} multiply-adds")

# %%
# And that is a trap. The weights of one load into the other without an error. Let us
# see what that does to a trained network. A small one is enough: three bottlenecks for
# the digits, trained with the stride where the libraries have it.


def small_net(stride_in_1x1, generator=None):
    generator = np.random.default_rng(generator)
    options = {"stride_in_1x1": stride_in_1x1, "generator": generator}
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False, generator=generator),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Bottleneck(16, 8, **options),  # 8 x 8
        Bottleneck(32, 16, stride=2, **options),  # 4 x 4
        Bottleneck(64, 32, stride=2, **options),  # 2 x 2
        nn.GlobalAvgPool2d(),
        nn.Linear(128, 10, generator=generator),
    )


digits = data.load("digits")
normalize = data.pixel_mean(digits.train.images)
batches = data.Loader(digits.train, 32, normalize=normalize, seed=0)
tests = data.Loader(digits.test, 360, normalize=normalize, shuffle=False)

seed = 0
steps = 400
trained = small_net(stride_in_1x1=False, generator=seed)
optimizer = optim.SGD(trained.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
schedule = optim.cosine(0.05, steps)
for step in range(steps):
    images, labels = batches.batch(step)
    optimizer.lr = schedule(step)
    optimizer.zero_grad()
    F.cross_entropy(trained(Tensor(images)), labels).backward()
    optimizer.step()

moved_net = small_net(stride_in_1x1=True)
moved_net.load_state_dict(trained.state_dict())  # no complaint
_, right_error = train.evaluate(trained, tests)
_, wrong_error = train.evaluate(moved_net, tests)
print(f"stride where it was in training: {right_error:.1f} % wrong")
print(f"the same weights, stride moved:  {wrong_error:.1f} % wrong")

# %%
# Far worse, and still better than the 90 % of guessing: it looks like a bad network,
# not like a mistake. If a ResNet-50 is worse than its authors report, this is the first
# thing to check.
#
# Weights that others have trained
# --------------------------------
#
# Training a ResNet-50 on a million photos is too much for a laptop. But a trained one
# is a file, and it fits every network with the same names and shapes:
# ``layer1.0.conv1.weight``, ``layer1.0.bn1.running_mean`` and so on. That is the whole
# secret of "loading pretrained weights". A file in the safetensors format is a table of
# names, shapes and places, followed by the numbers. Reading it runs no code; reading a
# pickle (``.pth``) may. So that there is something to read, we write one: a narrow
# ResNet-18, and beside its arrays the counters that PyTorch saves with each batch norm.

folder = tempfile.TemporaryDirectory()
work = Path(folder.name)
narrow = {"depth": 18, "widths": (8, 16, 32, 64), "classes": 10}
state = models.ResNet(**narrow, generator=0).state_dict()
for name in [name for name in state if name.endswith("running_mean")]:
    state[name.replace("running_mean", "num_batches_tracked")] = np.array(1_000)
models.write_weights(state, work / "narrow.safetensors")

loaded_state = models.read_weights(work / "narrow.safetensors")
for name in ("conv1.weight", "layer2.0.downsample.0.weight", "fc.bias"):
    print(f"{name:>28} {loaded_state[name].shape} {loaded_state[name].dtype}")
net = models.ResNet(**narrow)
net.load_state_dict(loaded_state)
print(
    "loaded:",
    all(np.array_equal(a, loaded_state[name]) for name, a in net.state_dict().items()),
)

# %%
# The counters are passed over. Any other tensor that does not fit leads to an error
# that names it, and then no weight is changed. A net of which one layer silently keeps
# its random weights would be worse than none.


def try_to_load(state, **options):
    try:
        models.ResNet(**narrow | options).load_state_dict(state)
        print("loaded")
    except CheckpointError as error:
        print(error)


other_names = models.rename(loaded_state, ["fc=linear"])  # a file from somewhere else
try_to_load(other_names)
try_to_load(loaded_state, classes=100)

# %%
# Other names are changed into ours by rules "old=new", where "old" is a regular
# expression:

try_to_load(models.rename(other_names, ["linear=fc"]))

# %%
# The real files come from timm, for example, as safetensors. (Its VGG is an exception:
# there the classifier has other names.) Or you make one where PyTorch is installed:
#
# .. code-block:: python
#
#     weights = torchvision.models.resnet50(weights="DEFAULT").state_dict()
#     safetensors.torch.save_file(weights, "resnet50.safetensors")
#
# They have their stride in the 3 x 3: load them into ``resnet50_v1_5``.
#
# From a photo to a batch
# -----------------------
#
# A photo has any size, and a network wants one. And a camera that is held upright may
# store the picture sideways, with a note (*EXIF orientation*) that it has to be turned.
# Here is such a file: a test digit in chalk on a blackboard, 480 x 640, stored lying.

test_index = 7
digit = np.pad(digits.test.images[test_index, 0], ((1, 1), (0, 0)))  # (8, 8) -> (10, 8)
chalk = Image.fromarray(digit).resize((480, 600), Image.Resampling.BICUBIC)
chalk = np.pad(np.asarray(chalk), ((20, 20), (0, 0)))[:, :, None] / 255  # (640, 480, 1)
grain = np.random.default_rng(0).normal(0, 6, (640, 480, 3))
scene = (np.array([10, 30, 22]) + grain) * (1 - chalk) + 255 * chalk
scene = Image.fromarray(scene.clip(0, 255).astype(np.uint8))

exif = Image.Exif()
exif[0x0112] = 6  # orientation: to be turned by 90 degrees, clockwise
scene.transpose(Image.Transpose.ROTATE_90).save(work / "photo.jpg", exif=exif)

stored = Image.open(work / "photo.jpg")
photo = data.open_photo(work / "photo.jpg")
print("stored:", stored.size, " opened:", photo.size)

# %%
# ``open_photo`` turned it upright. It gives RGB for a file of any kind. The usual test
# image of an ImageNet net is made in two steps: the shorter side becomes 256 pixels,
# and then the square of 224 x 224 in the centre is cut out. The library does both in
# one step and computes no more than the square, so that rounding may differ by a level.

W, H = photo.size
new_size = round(W * 256 / min(W, H)), round(H * 256 / min(W, H))
scaled = photo.resize(new_size, Image.Resampling.BILINEAR)
left, top = (scaled.width - 224) // 2, (scaled.height - 224) // 2
by_hand = np.asarray(scaled.crop((left, top, left + 224, top + 224)))  # (224, 224, 3)
by_hand = by_hand.transpose(2, 0, 1)  # -> (3, 224, 224)
image = data.as_pixels(data.CentreCrop(size=224, scale=256)(photo))
difference = np.abs(image.astype(int) - by_hand).max()
print(
    f"{photo.size} -> {scaled.size} -> {image.shape}, at most {difference} levels apart"
)

figure, panels = plt.subplots(1, 3, figsize=(6.4, 3.2))
panels[0].imshow(stored)
panels[0].set_title("as stored")
panels[1].imshow(scaled)
panels[1].set_title("upright, 256 wide")
panels[1].add_patch(
    Rectangle((left, top), 224, 224, fill=False, edgecolor="C1", linewidth=2)
)
panels[2].imshow(image.transpose(1, 2, 0))
panels[2].set_title("224 x 224")
for panel in panels:
    panel.axis("off")
plt.show()

# %%
# Pillow's bilinear filter averages over all pixels that become one. Leaving that out
# ("nearest") would give another image than the network was trained on.
#
# Then the pixels, 0 to 255, become numbers around 0: divide by 255, subtract a mean for
# each channel, divide by a standard deviation. They must be those of the training. Most
# networks trained on ImageNet expect these:

mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]  # (3, 1, 1)
std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
imagenet = data.Normalization(mean, std)
x = imagenet(image[None])  # uint8 (1, 3, 224, 224) -> float32
np.testing.assert_allclose(x[0], (image / 255 - mean) / std, atol=1e-5)

shapes = {}
for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
    getattr(resnet50, name).register_forward_hook(
        lambda module, inputs, y, name=name: shapes.update({name: y.shape})
    )
with no_grad(), resnet50.evaluating():
    logits = resnet50(Tensor(x))
for name, shape in (shapes | {"fc": logits.shape}).items():
    print(f"{name:>8}: {shape}")

# %%
# These are the sizes of the table. The guesses of this network are worth nothing, since
# its weights are random. With trained weights, the command is
#
# .. code-block:: sh
#
#     minires predict photo.jpg --model resnet50_v1_5 --weights resnet50.safetensors
#
# Five guesses
# ------------
#
# The net for digits above *is* trained. It takes a photo as 8 x 8 grey pixels, with the
# mean of its own training images subtracted. The steps are the same, except for the
# colours, which become one number: the brightness, to which green adds most and blue
# least, as for the eye. A :class:`~minires.train.Classifier` is a network together with
# all of that, so that a photo is all it needs. ``guesses`` sorts what it gives.

classifier = train.Classifier(trained, 8, normalize, digits.classes, channels=1)
p = classifier(photo)
small = photo.resize((8, 11), Image.Resampling.BILINEAR)  # the shorter side is 8
small = np.asarray(small)[1:9]  # the centre, (8, 8, 3)
grey = np.rint(small @ [0.299, 0.587, 0.114]).astype(np.uint8)[None, None]
with no_grad(), trained.evaluating():
    p_by_hand = F.softmax(trained(Tensor(normalize(grey)))).numpy()[0]
print(f"largest difference from doing it by hand: {np.abs(p - p_by_hand).max():.1e}")

best = train.guesses(p, digits.classes)
figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3), width_ratios=(1, 1.8))
left.imshow(photo)
left.axis("off")
bars = right.barh(range(5), [100 * guess.probability for guess in best])
right.set_yticks(range(5), [guess.name for guess in best])
right.bar_label(bars, fmt="%.1f %%", padding=3)
right.invert_yaxis()
right.set_xlim(0, 120)
right.set_xticks([0, 50, 100])
right.set_xlabel("probability (%)")
right.set_ylabel("digit")
plt.show()

# %%
# Looking ten times
# -----------------
#
# An object in a corner of a photo is outside of the centre crop. So AlexNet and the
# ResNet paper look at ten squares: four corners, the centre, and the mirror images of
# these five. The ten *probabilities* are averaged, not the ten logits.
# :func:`~minires.train.probabilities` does so by itself where it is given several views
# of an image.

crops = data.ten_crops(photo, 224, 256)
figure, panels = plt.subplots(2, 5, figsize=(6.4, 2.9))
for panel, crop in zip(panels.flat, crops, strict=True):
    panel.imshow(crop)
    panel.axis("off")
plt.show()

views = imagenet(data.as_pixels(crops))  # (10, 3, 224, 224)
averaged = train.probabilities(net, views[None])[0]  # (1, 10, 3, 224, 224) -> (10,)
one_by_one = np.concatenate([train.probabilities(net, view[None]) for view in views])
np.testing.assert_allclose(averaged, one_by_one.mean(axis=0), atol=1e-5)
print(views.shape, "->", one_by_one.shape, "-> mean", averaged.shape)

# %%
# At the command line that is ``--crops 10``. For digits it would be a mistake: the
# mirror image of a 9 is no digit. A result is complete only with the way it was
# measured. The paper's ResNet-50 has a top-1 error (the first guess is wrong) of 22.85
# % with ten crops; for the weights that its authors published they report 24.7 % with
# one. Compare errors only where they were measured alike.

folder.cleanup()

# %%
# Exercises
# ---------
#
# 1. ResNeXt-50 (32x4d) has bottlenecks with twice the width in the middle, whose 3 x 3
#    is split into 32 *groups*: each output channel sees only the input channels of its
#    own group. Its strides are in the 3 x 3. Count its parameters and multiply-adds,
#    and compare with ``models.summarize(models.create("resnext50_32x4d"))``.
# 2. How much of the damage that the moved stride does is only in batch norm's running
#    statistics? Load the weights as above, then send training images through the net in
#    training mode, without any step of the optimizer, and test again.
# 3. Write the ten crops of an array of shape :math:`(3, H, W)` by slicing, and check
#    them against ``data.ten_crops``, which takes a Pillow image (``Image.fromarray``
#    makes one of an array :math:`(H, W, 3)`) and gives ten.
#
# :doc:`The solutions <solutions/12_imagenet_nets_solutions>` are a program, too.
