"""The batches of a Loader in a GPU's memory: made there where possible, else made on the host and copied."""

import numpy as np

from minires.backend import to_device
from minires.backend.cuda.augment import Stock
from minires.data.augment import Compose, CropAndFlip, Normalization, to_unit
from minires.data.dataset import Split
from minires.errors import DataError


def on_device(loader, classes=None, dtype=np.float32):
    """A DeviceLoader of the loader if there is one, else a HostLoader.

    There is one if the images are in memory and all that becomes of them is a normalization and at most one
    CropAndFlip. classes: how many there are; see DeviceLoader. dtype: of the images, float32 or bfloat16.
    """
    normalized, cropped = _normalization(loader.normalize), _crop_and_flip(loader.augment)
    if type(loader.split) is Split and normalized is not None and cropped is not None:
        return DeviceLoader(loader, classes, dtype)
    return HostLoader(loader, dtype)


class DeviceLoader:
    """The batches of a Loader, bit for bit, out of images that lie in the GPU's memory as uint8.

    `batch` and `epoch` are those of the Loader. `draw` can be recorded (backend/cuda/graph.py): all that
    differs between its batches lies in the GPU's memory too, where `prepare` puts it before each repetition.

        N = loader.prepare(step)
        repeat = recorder.record(lambda: train_on(*loader.draw(N)))
        repeat()  # with the batch of that step

    classes: how many there are. A recorded step cannot look at its labels, so they are checked here: raises
    DataError if one is out of range. Not checked if left out.
    """

    def __init__(self, loader, classes=None, dtype=np.float32):
        split, crop = loader.split, _crop_and_flip(loader.augment)
        if classes is not None:
            _check_labels(split.labels, classes)
        self.loader, self.dtype = loader, dtype
        self._epoch = None  # whose order is on the device
        mean, std = (
            np.broadcast_to(statistic, (1, *split.images.shape[1:]))[0]
            for statistic in _normalization(loader.normalize)
        )
        order, step = np.zeros(len(split), np.int32), np.zeros(1, np.int64)
        self._stock = Stock(
            *(_to_gpu(array) for array in (split.images, split.labels, order, step, mean, std)),
            key=loader.key,
            batch_size=loader.batch_size,
            batches=len(loader),
            pad=crop.pad,
            flip=crop.flip,
            reflect=crop.padding_mode == "reflect",
        )

    def __len__(self):
        """Batches in an epoch."""
        return len(self.loader)

    def batch(self, step):
        """The batch after `step` others: (N, C, H, W), in memory N, H, W, C, and int64 (N,)."""
        return self.draw(self.prepare(step))

    def epoch(self, epoch=0):
        """The batches of one epoch, in order."""
        return (self.batch(epoch * len(self) + i) for i in range(len(self)))

    def prepare(self, step):
        """Make the batch after `step` others the one that `draw` makes; returns how many images it has.

        Not to be recorded.
        """
        epoch = step // len(self) if self.loader.shuffle else 0
        if epoch != self._epoch:
            self._stock.order.set(self.loader.epoch_order(epoch).astype(np.int32))
            self._epoch = epoch
        self._stock.step.fill(step)  # a number goes along with a kernel: no copy that the host waits for
        first = step % len(self) * self.loader.batch_size
        return min(self.loader.batch_size, len(self.loader.split) - first)

    def draw(self, N):
        """The batch that was prepared, in new arrays; N: how many images it has."""
        return self._stock.draw(N, self.dtype)


class HostLoader:
    """The batches of a Loader, made on the host and copied to the GPU, always to one place for `draw`."""

    def __init__(self, loader, dtype=np.float32):
        self.loader, self.dtype = loader, dtype
        self._places = {}  # shape of the images: arrays for images and labels

    def __len__(self):
        """Batches in an epoch."""
        return len(self.loader)

    def batch(self, step):
        """The batch after `step` others, as Loader.batch says."""
        return self._moved(self.loader.batch(step))

    def epoch(self, epoch=0):
        """The batches of one epoch, as Loader.epoch says."""
        return map(self._moved, self.loader.epoch(epoch))

    def prepare(self, step):
        """Put the batch after `step` others where `draw` finds it; returns its shape. Not to be recorded."""
        batch = self._moved(self.loader.batch(step))
        places = self._places.setdefault(batch[0].shape, batch)
        for place, array in zip(places, batch, strict=True):
            place[...] = array
        return batch[0].shape

    def draw(self, shape):
        """The batch that was prepared: images of this shape, and labels."""
        return self._places[shape]

    def _moved(self, batch):
        images, labels = (to_device(array, "cuda") for array in batch)
        return images.astype(self.dtype, copy=False), labels


def _to_gpu(array):
    """A copy on the GPU with the last index innermost, as kernels expect it."""
    return to_device(np.ascontiguousarray(array), "cuda")


def _normalization(normalize):
    """(mean, std) of x = (image / 255 - mean) / std in float32; None where `normalize` is anything else."""
    if normalize is to_unit:
        return np.float32(0), np.float32(1)
    if type(normalize) is Normalization and np.result_type(normalize.mean, normalize.std) == np.float32:
        return normalize.mean, normalize.std
    return None


def _crop_and_flip(augment):
    """The CropAndFlip that `augment` amounts to; None where it is more than that."""
    parts = augment.augmentations if type(augment) is Compose else (augment,)
    parts = [part for part in parts if part is not None]
    if not parts:
        return CropAndFlip(0, flip=False)
    return parts[0] if len(parts) == 1 and type(parts[0]) is CropAndFlip else None


def _check_labels(labels, classes):
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError(f"label {wrong[0]} is out of range for {classes} classes (0 to {classes - 1})")
