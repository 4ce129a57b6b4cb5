"""The errors of minires, all of them subclasses of MiniresError.

All but TrainingInterrupted also derive from the built-in exception that Python users expect, so that
`except ValueError` works too.
The command line prints the message of a `MiniresError` as one line and ends with exit code 2; after
TrainingInterrupted it is 130.
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
    """A wrong use of the graph: nothing to differentiate, a freed graph, or a leaf that may not change."""


class GradientError(MiniresError, AssertionError):
    """A gradient that disagrees with finite differences."""


class OptionError(MiniresError, ValueError):
    """An argument outside of what the function or the layer accepts."""


class OptionTypeError(OptionError, TypeError):
    """An argument or attribute of a type that is not accepted: a plain tensor as a parameter, say."""


class DtypeError(OptionTypeError):
    """A value that is no number, or numbers of a dtype that an operation cannot compute with."""


class UnknownNameError(OptionError):
    """A name that does not exist, of a model or a recipe, say; the message lists similar ones, or all."""

    def __init__(self, kind, name, known):
        near = get_close_matches(str(name), known, n=3, cutoff=0.4)
        advice = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(known)}"
        super().__init__(f"unknown {kind} {name!r}; {advice}")


class DataError(MiniresError, ValueError):
    """A data file that is missing, truncated, corrupt or of another format."""


class DownloadError(DataError):
    """A download that failed or has the wrong checksum."""


class CheckpointError(MiniresError, RuntimeError):
    """Weights or a run folder that do not fit the network, the recipe or the data."""


class DivergenceError(MiniresError, ArithmeticError):
    """A training loss that became NaN or infinite."""


class TrainingInterrupted(MiniresError):  # noqa: N818, not an error of the user or the program
    """Ctrl-C or SIGTERM during training, raised once the run is saved, if it has a folder.

    step: how many steps have been taken.
    """

    def __init__(self, step, saved):
        self.step = step
        outcome = "the run is saved" if saved else "nothing is saved, since it has no folder"
        super().__init__(f"training stopped after step {step}; {outcome}")


def first_few(names, most=5):
    """The names with commas between them, for a message: all of them, or the first `most` and a count."""
    rest = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *rest])
