"""The error for a GPU's memory that is too small, with the size of a batch that would fit."""

import gc
from contextlib import contextmanager
from traceback import clear_frames

import numpy as np

from minires.backend import library, to_device
from minires.backend.device import load_cupy
from minires.engine import Tensor, no_grad
from minires.errors import DeviceMemoryError
from minires.train.loss import classification_loss
from minires.train.prediction import for_inference

PROBE_IMAGES = 4, 8  # two batches to measure: the memory of a step is a linear function of the batch size
UNUSED_FRACTION = 0.05  # of the memory: gaps between blocks of many sizes


@contextmanager
def enough_memory_for(contents, device):
    """Inside of `with`, a GPU's MemoryError becomes a DeviceMemoryError that names `contents`, a plural."""
    try:
        yield
    except MemoryError as error:
        if device == "cpu":
            raise
        raise DeviceMemoryError(
            f"{contents} do not fit into the GPU's memory, of which {_gibibytes(_free_memory())} are free; "
            "take a smaller network, or --device cpu"
        ) from error


@contextmanager
def enough_memory_for_steps(trainer):
    """Inside of `with`, a GPU's MemoryError becomes a DeviceMemoryError that says which batch would fit.

    The trainer cannot be used after the error: the memory of its steps is freed.
    """
    try:
        yield
    except MemoryError as error:
        if trainer.hardware.device == "cpu":
            raise
        raise out_of_memory(trainer, error) from error


def out_of_memory(trainer, error):
    """The DeviceMemoryError to raise where the MemoryError `error` ended a training run."""
    size = trainer.recipe.batch_size
    trainer.step_runner = None  # frees its recordings
    trainer.model.zero_grad()
    clear_frames(error.__traceback__)  # frees the maps of the step that failed
    free = _free_memory()
    try:
        fewer_bytes, more_bytes = (_memory_of_a_run(trainer, n) for n in PROBE_IMAGES)
    except MemoryError:
        fits = 0
    else:
        room = (1 - UNUSED_FRACTION) * free - fewer_bytes
        fewer, more = PROBE_IMAGES
        fits = min(fewer + int(room * (more - fewer) // max(more_bytes - fewer_bytes, 1)), size - 1)
    advice = f"{fits} would fit: --batch-size {fits}"
    if fits < 1:
        advice = f"not even {PROBE_IMAGES[1]} fit; take a smaller network, or the CPU"
    return DeviceMemoryError(
        f"a batch of {size} images does not fit into the GPU's memory, of which {_gibibytes(free)} are free; "
        f"{advice}"
    )


def _free_memory():
    gc.collect()
    load_cupy().get_default_memory_pool().free_all_blocks()
    return load_cupy().cuda.runtime.memGetInfo()[0]


def _gibibytes(byte_count):
    return f"{byte_count / 2**30:.1f} GiB"


def _memory_of_a_run(trainer, batch_size):
    """Bytes for training steps, and for an evaluation or an epoch's smaller last batch beside them; without
    the weights.
    """
    size, test = trainer.recipe.batch_size, trainer.test_loader.loader
    test_batch_size = min(batch_size * test.batch_size // size, len(test.split))
    last_batch_size = batch_size * (len(trainer.train_loader.loader.split) % size) // size

    def forward_and_backward(images, labels):
        classification_loss(trainer.model(images), labels)[0].backward()
        trainer.model.zero_grad()

    def evaluate(images, labels):
        with no_grad(), trainer.model.evaluating():
            for_inference(trainer.model)(images)

    additional = [_memory_of(evaluate, trainer, test_batch_size)]
    if last_batch_size > 1:
        additional.append(_memory_of(forward_and_backward, trainer, last_batch_size))
    return _memory_of(forward_and_backward, trainer, batch_size) + max(additional)


def _memory_of(function, trainer, batch_size):
    """The most bytes that function(images, labels) has in use at a time, for a batch of this size."""
    cuda, input_format = load_cupy().cuda, trainer.input_format
    pool = cuda.MemoryPool()
    parameters = list(trainer.model.parameters())
    with trainer.hardware.in_use(), cuda.using_allocator(pool.malloc):
        shape = batch_size, input_format.channels, input_format.size, input_format.size
        images = library(parameters[0].data).zeros(shape, np.float32)
        labels = to_device(np.zeros(batch_size, np.int64), "cuda")
        function(Tensor(images), labels)
        del images, labels  # before the pool, which frees their memory
        return pool.total_bytes()
