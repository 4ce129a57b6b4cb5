"""The state of a network: arrays by name, checked against its tensors before any of them changes."""

from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from minires.backend import is_floating, to_device, to_numpy
from minires.engine import Tensor
from minires.errors import CheckpointError, OptionTypeError
from minires.nn.members import values_at

# What load_state_dict returns, as in PyTorch: lists of names, which are empty where all names fit.
IncompatibleKeys = namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])


def load(module, state, strict):
    """Copy the arrays of a state into a module's tensors, as Module.load_state_dict says."""
    fit = match(module, state)
    misfits = fit.misfits()
    kinds = misfits if strict else ("reshaped", "unusable")
    if problems := [problem for kind in kinds for problem in misfits[kind]]:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise CheckpointError(f"weights do not fit {type(module).__name__}: {'; '.join(problems[:8])}{more}")
    for name, tensor in module.named_tensors():
        if name in fit.arrays:
            tensor.overwrite(to_device(Tensor(fit.arrays[name]).data, tensor.device))
    return IncompatibleKeys(fit.missing, fit.unexpected)


def match(module, state):
    """How a state {name: array, Tensor, list or number} fits a module, as a Match; nothing is changed.

    PyTorch lists a shared tensor under each of its names: these entries must be equal. It also saves a
    counter with each batch norm, `num_batches_tracked`, which the module need not have.
    """
    if not isinstance(state, Mapping):
        raise OptionTypeError(
            f"a state must be a dict of arrays by name, not {type(state).__name__}; read a file first, with "
            "minires.models.read_weights(path)"
        )
    tensors = dict(module.named_tensors())
    entries = {name: {} for name in tensors}
    fit = Match(missing=[name for name in tensors if name not in state])
    for name, value in state.items():
        first = name if name in tensors else first_name(module, name, tensors)
        if first is not None:
            entries[first][name] = value
        elif not str(name).endswith("num_batches_tracked"):
            fit.unexpected.append(name)
    for first, values in entries.items():
        fit.add(first, tensors[first].shape, values)
    return fit


def first_name(module, name, tensors):
    """The name in `tensors` of the tensor that another name of it leads to; None for any other name."""
    found = [id(value) for value in values_at(module, str(name))]
    return next((first for first, tensor in tensors.items() if id(tensor) in found), None)


@dataclass
class Match:
    """How a state fits a module.

    arrays: {name: array} for the module's tensors. missing, unexpected: names. reshaped, unusable: sentences
    about entries of another shape, and about those that the tensor cannot take.
    """

    arrays: dict = field(default_factory=dict)
    missing: list = field(default_factory=list)
    unexpected: list = field(default_factory=list)
    reshaped: list = field(default_factory=list)
    unusable: list = field(default_factory=list)

    def add(self, first, shape, values):
        """Add the entries {name: value} of one tensor of this shape, which is called `first`."""
        for name, value in values.items():
            array = as_numbers(value)
            other = self.arrays.get(first)
            if array is None:
                kind = getattr(value, "dtype", type(value).__name__)
                self.unusable.append(f"{name} ({kind}) cannot be read as an array of real numbers")
            elif array.shape != shape:
                self.reshaped.append(f"{name} has shape {array.shape}, not {shape}")
            elif other is not None and not np.array_equal(other, array, equal_nan=True):
                self.unusable.append(f"{' and '.join(values)} are one tensor here, but their values differ")
            else:
                self.arrays[first] = array

    def misfits(self):
        """{"missing": [...], "unexpected": [...], "reshaped": [...], "unusable": [...]}, all as sentences."""
        return {
            "missing": [f"missing {name}" for name in self.missing],
            "unexpected": [f"unexpected {name}" for name in self.unexpected],
            "reshaped": self.reshaped,
            "unusable": self.unusable,
        }


def as_numbers(value):
    """`value` as an array of NumPy of real numbers or truth values; None if it is no such array."""
    try:
        array = as_numpy(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):  # rows of different lengths, or a tensor on another device
        return None
    return array if array.dtype.kind in "iub" or is_floating(array.dtype) else None


def as_numpy(value):
    try:
        return to_numpy(value)
    except TypeError:  # no array of NumPy or CuPy: a list, a number, a tensor of minires or PyTorch
        return np.asarray(value)
