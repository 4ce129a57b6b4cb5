"""What a person is told where a GPU's memory is too small, and which batch would fit."""

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

PROBE_IMAGES = 4, 8  # two batches to measure: what a step takes grows in proportion to the batch
LEFT_FREE = 0.05  # of the memory: blocks of many sizes never fill it up


@contextmanager
def enough_memory_for(what, device):
    """DeviceMemoryError where a GPU's memory is too small for `what` is done inside of `with`."""
    try:
        yield
    except MemoryError as error:
        if device == "cpu":
            raise
        raise DeviceMemoryError(
            f"{what} do not fit into the GPU's memory, of which {_gibibytes(_free_memory())} are free; "
            "take a smaller network, or --device cpu"
        ) from error


@contextmanager
def enough_memory_for_steps(trainer):
    """DeviceMemoryError, saying which batch would fit, where a GPU's memory is too small for training steps.

    The trainer is of no use afterwards: what its steps had taken is given back.
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
    trainer.training_step = None  # and with it what it recorded
    trainer.model.zero_grad()
    clear_frames(error.__traceback__)  # the step that failed still holds its maps
    free = _free_memory()
    try:
        small, larger = (_memory_of_a_run(trainer, n) for n in PROBE_IMAGES)
    except MemoryError:
        fits = 0
    else:
        room = (1 - LEFT_FREE) * free - small
        fewer, more = PROBE_IMAGES
        fits = min(fewer + int(room * (more - fewer) // max(larger - small, 1)), size - 1)
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


def _gibibytes(count):
    return f"{count / 2**30:.1f} GiB"


def _memory_of_a_run(trainer, batch_size):
    """Bytes for steps and, beside what is kept for these, for evaluations and for an epoch's last, smaller
    batch; the weights aside.
    """
    size, test = trainer.recipe.batch_size, trainer.test_loader.loader
    tested = min(batch_size * test.batch_size // size, len(test.split))
    last = batch_size * (len(trainer.train_loader.loader.split) % size) // size

    def step(images, labels):
        classification_loss(trainer.model(images), labels)[0].backward()
        trainer.model.zero_grad()

    def evaluation(images, labels):
        with no_grad(), trainer.model.evaluating():
            for_inference(trainer.model)(images)

    beside = [_memory_of(evaluation, trainer, tested)]
    if last > 1:
        beside.append(_memory_of(step, trainer, last))
    return _memory_of(step, trainer, batch_size) + max(beside)


def _memory_of(work, trainer, batch_size):
    """Bytes that work(images, labels) takes at most at a time."""
    cuda, given = load_cupy().cuda, trainer.input_format
    pool = cuda.MemoryPool()
    parameters = list(trainer.model.parameters())
    with trainer.hardware.in_use(), cuda.using_allocator(pool.malloc):
        shape = batch_size, given.channels, given.size, given.size
        images = library(parameters[0].data).zeros(shape, np.float32)
        labels = to_device(np.zeros(batch_size, np.int64), "cuda")
        work(Tensor(images), labels)
        del images, labels  # before the pool goes, which takes its memory with it
        return pool.total_bytes()
