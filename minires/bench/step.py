"""One step of training and one of inference of a net, on random images."""

import numpy as np

from minires.engine import Tensor, no_grad
from minires.models import create
from minires.nn.utils import fuse_conv_bn_eval
from minires.optim import SGD
from minires.train import classification_loss

SGD_OPTIONS = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}  # the ResNet paper's, section 4.2


def batch(size, side=32, seed=0):
    """Images (size, 3, side, side) in float32 and their labels (size,), drawn from `seed`."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((size, 3, side, side), dtype=np.float32)
    return images, rng.integers(0, 10, size)


class MiniresStep:
    """A net of minires, an optimizer and a batch; `train()` and `infer()` each do one step."""

    def __init__(self, model, batch_size):
        self.model = create(model, generator=0)
        self.optimizer = SGD(self.model.parameters(), **SGD_OPTIONS)
        self.images, self.labels = batch(batch_size, self.model.input_size)
        self.folded = None  # the model for inference; None again after a training step

    def train(self):
        """Forward, backward, update; returns the loss."""
        self.folded = None
        loss, _ = classification_loss(self.model(Tensor(self.images)), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def infer(self):
        """The logits in evaluation mode, without a graph, as `minires predict` computes them."""
        if self.folded is None:
            self.folded = fuse_conv_bn_eval(self.model)
        with no_grad():
            return self.folded(Tensor(self.images))
