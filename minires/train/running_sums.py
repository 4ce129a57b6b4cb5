"""Running sums over training steps: the mean loss and the error, for the history and for reports."""

from typing import NamedTuple

import numpy as np

from minires.backend import kernels, library


class Sums(NamedTuple):
    """Sums over the images of several steps, and their means."""

    loss_sum: float = 0.0  # of each batch's mean loss times its number of images
    error_count: int = 0  # wrong predictions
    image_count: int = 0

    @property
    def loss(self):
        """The mean loss over the images."""
        return self.loss_sum / self.image_count

    @property
    def error(self):
        """The share of wrong predictions in percent."""
        return 100 * self.error_count / self.image_count


class RunningSums:
    """The Sums of the steps since the last `write`, on the CPU.

    check: called as check(value) with each loss; raises an error if it is not finite.
    """

    def __init__(self, check):
        self.check = check
        self.write(Sums())

    def add(self, loss, logits, labels):
        """Add a batch: its mean loss (one element), logits (N, classes) and labels (N,)."""
        value = loss.item()
        self.check(value)
        wrong = int((logits.numpy().argmax(1) != labels).sum())
        loss_sum, error_count, image_count = self.sums
        self.sums = Sums(loss_sum + value * len(labels), error_count + wrong, image_count + len(labels))

    def read(self):
        """The Sums so far."""
        return self.sums

    def write(self, sums):
        """Go on from these Sums."""
        self.sums = sums


class DeviceRunningSums(RunningSums):
    """The same on a GPU, in float64. Only `read` waits for the GPU, and calls `check` with the loss sum.

    like: an array on that GPU.
    """

    def __init__(self, check, like):
        self.array = library(like).zeros(3, np.float64)
        super().__init__(check)

    def add(self, loss, logits, labels):
        kernels.count_batch(self.array, loss.data, logits.data, labels)

    def read(self):
        loss_sum, error_count, image_count = self.array.get().tolist()
        self.check(loss_sum)
        return Sums(loss_sum, int(error_count), int(image_count))

    def write(self, sums):
        for i, value in enumerate(sums):
            self.array[i] = value
