"""A network's predictions for images: the probability of each class."""

from dataclasses import dataclass

import numpy as np

from minires.engine import Tensor, no_grad
from minires.errors import CheckpointError
from minires.nn.functional import softmax
from minires.nn.utils import fuse_conv_bn_eval


def for_inference(model):
    """The network that computes predictions: a copy of the model with folded batch norms.

    It is the model itself if a module has a forward hook, or a forward that was set on the instance.
    """
    is_customized = any(module._forward_hooks or "forward" in vars(module) for module in model.modules())
    return model if is_customized else fuse_conv_bn_eval(model)


@no_grad()
def probabilities(model, x):
    """The softmax of the model's logits, averaged over the views of each image: -> (N, classes), NumPy.

    Raises CheckpointError if they are not finite.

    x: float32 (N, C, H, W), or (N, K, C, H, W) for K views of each image, such as ten crops (Krizhevsky
    et al. 2012, section 4.1).
    """
    views = 1 if x.ndim == 4 else x.shape[1]
    with model.evaluating():
        p = softmax(model(Tensor(x.reshape(-1, *x.shape[-3:])).to(device_of(model)))).numpy()
    return require_finite(p).reshape(-1, views, p.shape[-1]).mean(axis=1)


@no_grad()
def probabilities_of_whole_photos(model, x):
    """The same for whole photos of any size, float32 (N, C, H, W): the model is applied at every position.

    A network with global average pooling does so by itself. The fully connected layers of other networks are
    applied as convolutions, and their logits are averaged over the positions (ConvNet.score_map).
    """
    with model.evaluating():
        x = Tensor(x).to(device_of(model))
        logits = model.score_map(x).mean((2, 3)) if hasattr(model, "score_map") else model(x)
        return require_finite(softmax(logits).numpy())


def device_of(model):
    """The device of a model's parameters; "cpu" if it has none."""
    return next((parameter.device for parameter in model.parameters()), "cpu")


def require_finite(p):
    """p itself; CheckpointError if some of its values are not finite."""
    if not np.isfinite(p).all():
        raise CheckpointError(
            "the network's probabilities are not finite; its weights or its input are ruined"
        )
    return p


@dataclass(frozen=True)
class Guess:
    """A class: its name, its number, and its probability."""

    name: str
    label: int
    probability: float


def guesses(p, classes, count=5):
    """The `count` most probable classes of one image, most probable first.

    p: (classes,); classes: their names.
    """
    best = np.argsort(-p, kind="stable")[:count]
    return [Guess(classes[i], int(i), float(p[i])) for i in best]
