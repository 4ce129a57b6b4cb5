"""What a network says about images: the probability of each class."""

from dataclasses import dataclass

import numpy as np

from minires.engine import Tensor, no_grad
from minires.nn.functional import softmax


@no_grad()
def probabilities(model, x):
    """The softmax of the model's logits, averaged over the views of each image: -> (N, classes), NumPy.

    x: (N, C, H, W), or (N, K, C, H, W) for K views of each image, such as ten crops (Krizhevsky et al. 2012,
    section 4.1).
    """
    views = 1 if x.ndim == 4 else x.shape[1]
    with model.evaluating():
        p = softmax(model(Tensor(x.reshape(-1, *x.shape[-3:])))).numpy()
    return p.reshape(-1, views, p.shape[-1]).mean(axis=1)


@no_grad()
def whole_probabilities(model, x):
    """The same from whole images of any size, (N, C, H, W): the model is applied at every position.

    A network with global average pooling does so by itself. In one that ends in fully connected layers these
    are applied as convolutions, and their logits are averaged over the positions.
    """
    with model.evaluating():
        if hasattr(model, "score_map"):
            logits = model.score_map(Tensor(x)).mean((2, 3))
        else:
            logits = model(Tensor(x))
        return softmax(logits).numpy()


@dataclass(frozen=True)
class Guess:
    """A class's name, its number, and its probability."""

    name: str
    label: int
    probability: float


def guesses(p, classes, count=5):
    """The `count` most probable classes of one image, most probable first.

    p: (classes,); classes: their names.
    """
    best = np.argsort(-p, kind="stable")[:count]
    return [Guess(classes[i], int(i), float(p[i])) for i in best]
