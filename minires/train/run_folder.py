"""RunFolder: where a run keeps its recipe, metrics, curves and checkpoints.

    RUN/recipe.json                        what was run, and with which versions
    RUN/input.safetensors                  how images become input, measured on the training images
    RUN/metrics.jsonl                      one row per log step and per evaluation
    RUN/curves.png                         training and test error
    RUN/checkpoints/step-00001000/         the latest checkpoint
        weights.safetensors                parameters and buffers
        optimizer.safetensors              velocities
        average.safetensors                sums of the weights so far, where the recipe averages them
        state.json                         step, random generators, running sums, position in the history

A checkpoint is written under another name, forced to the disk, and renamed. So a crash at any moment leaves
the one before it.
"""

import json
import platform
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minires.errors import CheckpointError, OptionError
from minires.recipes import Recipe
from minires.train.files import force_to_disk, write_atomically
from minires.train.input_format import InputFormat

FORMAT = 1


class RunFolder:
    """The files of one run under `path`."""

    def __init__(self, path):
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.json"
        self.input_file = self.path / "input.safetensors"
        self.metrics_file = self.path / "metrics.jsonl"
        self.curves_file = self.path / "curves.png"
        self.checkpoints = self.path / "checkpoints"

    def check(self, recipe, resume=False, overwrite=False):
        """Refuse what `prepare` would refuse, and write nothing.

        Raises CheckpointError if the folder cannot be used, if it holds a run and neither `resume` nor
        `overwrite` is given, or if the run to resume has another recipe or has lost its own.
        """
        if resume and overwrite:
            raise OptionError("give --resume or --overwrite, not both")
        with self._usable():
            held = self.held()
        if held and not (resume or overwrite):
            raise CheckpointError(
                f"{self.path} already holds a run ({', '.join(held)}); add --resume to go on with it, "
                "--overwrite to start anew, or choose another folder with --out"
            )
        if held and resume:
            self._check_same(recipe)

    def prepare(self, recipe, resume=False, overwrite=False, hardware=None):
        """Make the folder ready for `recipe`; returns the checkpoint to go on from, None for a new run.

        hardware: the Hardware that a new run begins on, for the record.
        Raises what `check` raises, and CheckpointError if the folder cannot be written.
        """
        self.check(recipe, resume, overwrite)
        with self._usable():
            if resume and self.held():
                self.checkpoints.mkdir(exist_ok=True)
                return self.latest()
            self.clear()
            self.checkpoints.mkdir(parents=True)
            content = {"recipe": recipe.to_json(), "environment": environment(hardware)}
            write_atomically(self.recipe_file, json.dumps(content, indent=2) + "\n")
        return None

    def held(self):
        """The names of a run's files and folders that are here already."""
        ours = (self.recipe_file, self.input_file, self.metrics_file, self.curves_file, self.checkpoints)
        return [path.name for path in ours if path.exists()]

    def clear(self):
        """Delete a run's files, and nothing else."""
        for file in (self.recipe_file, self.input_file, self.metrics_file, self.curves_file):
            file.unlink(missing_ok=True)
        for checkpoint in (*self.checkpoints.glob("step-????????"), *self.checkpoints.glob("writing")):
            shutil.rmtree(checkpoint)
        if self.checkpoints.exists():
            self.checkpoints.rmdir()

    def recipe(self):
        """The recipe in the folder; CheckpointError if there is none."""
        try:
            values = json.loads(self.recipe_file.read_text())["recipe"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path} holds no run: cannot read {self.recipe_file.name} ({error})"
            ) from error
        return Recipe.from_json(values)

    def same_input(self, measured):
        """The InputFormat that the run was begun with, or `measured` if the folder has none.

        Raises CheckpointError if `measured`, on the data of now, is another one.
        """
        if not self.input_file.exists():
            return measured
        kept = InputFormat.load(self.input_file)
        kept.check_same(measured, self.path)
        return kept

    def latest(self):
        """The folder of the latest checkpoint, None before the first."""
        return max(self.checkpoints.glob("step-????????"), default=None)

    def save(self, step, model, optimizer, state, average=None):
        """Write the checkpoint of `step` and drop the older ones. `state` is a dict for JSON.

        average: the WeightAverage to keep with it, if there is one.
        Raises CheckpointError if the disk does not take it; the checkpoint before it is then still there.
        """
        final = self.checkpoints / f"step-{step:08d}"
        if final.exists():
            return
        temporary = self.checkpoints / "writing"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            save_file(_contiguous(model.state_dict()), temporary / "weights.safetensors")
            save_file(_contiguous(optimizer.state_dict()), temporary / "optimizer.safetensors")
            if average is not None:
                save_file(_contiguous(average.state_dict()), temporary / "average.safetensors")
            (temporary / "state.json").write_text(json.dumps({"format": FORMAT, **state}))
            for path in (*temporary.iterdir(), temporary):
                force_to_disk(path)
            temporary.rename(final)
            force_to_disk(self.checkpoints)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot save the checkpoint {final}: {error}") from error
        for older in self.checkpoints.glob("step-????????"):
            if older != final:
                shutil.rmtree(older, ignore_errors=True)

    def load(self, checkpoint, model, optimizer=None, average=None):
        """Restore the model, and what else is given, from a checkpoint's folder; returns its state."""
        try:
            state = json.loads((checkpoint / "state.json").read_text())
            weights = load_file(checkpoint / "weights.safetensors")
            velocities = load_file(checkpoint / "optimizer.safetensors")
            sums = None if average is None else load_file(checkpoint / "average.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(f"checkpoint {checkpoint} is damaged: {error}") from error
        if state.get("format") != FORMAT:
            raise CheckpointError(
                f"checkpoint {checkpoint} has format {state.get('format')}, expected {FORMAT}"
            )
        try:
            model.load_state_dict(weights)
        except CheckpointError as error:
            raise CheckpointError(f"checkpoint {checkpoint} is of another model: {error}") from error
        if optimizer is not None:
            optimizer.load_state_dict(velocities)
        if average is not None:
            average.load_state_dict(sums)
        return state

    @contextmanager
    def _usable(self):
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"cannot write to {self.path}: {error.strerror or error}; choose another folder with --out"
            ) from error

    def _check_same(self, recipe):
        there = self.recipe()
        names = there.differences(recipe)
        if names:
            details = ", ".join(f"{n} {getattr(there, n)!r}, not {getattr(recipe, n)!r}" for n in names)
            raise CheckpointError(
                f"{self.path} holds a run of another recipe ({details}); repeat its options or use --out"
            )


def environment(hardware=None):
    """What a run was made with, for the record."""
    here = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    return here if hardware is None else here | hardware.to_json()


def _contiguous(arrays):
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
