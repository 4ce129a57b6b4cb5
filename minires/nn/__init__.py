"""Modules, layers and their functions, under the names that PyTorch users know."""

from minires.nn import functional, init, utils
from minires.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Identity,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    MSELoss,
    ReLU,
    Sigmoid,
    Tanh,
)
from minires.nn.module import Buffer, Module, Parameter
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
