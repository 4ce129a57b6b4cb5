"""Residual networks in PyTorch, written from the papers; only the names of the weights are minires's."""

from functools import partial

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn
F = nn.functional


def conv(n_in, n_out, size, stride=1, groups=1):
    return nn.Conv2d(n_in, n_out, size, stride, padding=size // 2, groups=groups, bias=False)


def conv_bn_relu(n_in, n_out, size, stride=1):
    return [conv(n_in, n_out, size, stride), nn.BatchNorm2d(n_out), nn.ReLU()]


class ZeroPad(nn.Module):
    """Option A: every stride-th pixel; the new channels are zeros, on both sides of the old ones."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.stride, self.before = stride, (n_out - n_in) // 2
        self.after = n_out - n_in - self.before

    def forward(self, x):
        x = F.avg_pool2d(x, 1, self.stride)
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


def shortcut_of(shortcut, n_in, n_out, stride):
    if shortcut == "none":
        return None
    if shortcut == "conv1x1":
        return conv(n_in, n_out, 1, stride)
    if shortcut == "C" or (shortcut == "B" and (stride, n_in) != (1, n_out)):
        return nn.Sequential(conv(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))
    return nn.Identity() if (stride, n_in) == (1, n_out) else ZeroPad(n_in, n_out, stride)


class Addition(nn.Module):
    """Figure 2 of Identity Mappings: how the shortcut x and the branch f are added."""

    def __init__(self, shortcut, channels, factors=(0.5, 0.5), drop_rate=0.5):
        super().__init__()
        self.shortcut, self.factors = shortcut, factors
        if shortcut in ("exclusive_gating", "shortcut_gating"):
            self.gate = nn.Conv2d(channels, channels, 1)
        if shortcut == "dropout":
            self.dropout = nn.Dropout(drop_rate)

    def forward(self, x, f):
        if self.shortcut == "constant_scaling":
            return self.factors[0] * x + self.factors[1] * f
        if self.shortcut == "dropout":
            return self.dropout(x) + f
        if self.shortcut == "exclusive_gating":
            g = torch.sigmoid(self.gate(x))
            return (1 - g) * x + g * f
        if self.shortcut == "shortcut_gating":
            return (1 - torch.sigmoid(self.gate(x))) * x + f
        return x + f


class Block(nn.Module):
    """relu(shortcut + branch)"""

    def connect(self, n_in, n_out, stride, shortcut, options):
        self.n_out = n_out
        self.downsample = shortcut_of(shortcut, n_in, n_out, stride)
        self.addition = Addition(shortcut, n_out, **options)

    def forward(self, x):
        y = self.branch(x)
        return torch.relu(y if self.downsample is None else self.addition(self.downsample(x), y))


class BasicBlock(Block):
    def __init__(self, n_in, n_out, stride, shortcut, **options):
        super().__init__()
        self.conv1 = conv(n_in, n_out, 3, stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = conv(n_out, n_out, 3)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.connect(n_in, n_out, stride, shortcut, options)

    def branch(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(y))


class Bottleneck(Block):
    """n_in -> width -> width -> n_out"""

    def __init__(self, n_in, width, n_out, stride, shortcut, *, groups=1, stride_in_1x1=True, **options):
        super().__init__()
        self.conv1 = conv(n_in, width, 1, stride if stride_in_1x1 else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv(width, width, 3, 1 if stride_in_1x1 else stride, groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv(width, n_out, 1)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.connect(n_in, n_out, stride, shortcut, options)

    def branch(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return self.bn3(self.conv3(y))


class Paths(Block):
    """Figure 3 of ResNeXt, forms (a) and (b): `count` paths of `width` channels each."""

    def __init__(self, n_in, count, width, n_out, stride, form):
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(*conv_bn_relu(n_in, width, 1), *conv_bn_relu(width, width, 3, stride))
            for _ in range(count)
        )
        if form == "a":
            self.conv3 = nn.ModuleList(conv(width, n_out, 1) for _ in range(count))
        else:
            self.conv3 = conv(count * width, n_out, 1)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.connect(n_in, n_out, stride, "B", {})

    def branch(self, x):
        results = [path(x) for path in self.paths]
        if isinstance(self.conv3, nn.ModuleList):
            joined = torch.stack([last(y) for last, y in zip(self.conv3, results, strict=True)]).sum(0)
        else:
            joined = self.conv3(torch.cat(results, 1))
        return self.bn3(joined)


def stages(counts, n_in, parts):
    """One stage for each of `parts`: (n_out, block), where block is called with n_in, n_out and stride."""
    result = []
    for i, (n, (n_out, block)) in enumerate(zip(counts, parts, strict=True)):
        first = block(n_in=n_in, n_out=n_out, stride=2 if i else 1)
        result.append(nn.Sequential(first, *(block(n_in=n_out, n_out=n_out, stride=1) for _ in range(n - 1))))
        n_in = n_out
    return result


class ResNet(nn.Module):
    """He et al. 2015, Table 1."""

    def __init__(
        self,
        depth,
        shortcut="B",
        widths=(64, 128, 256, 512),
        classes=1000,
        stride_in_1x1=True,
        groups=1,
        width_per_group=64,
    ):
        super().__init__()
        if depth == 18:
            counts, parts = (2, 2, 2, 2), [(n, partial(BasicBlock, shortcut=shortcut)) for n in widths]
        else:
            assert depth == 50
            block = partial(Bottleneck, shortcut=shortcut, groups=groups, stride_in_1x1=stride_in_1x1)
            inner_widths = [groups * (n * width_per_group // 64) for n in widths]
            counts = (3, 4, 6, 3)
            parts = [(4 * n, partial(block, width=w)) for n, w in zip(widths, inner_widths, strict=True)]
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(counts, widths[0], parts)
        self.fc = nn.Linear(parts[-1][0], classes)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class CifarNet(nn.Module):
    """A 3 x 3 convolution, three stages of n blocks, the classifier."""

    def __init__(self, n, channels, parts, classes):
        super().__init__()
        self.conv1 = conv(3, channels, 3)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1, self.layer2, self.layer3 = stages([n] * 3, channels, parts)
        self.fc = nn.Linear(parts[-1][0], classes)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


class CifarResNet(CifarNet):
    """He et al. 2015, section 4.2, with basic blocks or with bottlenecks."""

    def __init__(self, depth, shortcut="A", widths=(16, 32, 64), classes=10, bottleneck=False, **options):
        options["shortcut"] = shortcut
        if bottleneck:
            n, parts = (depth - 2) // 9, [(4 * n, partial(Bottleneck, width=n, **options)) for n in widths]
        else:
            n, parts = (depth - 2) // 6, [(n, partial(BasicBlock, **options)) for n in widths]
        super().__init__(n, widths[0], parts, classes)


class CifarResNeXt(CifarNet):
    """Xie et al. 2016, section 5.3."""

    def __init__(self, depth, cardinality, width, classes=10, form="c"):
        parts = []
        for n_out, d in ((256, width), (512, 2 * width), (1024, 4 * width)):
            if form == "c":
                block = partial(Bottleneck, shortcut="B", width=cardinality * d, groups=cardinality)
                block = partial(block, stride_in_1x1=False)
            else:
                block = partial(Paths, count=cardinality, width=d, form=form)
            parts.append((n_out, block))
        super().__init__((depth - 2) // 9, 64, parts, classes)
