"""Batches out of images in the GPU's memory; see augment.cu."""

from dataclasses import dataclass

import numpy as np

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import empty_map, storage
from minires.backend.device import library

THREADS = 256
BLOCK_PIXELS = 4 * THREADS  # of an image that one block makes: enough to make up for the image's random word


@dataclass(frozen=True, eq=False)
class Stock:
    """What batches are made of, all of its arrays in the GPU's memory.

    images: uint8 (n, C, H, W); labels: int64 (n,); order: which image comes when in the epoch, int32 (n,);
    step: how many batches came before, int64 (1,); mean, std: float32 (C, H, W).
    key: of the random words, uint64 (2,), in the host's memory.
    batch_size, batches: of a whole batch, and in an epoch.
    pad, flip, reflect: those of data/augment.py's CropAndFlip; nothing is random with 0 and False.
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
        """The first N images of the batch of `step`: x (N, C, H, W), in memory N, H, W, C, and labels (N,).

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
