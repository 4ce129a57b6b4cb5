"""Where a network trains, and how: on the CPU, or on a GPU with kernels of one rung and one precision."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from warnings import warn

import numpy as np

from minires.backend.cuda import kernel_settings
from minires.backend.cuda.card import Card, card
from minires.backend.cuda.graph import Recorder
from minires.backend.cuda.implicit_gemm import fits
from minires.backend.dtypes import bfloat16
from minires.data import on_device
from minires.errors import DeviceError, OptionError
from minires.nn import BatchNorm2d, Conv2d, Dropout
from minires.train.running_sums import DeviceRunningSums, RunningSums
from minires.train.step_runner import RecordingStepRunner, StepRunner


class Hardware:
    """What a run computes on: a CPU or a GPU, two classes with the same methods. `Hardware.choose` makes one.

    device: "cpu" or "cuda". checkpoint_every: steps between two checkpoints if the caller gives no number.
    """

    def __new__(cls, *fields, **named_fields):
        if cls is Hardware:
            warn("Hardware(): write Hardware.choose() instead", DeprecationWarning, stacklevel=2)
            cls = CPU
        return super().__new__(cls)

    @staticmethod
    def choose(device="cpu", rung=None, precision=None):
        """The CPU or the GPU of this machine.

        rung: of the GPU's kernels; None for the highest that the GPU supports.
        precision: "fp32", "tf32" or "bf16"; None for "tf32", on a GPU without tensor cores
            for it "fp32".
        Raises DeviceError where there is no such hardware, with what to install or to type, and OptionError
        for an unknown rung or precision, or if one is given for the CPU.
        """
        if device == "cpu":
            if rung is not None or precision is not None:
                option = f"--rung {rung}" if precision is None else f"--precision {precision}"
                raise OptionError(f"{option} is for a GPU; add --device cuda")
            return CPU()
        if device != "cuda":
            raise DeviceError(f"unknown device {device!r}; use 'cpu' or 'cuda'")
        kernel_settings.check(rung, precision)
        default = "tf32" if card().has_tf32_tensor_cores else "fp32"
        return GPU(card(), rung or kernel_settings.highest_rung(card()), precision or default)


@dataclass(frozen=True)
class CPU(Hardware):
    """This machine's processor, which has one kind of kernels."""

    device = "cpu"
    checkpoint_every = 100
    card = rung = precision = None

    def for_model(self, model):
        """The hardware for training this model. A CPU is the same for all models."""
        return self

    def __str__(self):
        return "CPU"

    def to_json(self):
        """A dict for json.dumps, to be kept in recipe.json."""
        return {"device": "cpu"}

    def loader(self, loader, classes):
        """The loader, with its batches on the network's device. classes: how many the data has."""
        return loader

    def running_sums(self, check, like):
        """RunningSums on the network's device; see there for `check`. `like`: an array on that device."""
        return RunningSums(check)

    def step_runner(self, train_on_batch, loader, optimizer):
        """A StepRunner. optimizer: the SGD that train_on_batch(images, labels) calls."""
        return StepRunner(train_on_batch, loader)

    def in_use(self):
        """The context in which everything is computed."""
        return nullcontext()


@dataclass(frozen=True)
class GPU(Hardware):
    """An NVIDIA GPU. Its steps are recorded as CUDA graphs where that is possible.

    rung, precision: see backend/cuda/kernel_settings.py.
    why_not_recorded: why its steps are not recorded, None if they are.
    """

    card: Card
    rung: str
    precision: str
    why_not_recorded: str | None = None

    device = "cuda"
    checkpoint_every = 2000  # steps take far less time than on a CPU

    def for_model(self, model):
        """The same hardware with the reason, if there is one, why this model's steps cannot be recorded."""
        return replace(self, why_not_recorded=why_not_recorded(model, self.rung))

    def __str__(self):
        how = "each step one CUDA graph"
        if self.why_not_recorded is not None:
            how = f"kernels started one by one, since {self.why_not_recorded}"
        return f"{self.card.name}, rung {self.rung}, precision {self.precision}, {how}"

    def to_json(self):
        """As for a CPU; the device is the GPU's name."""
        recorded = self.why_not_recorded is None
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

    def step_runner(self, train_on_batch, loader, optimizer):
        """As for a CPU, but on a stream of its own."""
        recorder = Recorder()
        if self.why_not_recorded is not None:
            return StepRunner(train_on_batch, loader, recorder.working)
        return RecordingStepRunner(train_on_batch, loader, optimizer, recorder)

    def in_use(self):
        """The context in which the kernels have this rung and precision."""
        return kernel_settings.using(self.rung, self.precision)


def why_not_recorded(model, rung):
    """Why a step of the model cannot be recorded, or None if it can."""
    if rung == "explicit":
        return "cuBLAS, which multiplies on this rung, cannot be recorded"
    for name, module in model.named_modules():
        if isinstance(module, Dropout) and module.p > 0:
            return f"{name} (dropout) draws its random numbers on the CPU"
        if isinstance(module, BatchNorm2d) and module.momentum is None:
            return f"{name} (batch norm without a momentum) counts its batches on the CPU"
        if isinstance(module, Conv2d) and not fits(module.window):
            return f"the window of {name} is too large for the kernels of this rung, and cuBLAS takes over"
    return None
