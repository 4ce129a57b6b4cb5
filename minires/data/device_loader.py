"""The batches of a Loader in a GPU's memory: computed there where possible, else on the host and copied."""

import numpy as np

from minires.backend import to_device
from minires.backend.cuda.augment import BatchSource
from minires.data.augment import Compose, CropAndFlip, Normalization, to_unit
from minires.data.dataset import Split
from minires.errors import DataError


def on_device(loader, classes=None, dtype=np.float32):
    """A DeviceLoader of the loader where that is possible, else a HostLoader.

    It is possible if the images are in memory (a Split), `normalize` is `to_unit` or a Normalization in
    float32, and `augment` is at most one CropAndFlip.
    classes: the number of classes, for DeviceLoader to check the labels; a HostLoader does not check them.
    dtype: of the images, float32 or bfloat16.
    """
    mean_std, crop = _mean_and_std(loader.normalize), _as_crop_and_flip(loader.augment)
    if type(loader.split) is Split and mean_std is not None and crop is not None:
        return DeviceLoader(loader, classes, dtype)
    return HostLoader(loader, dtype)


class DeviceLoader:
    """The batches of a Loader, computed on the GPU from images that are stored there as uint8.

    `batch` and `epoch` give the batches of the Loader, in float32 bit for bit. `draw` can be recorded as a
    CUDA graph (backend/cuda/graph.py): it reads the step and the order of the images from the GPU's memory,
    and `prepare` writes them there before each repetition.

        N = loader.prepare(step)
        repeat = recorder.record(lambda: train_on(*loader.draw(N)))
        repeat()  # trains on the batch of that step

    classes: the number of classes. A recorded step cannot check its labels, so they are checked here: raises
    DataError if a label is out of range. Without `classes` they are not checked.
    """

    def __init__(self, loader, classes=None, dtype=np.float32):
        split, crop = loader.split, _as_crop_and_flip(loader.augment)
        if classes is not None:
            _check_labels(split.labels, classes)
        self.loader, self.dtype = loader, dtype
        self._epoch = None  # the epoch whose order is on the device
        mean, std = (
            np.broadcast_to(statistic, (1, *split.images.shape[1:]))[0]
            for statistic in _mean_and_std(loader.normalize)
        )
        order, step = np.zeros(len(split), np.int32), np.zeros(1, np.int64)
        self._source = BatchSource(
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
        """Batch `step`, counted from 0: images (N, C, H, W), in memory N, H, W, C, and labels int64 (N,)."""
        return self.draw(self.prepare(step))

    def epoch(self, epoch=0):
        """The batches of one epoch, in order."""
        return (self.batch(epoch * len(self) + i) for i in range(len(self)))

    def prepare(self, step):
        """Select batch `step`, counted from 0, for `draw`; returns N, its number of images.

        This must not be recorded.
        """
        epoch = step // len(self) if self.loader.shuffle else 0
        if epoch != self._epoch:
            self._source.order.set(self.loader.epoch_order(epoch).astype(np.int32))
            self._epoch = epoch
        self._source.step.fill(
            step
        )  # the number is a kernel's argument, so the host does not wait for a copy
        first = step % len(self) * self.loader.batch_size
        return min(self.loader.batch_size, len(self.loader.split) - first)

    def draw(self, N):
        """The batch that `prepare` selected, in new arrays. N: the number that `prepare` returned."""
        return self._source.draw(N, self.dtype)


class HostLoader:
    """The batches of a Loader, computed on the host and copied to the GPU.

    `draw` can be recorded: `prepare` copies all batches of one shape to the same arrays.
    """

    def __init__(self, loader, dtype=np.float32):
        self.loader, self.dtype = loader, dtype
        self._buffers = {}  # shape of the images: (images, labels) on the GPU

    def __len__(self):
        """Batches in an epoch."""
        return len(self.loader)

    def batch(self, step):
        """Batch `step`, counted from 0, as Loader.batch gives it, but in `dtype`."""
        return self._copied_to_gpu(self.loader.batch(step))

    def epoch(self, epoch=0):
        """The batches of one epoch, as Loader.epoch gives them, but in `dtype`."""
        return map(self._copied_to_gpu, self.loader.epoch(epoch))

    def prepare(self, step):
        """Copy batch `step` to the arrays of `draw`; returns its images' shape. This must not be recorded."""
        batch = self._copied_to_gpu(self.loader.batch(step))
        buffers = self._buffers.setdefault(batch[0].shape, batch)
        for buffer, array in zip(buffers, batch, strict=True):
            buffer[...] = array
        return batch[0].shape

    def draw(self, shape):
        """The batch that `prepare` copied: images and labels. shape: what `prepare` returned."""
        return self._buffers[shape]

    def _copied_to_gpu(self, batch):
        images, labels = (to_device(array, "cuda") for array in batch)
        return images.astype(self.dtype, copy=False), labels


def _to_gpu(array):
    """A copy on the GPU in row-major order, as the kernels expect it."""
    return to_device(np.ascontiguousarray(array), "cuda")


def _mean_and_std(normalize):
    """(mean, std) of x = (image / 255 - mean) / std in float32; None where `normalize` is anything else."""
    if normalize is to_unit:
        return np.float32(0), np.float32(1)
    if type(normalize) is Normalization and np.result_type(normalize.mean, normalize.std) == np.float32:
        return normalize.mean, normalize.std
    return None


def _as_crop_and_flip(augment):
    """The CropAndFlip that does the same as `augment`; None where no single CropAndFlip does."""
    parts = augment.augmentations if type(augment) is Compose else (augment,)
    parts = [part for part in parts if part is not None]
    if not parts:
        return CropAndFlip(0, flip=False)
    return parts[0] if len(parts) == 1 and type(parts[0]) is CropAndFlip else None


def _check_labels(labels, classes):
    wrong = labels[(labels < 0) | (labels >= classes)]
    if len(wrong):
        raise DataError(f"label {wrong[0]} is out of range for {classes} classes (0 to {classes - 1})")
