"""The CIFAR nets in PyTorch, in PyTorch's usual style. The only file of minires that imports PyTorch.

The rest of minires works without PyTorch; this file is imported only for a comparison.
"""

import torch
from torch import nn
from torch.nn import functional as F

from minires.bench.step import SGD_OPTIONS, batch
from minires.models import create
from minires.models.blocks import BasicBlock as MiniresBlock
from minires.models.cifar_resnet import CifarResNet
from minires.models.shortcuts import ZeroPadShortcut
from minires.nn import Identity


def conv_and_norm(in_channels, channels, size, stride):
    """A convolution and its batch norm; only the stride changes the size."""
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

    def __init__(self, block):
        super().__init__()
        channels, in_channels = block.conv1.weight.shape[:2]
        self.conv1, self.bn1 = conv_and_norm(in_channels, channels, 3, block.conv1.stride)
        self.conv2, self.bn2 = conv_and_norm(channels, channels, 3, 1)
        shortcut = block.downsample
        if isinstance(shortcut, ZeroPadShortcut):
            self.downsample = ZeroPad(shortcut)
        elif isinstance(shortcut, Identity):
            self.downsample = nn.Identity()
        elif shortcut is not None:  # a projection
            self.downsample = nn.Sequential(*conv_and_norm(in_channels, channels, 1, block.conv1.stride))
        else:
            self.downsample = None

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y if self.downsample is None else y + self.downsample(x))


def twin(model):
    """The same CIFAR net in PyTorch, with weights of its own."""
    blocks = [BasicBlock(block) for stage in (model.layer1, model.layer2, model.layer3) for block in stage]
    width, in_channels = model.conv1.weight.shape[:2]
    classes, features = model.fc.weight.shape
    stem = conv_and_norm(in_channels, width, 3, 1)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)
    return nn.Sequential(*stem, nn.ReLU(), *blocks, *head)


def supports(name):
    """Whether there is a twin of the net called `name`."""
    model = create(name, generator=0)
    return isinstance(model, CifarResNet) and isinstance(model.layer1[0], MiniresBlock)


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
