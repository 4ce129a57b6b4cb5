"""The CIFAR nets in PyTorch, the way one would write them there. The only file that imports PyTorch.

Nothing else in minires needs PyTorch, and it is imported only when somebody asks for a comparison.
"""

import torch
from torch import nn
from torch.nn import functional as F

from minires.bench.step import SGD_OPTIONS, batch
from minires.models import create
from minires.models.blocks import BasicBlock as OurBlock
from minires.models.cifar_resnet import CifarResNet
from minires.models.shortcuts import ZeroPadShortcut
from minires.nn import Identity


def conv_and_norm(in_channels, channels, size, stride):
    """A convolution that keeps the size but for the stride, and its batch norm."""
    conv = nn.Conv2d(in_channels, channels, size, stride, padding=size // 2, bias=False)
    return conv, nn.BatchNorm2d(channels)


class ZeroPad(nn.Module):
    """Option A: every stride-th pixel, zeros for the new channels."""

    def __init__(self, shortcut):
        super().__init__()
        self.stride, self.before, self.after = shortcut.stride, shortcut.before, shortcut.after

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """The twin of a minires.models.blocks.BasicBlock."""

    def __init__(self, ours):
        super().__init__()
        channels, in_channels = ours.conv1.weight.shape[:2]
        self.conv1, self.bn1 = conv_and_norm(in_channels, channels, 3, ours.conv1.stride)
        self.conv2, self.bn2 = conv_and_norm(channels, channels, 3, 1)
        shortcut = ours.downsample
        if isinstance(shortcut, ZeroPadShortcut):
            self.downsample = ZeroPad(shortcut)
        elif isinstance(shortcut, Identity):
            self.downsample = nn.Identity()
        elif shortcut is not None:  # a projection
            self.downsample = nn.Sequential(*conv_and_norm(in_channels, channels, 1, ours.conv1.stride))
        else:
            self.downsample = None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y if self.downsample is None else y + self.downsample(x))


def twin(ours):
    """The same CIFAR net in PyTorch, with weights of its own."""
    blocks = [BasicBlock(block) for stage in (ours.layer1, ours.layer2, ours.layer3) for block in stage]
    widths, in_channels = ours.conv1.weight.shape[:2]
    classes, features = ours.fc.weight.shape
    stem = conv_and_norm(in_channels, widths, 3, 1)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)
    return nn.Sequential(*stem, nn.ReLU(), *blocks, *head)


def supports(model):
    """Whether there is a twin of this net."""
    ours = create(model, generator=0)
    return isinstance(ours, CifarResNet) and isinstance(ours.layer1[0], OurBlock)


class PyTorchStep:
    """The twin of a net of minires, an optimizer and a batch; `train()` and `infer()` each do one step."""

    def __init__(self, model, batch_size, threads, compiled=False):
        torch.set_num_threads(threads)
        self.model = twin(create(model, generator=0))
        self.optimizer = torch.optim.SGD(self.model.parameters(), **SGD_OPTIONS)
        self.images, self.labels = map(torch.from_numpy, batch(batch_size))
        self.forward = torch.compile(self.model) if compiled else self.model

    def train(self):
        """Forward, backward, update; returns the loss."""
        self.model.train()
        loss = F.cross_entropy(self.forward(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def infer(self):
        """The logits in evaluation mode, without a graph."""
        self.model.eval()
        return self.forward(self.images)


def version():
    """PyTorch's version."""
    return torch.__version__
