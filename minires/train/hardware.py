"""Where a network trains, and how: on the CPU, or on a GPU with the fastest kernels that take it."""

from contextlib import contextmanager, nullcontext
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
from minires.train.step import RecordedStep, Step
from minires.train.tally import DeviceTally, Tally


@dataclass(frozen=True)
class Hardware:
    """What a run computes on. `Hardware.choose` makes one.

    device: "cpu" or "cuda"; card: the Card of a GPU; rung, precision: see backend/cuda/ladder.py.
    not_recorded: why its steps are not recorded as CUDA graphs; None if they are.
    """

    device: str = "cpu"
    card: Card | None = None
    rung: str | None = None
    precision: str | None = None
    not_recorded: str | None = None

    @classmethod
    def choose(cls, device="cpu", rung=None, precision=None):
        """The hardware asked for; None for the fastest rung and precision that it has.

        Raises DeviceError where there is no such thing, with what to install or to type.
        """
        if device == "cpu":
            if rung is not None or precision is not None:
                asked = f"--rung {rung}" if precision is None else f"--precision {precision}"
                raise OptionError(f"{asked} is for a GPU; add --device cuda")
            return cls()
        if device != "cuda":
            raise DeviceError(f"unknown device {device!r}; use 'cpu' or 'cuda'")
        ladder.check(rung, precision)
        fastest = "tf32" if card().has_tensor_cores else "fp32"
        return cls("cuda", card(), rung or ladder.highest(card()), precision or fastest)

    def settled_for(self, model):
        """The same with the reason, if there is one, why this model's steps cannot be recorded."""
        if self.device == "cpu":
            return self
        return replace(self, not_recorded=why_not_recorded(model, self.rung))

    def __str__(self):
        if self.device == "cpu":
            return "CPU"
        how = "each step one CUDA graph"
        if self.not_recorded is not None:
            how = f"kernels started one by one, since {self.not_recorded}"
        return f"{self.card.name}, rung {self.rung}, precision {self.precision}, {how}"

    def to_json(self):
        """A dict for json.dumps, for the record."""
        if self.device == "cpu":
            return {"device": "cpu"}
        recorded = self.not_recorded is None
        return {
            "device": self.card.name,
            "rung": self.rung,
            "precision": self.precision,
            "recorded": recorded,
        }

    def loader(self, loader, classes):
        """A Loader whose batches are there; classes: how many there are."""
        if self.device == "cpu":
            return loader
        return on_device(loader, classes, bfloat16() if self.precision == "bf16" else np.float32)

    def tally(self, check, like):
        """A Tally that does not make the device wait; `like` is an array there."""
        return Tally(check) if self.device == "cpu" else DeviceTally(check, like)

    def recorder(self):
        """A Recorder to work on; None on the CPU."""
        return None if self.device == "cpu" else Recorder()

    def step(self, *parts, recorder):
        """A Step of the model, optimizer, loader and tally given, recorded where that is possible."""
        if recorder is None or self.not_recorded is not None:
            return Step(*parts)
        return RecordedStep(*parts, recorder)

    @contextmanager
    def in_use(self, recorder=None):
        """Compute with this rung and precision, and on a Recorder's stream, inside of `with ...in_use():`."""
        stream = nullcontext() if recorder is None else recorder.working()
        with ladder.using(self.rung, self.precision), stream:
            yield


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
