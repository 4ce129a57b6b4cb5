"""Makes batches on the GPU, out of images in its memory. See augment.cu."""

from dataclasses import dataclass

import numpy as np

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import empty_map, storage
from minires.backend.device import library

THREADS = 256
BLOCK_PIXELS = 4 * THREADS  # of an image, for each block; enough work to outweigh computing the random word


@dataclass(frozen=True, eq=False)
class BatchSource:
    """The images, and all else that batches are made of. Its arrays lie in the GPU's memory, except `key`.

    images: uint8 (n, C, H, W); labels: int64 (n,); order: the images' indices in the order of the epoch,
    int32 (n,); step: how many batches came before, int64 (1,); mean, std: float32 (C, H, W).
    key: the key of the random words, uint64 (2,), in the CPU's memory.
    batch_size: images in a full batch; batches: batches in an epoch.
    pad, flip: those of data/augment.py's CropAndFlip; with 0 and False nothing is random.
    reflect: whether its padding_mode is "reflect".
    """

    images: object
    labels: object
    order: object
    step: object
    mean: object
    std: object
    key: np.ndarray
    batch_size: int
    batches: int
    pad: int = 0
    flip: bool = False
    reflect: bool = False

    def draw(self, N, dtype=np.float32):
        """The first N images of the batch of `step`: x (N, C, H, W), stored as N, H, W, C, and labels (N,).

        dtype: float32 or bfloat16.
        """
        _, C, H, W = self.images.shape
        x = empty_map(self.images, (N, C, H, W), dtype)
        labels = library(self.labels).empty(N, self.labels.dtype)
        if x.size:
            launch(
                "augment.cu",
                f"draw_batch_{storage(x)}",
                (N, blocks_for(H * W, BLOCK_PIXELS)),
                THREADS,
                *(self.images, self.labels, self.order, self.step, self.mean, self.std, x, labels),
                *(*self.key, self.batch_size, self.batches, self.pad, self.flip, self.reflect, C, H, W),
            )
        return x, labels
