"""Loader: the batches of a data set, in a random order that can be repeated."""

import numpy as np

from minires.data.augment import to_unit
from minires.data.randomness import EPOCH_STREAM, batch_generator, batch_key
from minires.errors import DataError, OptionError


class Loader:
    """Batches of a Split or an ImageFolder, shuffled anew in every epoch.

    `batch(step)` is a pure function of the seed and of `step`, the number of batches before it. So a run can
    be stopped after any step and resumed with the same next batch.

    split: has a length and read(chosen, generator) -> images uint8 (N, C, H, W) and labels (N,).
    normalize: called as normalize(images) on each batch of uint8 images -> float32; 0..255 becomes 0..1 if it
        is left out.
    augment: called as augment(x, generator) on the result of `normalize`; None for none. It is applied second
        so that a border of zeros has the value of the mean.
    drop_last: leave out a last batch that is smaller than the others.
    """

    def __init__(
        self, split, batch_size, *, normalize=to_unit, augment=None, shuffle=True, seed=0, drop_last=False
    ):
        if batch_size < 1:
            raise OptionError(f"Loader: batch_size must be at least 1, not {batch_size}")
        if drop_last and batch_size > len(split):
            raise OptionError(
                f"Loader: batch_size {batch_size} exceeds the {len(split)} images; drop_last leaves none"
            )
        self.split, self.batch_size, self.drop_last = split, batch_size, drop_last
        self.normalize, self.augment, self.shuffle, self.seed = normalize, augment, shuffle, seed
        self.key = batch_key(seed)
        self._order = None, None  # (epoch, the order of its images)
        self._next_epoch = 0

    def __len__(self):
        """Batches in an epoch."""
        full, rest = divmod(len(self.split), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def batch(self, step):
        """Batch `step`, counted from 0 over all epochs: images float32 (N, C, H, W) and labels int64 (N,).

        Raises DataError if all of its images were left out as unreadable.
        """
        x, labels = self._batch(step)
        if not len(labels):
            raise DataError(f"Loader: none of the {self.batch_size} images of a batch can be read")
        return x, labels

    def _batch(self, step):
        epoch, i = divmod(step, len(self))
        chosen = self.epoch_order(epoch)[i * self.batch_size : (i + 1) * self.batch_size]
        generator = batch_generator(self.key, step)
        images, labels = self.split.read(chosen, generator)
        x = self.normalize(images)
        if self.augment is not None:
            x = self.augment(x, generator)
        return x, labels

    def epoch(self, epoch=0):
        """The batches of one epoch, in order, without those that have no readable image."""
        batches = (self._batch(epoch * len(self) + i) for i in range(len(self)))
        return ((x, labels) for x, labels in batches if len(labels))

    def __iter__(self):
        """The batches of the next epoch: the first loop gives epoch 0, the second epoch 1, and so on."""
        epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        return self.epoch(epoch)

    def epoch_order(self, epoch):
        """The order of the images in an epoch: indices int64 (n,)."""
        if self._order[0] != epoch:
            n = len(self.split)
            generator = np.random.default_rng((self.seed, EPOCH_STREAM, epoch))
            order = generator.permutation(n) if self.shuffle else np.arange(n)
            self._order = epoch, order
        return self._order[1]
