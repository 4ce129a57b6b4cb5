"""Every error that minires raises on purpose.

Each also derives from the built-in exception that Python users expect, so `except ValueError` works too.
The command line prints the message of a `MiniresError` as one line and ends with exit code 2.
"""

from difflib import get_close_matches


class MiniresError(Exception):
    """Base of all the errors below."""


class ShapeError(MiniresError, ValueError):
    """Arrays whose shapes do not fit an operation or a layer."""


class DeviceError(MiniresError, RuntimeError):
    """Arrays of two devices in one operation, or a device that this machine does not have."""


class RecordingError(DeviceError):
    """A step that cannot be recorded as a CUDA graph."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A network and a batch that do not fit into the GPU's memory."""


class GraphError(MiniresError, RuntimeError):
    """A backward pass that cannot run: nothing to differentiate, or a graph already used."""


class GradientError(MiniresError, AssertionError):
    """A gradient that disagrees with finite differences."""


class OptionError(MiniresError, ValueError):
    """An argument outside of what the function or the layer accepts."""


class UnknownNameError(OptionError):
    """A model, data set, recipe or operation that does not exist; the message lists the nearest ones."""

    def __init__(self, kind, name, known):
        near = get_close_matches(str(name), known, n=3, cutoff=0.4)
        advice = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}; {advice}")


class DataError(MiniresError, ValueError):
    """A data file that is missing, truncated, corrupt or of another format."""


class DownloadError(DataError):
    """A download that failed or has the wrong checksum."""


class CheckpointError(MiniresError, RuntimeError):
    """Weights or a run folder that do not fit what was asked for."""


class DivergenceError(MiniresError, ArithmeticError):
    """A training loss that became NaN or infinite."""


class TrainingInterrupted(MiniresError):  # noqa: N818, not a mistake of anyone
    """Ctrl-C or SIGTERM during training, raised once the run is saved; `step` tells how far it came."""

    def __init__(self, step, saved):
        self.step = step
        outcome = "the run is saved" if saved else "nothing is saved, since it has no folder"
        super().__init__(f"training stopped after step {step}; {outcome}")


def first_few(names, most=5):
    """The names with commas between them, the first ones if they are many, for a message."""
    rest = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *rest])
