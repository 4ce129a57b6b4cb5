"""Weights from other libraries: how their files are read, and their names changed to those used here.

A state is a dict {name: array}, as `Module.state_dict` gives it. Files are safetensors or NumPy's .npz.
Pickles (.pth, .pt, .bin) are refused, since a pickle can run any code when it is read.
"""

import re
import warnings
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minires.errors import CheckpointError, OptionError
from minires.nn import Module

PICKLES = {".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".th", ".tar"}


class WeightsWarning(UserWarning):
    """Weights that fit a network in every shape, but that belong to one that computes something else."""


class TorchvisionTwin(Module):
    """A network whose weights have torchvision's names and shapes, so that those load as they are.

    note_on_weights: in which way it still computes something else than torchvision's network; None if it
    computes the same, or if it was built with an option that says that the difference is meant.
    """

    note_on_weights = None

    def load_state_dict(self, state_dict, *arguments, **options):
        """Module.load_state_dict, with the note as a WeightsWarning if PyTorch saved the state.

        Such a state has a counter `num_batches_tracked` for each batch norm; this network has none.
        """
        result = super().load_state_dict(state_dict, *arguments, **options)
        unused = set(state_dict).difference(self.state_dict())
        if self.note_on_weights and any(name.endswith("num_batches_tracked") for name in unused):
            warnings.warn(self.note_on_weights, WeightsWarning, stacklevel=2)
        return result


def read_weights(path):
    """The state in a file; CheckpointError if it is missing, damaged or of a format that is not read."""
    path = Path(path).expanduser()
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{path} looks like a pickle, which can run any code when it is read; if you trust it, convert "
            "it with PyTorch: safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
        )
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                state = dict(archive)
        else:
            with safe_open(path, framework="numpy") as file:
                state = {name: _tensor(file, name, path) for name in file.keys()}  # noqa: SIM118, not a dict
    except (OSError, EOFError, ValueError, TypeError, BadZipFile, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot read weights from {path}: {reason}") from error
    for name, array in state.items():
        if array.dtype.kind not in "fiub":
            raise CheckpointError(f"{path}: {name} is {array.dtype}; weights are real numbers")
    return state


def _tensor(file, name, path):
    """One tensor; CheckpointError for a number format that NumPy does not have."""
    kind = file.get_slice(name).get_dtype()
    if kind == "BF16" or kind.startswith("F8"):
        raise CheckpointError(f"{path}: {name} is {kind}, which NumPy does not have; save it as float32")
    return file.get_tensor(name)


def write_weights(state, path):
    """Write a state as safetensors; CheckpointError if its name does not end in .safetensors
    or it cannot be written."""
    if Path(path).suffix != ".safetensors":
        raise CheckpointError(
            f"weights are written as safetensors; call the file {Path(path).stem}.safetensors"
        )
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write weights to {path}: {error}") from error


def rename(state, rules):
    """The state under other names.

    rules: strings "old=new", each applied to the names that the one before gave. `old` is a regular
    expression; what it matches becomes `new`, which may be empty or hold groups: "block([0-9])=layer\\1".
    Raises OptionError for a rule without "=", that is no regular expression, or that changes no name;
    CheckpointError if two tensors get the same name.
    """
    names = {name: name for name in state}
    for rule in rules:
        old, equals, new = rule.partition("=")
        if not equals or not old:
            raise OptionError(f"a rename must be OLD=NEW, not {rule!r}")
        try:
            changed = {name: re.sub(old, new, now) for name, now in names.items()}
        except (re.error, IndexError) as error:
            raise OptionError(f"rename {rule!r} is not a regular expression: {error}") from error
        if changed == names:
            raise OptionError(
                f"rename {rule!r} changes no name; one of them is {next(iter(names.values()))!r}"
            )
        names = changed
    renamed = {}
    for name, new in names.items():
        if new in renamed:
            raise CheckpointError(f"two tensors would be called {new!r}, one of them is {name!r} now")
        renamed[new] = state[name]
    return renamed
