"""Modules, layers and their functions, under the names that PyTorch users know."""

from minires.nn import functional, init, utils
from minires.nn.batch_norm import BatchNorm1d, BatchNorm2d
from minires.nn.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    LocalResponseNorm,
    ReLU,
    Sigmoid,
    Tanh,
)
from minires.nn.losses import CrossEntropyLoss, MSELoss
from minires.nn.module import Module
from minires.nn.parameter import Buffer, Parameter
from minires.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d
from minires.nn.sequential import Plus, Sequential, chain

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "Linear",
    "LocalResponseNorm",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "Parameter",
    "Plus",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "chain",
    "functional",
    "init",
    "utils",
]
