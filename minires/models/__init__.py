"""Networks by name: `create("resnet20")`."""

from minires.models.cifar_resnet import CifarResNet
from minires.models.registry import MODELS, create, names
from minires.models.summary import summarize

__all__ = ["MODELS", "CifarResNet", "create", "names", "summarize"]
