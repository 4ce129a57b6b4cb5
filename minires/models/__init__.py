"""Networks by name: `create("resnet20")`."""

from minires.models.alexnet import AlexNet
from minires.models.cifar_resnet import CifarResNet
from minires.models.imagenet_resnet import ResNet
from minires.models.inception import GoogLeNet
from minires.models.nin import NiN
from minires.models.preact import PreActResNet
from minires.models.published import published
from minires.models.registry import MODELS, create, input_size, names, notes_on_weights
from minires.models.resnext import CifarResNeXt
from minires.models.summary import summarize
from minires.models.vgg import VGG
from minires.models.weights import WeightsWarning, read_weights, rename, write_weights
from minires.models.wide import WideResNet

__all__ = [
    "MODELS",
    "VGG",
    "AlexNet",
    "CifarResNeXt",
    "CifarResNet",
    "GoogLeNet",
    "NiN",
    "PreActResNet",
    "ResNet",
    "WeightsWarning",
    "WideResNet",
    "create",
    "input_size",
    "names",
    "notes_on_weights",
    "published",
    "read_weights",
    "rename",
    "summarize",
    "write_weights",
]
