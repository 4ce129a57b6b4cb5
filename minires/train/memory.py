"""How much of a GPU's memory a training step takes, and which batch would fit."""

import numpy as np

from minires.backend import library, to_device
from minires.backend.device import load_cupy
from minires.engine import Tensor
from minires.errors import DeviceMemoryError
from minires.train.loss import classification_loss

SMALL, LARGER = 4, 8  # batch sizes to measure: what a step takes grows in proportion to the batch


def out_of_memory(trainer):
    """The DeviceMemoryError to raise where a GPU's memory was too small, with the batch that would fit.

    The trainer is of no use afterwards: what its steps had taken is given back.
    """
    size, pool = trainer.recipe.batch_size, load_cupy().get_default_memory_pool()
    trainer.training_step = trainer.recorder = None  # and with them what they recorded
    trainer.model.zero_grad()
    pool.free_all_blocks()
    free, _ = load_cupy().cuda.runtime.memGetInfo()
    try:
        small, larger = (memory_of_a_step(trainer, n) for n in (SMALL, LARGER))
    except MemoryError:
        advice = f"not even {LARGER} fit; take a smaller network, or the CPU"
    else:
        each = max(larger - small, 1) / (LARGER - SMALL)
        fits = min(SMALL + int((free - small) / each), size - 1)
        advice = f"{fits} would fit: --batch-size {fits}"
    return DeviceMemoryError(
        f"a batch of {size} images does not fit into the GPU's memory, of which {free / 2**30:.1f} GiB are "
        f"free; {advice}"
    )


def memory_of_a_step(trainer, batch_size):
    """Bytes that forward and backward of a batch need at most at a time, the weights aside."""
    cuda, given = load_cupy().cuda, trainer.input_format
    pool = cuda.MemoryPool()
    parameters = list(trainer.model.parameters())
    with trainer.hardware.in_use(), cuda.using_allocator(pool.malloc):
        shape = batch_size, given.channels, given.size, given.size
        images = library(parameters[0].data).zeros(shape, np.float32)
        labels = to_device(np.zeros(batch_size, np.int64), "cuda")
        loss, _ = classification_loss(trainer.model(Tensor(images)), labels)
        loss.backward()
        del loss, images, labels
        trainer.model.zero_grad()
        return pool.total_bytes()
