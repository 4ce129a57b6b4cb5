"""Sums over training steps: what comes out of them, for the history and for people to watch."""

import numpy as np

from minires.backend import kernels, library


class Tally:
    """The loss times the images, the wrong predictions, and the images of the steps so far.

    check: called as check(value) with each loss, to stop where it is not finite.
    """

    def __init__(self, check):
        self.check = check
        self.set(0.0, 0, 0)

    def add(self, loss, logits, labels):
        """Count a batch: its mean loss (one element), logits (N, classes) and labels (N,)."""
        value = loss.item()
        self.check(value)
        self.loss_sum += value * len(labels)
        self.error_count += int((logits.numpy().argmax(1) != labels).sum())
        self.image_count += len(labels)

    def read(self):
        """(loss sum, wrong predictions, images)."""
        return self.loss_sum, self.error_count, self.image_count

    def set(self, loss_sum, error_count, image_count):
        """Go on from these."""
        self.loss_sum, self.error_count, self.image_count = loss_sum, error_count, image_count


class DeviceTally(Tally):
    """The same sums on a GPU, in float64. Nobody waits for them before `read`, and `check` is called there.

    like: an array on that GPU.
    """

    def __init__(self, check, like):
        self.sums = library(like).zeros(3, np.float64)
        super().__init__(check)

    def add(self, loss, logits, labels):
        kernels.count_batch(self.sums, loss.data, logits.data, labels)

    def read(self):
        loss_sum, error_count, image_count = self.sums.get().tolist()
        self.check(loss_sum)
        return loss_sum, int(error_count), int(image_count)

    def set(self, loss_sum, error_count, image_count):
        for i, value in enumerate((loss_sum, error_count, image_count)):
            self.sums[i] = value
