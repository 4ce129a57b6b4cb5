"""Where a network trains, and how: on the CPU, or on a GPU with the fastest kernels that take it."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from minires.backend.cuda import ladder
from minires.backend.cuda.card import Card, card
from minires.backend.cuda.graph import Recorder
from minires.backend.cuda.implicit import fits
from minires.backend.device import bfloat16
from minires.data import on_device
from minires.errors import DeviceError, OptionError
from minires.nn import Conv2d, Dropout
from minires.train.running_sums import DeviceRunningSums, RunningSums
from minires.train.step import RecordedStep, Step


class Hardware:
    """What a run computes on: a CPU or a GPU, two classes with the same methods. `Hardware.choose` makes one.

    device: "cpu" or "cuda". checkpoint_every: steps between two checkpoints where nothing else is asked for.
    """

    @staticmethod
    def choose(device="cpu", rung=None, precision=None):
        """The hardware asked for; None for the fastest rung and precision that it has.

        Raises DeviceError where there is no such thing, with what to install or to type.
        """
        if device == "cpu":
            if rung is not None or precision is not None:
                asked = f"--rung {rung}" if precision is None else f"--precision {precision}"
                raise OptionError(f"{asked} is for a GPU; add --device cuda")
            return CPU()
        if device != "cuda":
            raise DeviceError(f"unknown device {device!r}; use 'cpu' or 'cuda'")
        ladder.check(rung, precision)
        fastest = "tf32" if card().has_tensor_cores else "fp32"
        return GPU(card(), rung or ladder.highest(card()), precision or fastest)


class CPU(Hardware):
    """This machine's processor."""

    device = "cpu"
    checkpoint_every = 100

    def for_model(self, model):
        """The same hardware, now that it is known what will be trained."""
        return self

    def __str__(self):
        return "CPU"

    def to_json(self):
        """A dict for json.dumps, for the record."""
        return {"device": "cpu"}

    def loader(self, loader, classes):
        """A Loader whose batches lie where the network does. classes: how many the data has."""
        return loader

    def running_sums(self, check, like):
        """RunningSums for which Python does not wait. `like`: an array where the network lies."""
        return RunningSums(check)

    def step(self, train_on, loader, optimizer):
        """A Step, see there. optimizer: the SGD that train_on(images, labels) calls."""
        return Step(train_on, loader)

    def in_use(self):
        """The context in which everything is computed."""
        return nullcontext()


@dataclass(frozen=True)
class GPU(Hardware):
    """An NVIDIA GPU. Its steps are recorded as CUDA graphs where that is possible.

    rung, precision: see backend/cuda/ladder.py.
    not_recorded: why its steps are not recorded, None if they are.
    """

    card: Card
    rung: str
    precision: str
    not_recorded: str | None = None

    device = "cuda"
    checkpoint_every = 2000  # steps take so much less time than on a CPU

    def for_model(self, model):
        """The same hardware with the reason, if there is one, why this model's steps cannot be recorded."""
        return replace(self, not_recorded=why_not_recorded(model, self.rung))

    def __str__(self):
        how = "each step one CUDA graph"
        if self.not_recorded is not None:
            how = f"kernels started one by one, since {self.not_recorded}"
        return f"{self.card.name}, rung {self.rung}, precision {self.precision}, {how}"

    def to_json(self):
        """As for a CPU; the device is the GPU's name."""
        recorded = self.not_recorded is None
        return {
            "device": self.card.name,
            "rung": self.rung,
            "precision": self.precision,
            "recorded": recorded,
        }

    def loader(self, loader, classes):
        """As for a CPU. Raises MemoryError where the images do not fit into the GPU's memory."""
        return on_device(loader, classes, bfloat16() if self.precision == "bf16" else np.float32)

    def running_sums(self, check, like):
        """As for a CPU."""
        return DeviceRunningSums(check, like)

    def step(self, train_on, loader, optimizer):
        """As for a CPU, but on a stream of its own."""
        recorder = Recorder()
        if self.not_recorded is not None:
            return Step(train_on, loader, recorder.working)
        return RecordedStep(train_on, loader, optimizer, recorder)

    def in_use(self):
        """The context in which kernels are of this rung and precision."""
        return ladder.using(self.rung, self.precision)


def why_not_recorded(model, rung):
    """Why a step of the model cannot be recorded, or None if it can."""
    if rung == "explicit":
        return "cuBLAS, which multiplies on this rung, cannot be recorded"
    for name, module in model.named_modules():
        if isinstance(module, Dropout) and module.p > 0:
            return f"{name} (dropout) draws its random numbers on the CPU"
        if isinstance(module, Conv2d) and not fits(module.window):
            return f"the window of {name} is too large for the kernels of this rung, and cuBLAS takes over"
    return None
