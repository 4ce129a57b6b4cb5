"""Running sums over training steps: what comes out of them, for the history and for people to watch."""

from typing import NamedTuple

import numpy as np

from minires.backend import kernels, library


class Sums(NamedTuple):
    """Sums over the images of some steps, and the means that they give."""

    loss_sum: float = 0.0  # each batch's mean loss times its images
    error_count: int = 0  # wrong predictions
    image_count: int = 0

    @property
    def loss(self):
        """The mean loss of an image."""
        return self.loss_sum / self.image_count

    @property
    def error(self):
        """The share of wrong predictions in percent."""
        return 100 * self.error_count / self.image_count


class RunningSums:
    """The Sums of the steps since they were last written, on the CPU.

    check: called as check(value) with each loss, to stop where it is not finite.
    """

    def __init__(self, check):
        self.check = check
        self.write(Sums())

    def add(self, loss, logits, labels):
        """Count a batch: its mean loss (one element), logits (N, classes) and labels (N,)."""
        value = loss.item()
        self.check(value)
        wrong = int((logits.numpy().argmax(1) != labels).sum())
        loss_sum, error_count, image_count = self.sums
        self.sums = Sums(loss_sum + value * len(labels), error_count + wrong, image_count + len(labels))

    def read(self):
        """The Sums of this moment."""
        return self.sums

    def write(self, sums):
        """Go on from these Sums."""
        self.sums = sums


class DeviceRunningSums(RunningSums):
    """The same on a GPU, in float64. Python waits for them in `read` only, and `check` is called there.

    like: an array on that GPU.
    """

    def __init__(self, check, like):
        self.there = library(like).zeros(3, np.float64)
        super().__init__(check)

    def add(self, loss, logits, labels):
        kernels.count_batch(self.there, loss.data, logits.data, labels)

    def read(self):
        loss_sum, error_count, image_count = self.there.get().tolist()
        self.check(loss_sum)
        return Sums(loss_sum, int(error_count), int(image_count))

    def write(self, sums):
        for i, value in enumerate(sums):
            self.there[i] = value
