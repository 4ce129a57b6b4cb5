"""RunFolder: where a run keeps its recipe, metrics, curves and checkpoints.

    RUN/recipe.json                        the recipe, the versions, and the hardware
    RUN/input.safetensors                  how images become input, measured on the training images
    RUN/metrics.jsonl                      one row per log step and per evaluation
    RUN/curves.png                         training and test error
    RUN/checkpoints/step-00001000/         the latest checkpoint
        weights.safetensors                parameters and buffers
        optimizer.safetensors              velocities
        average.safetensors                sums of the weights so far, if the recipe averages them
        state.json                         step, random generators, running sums, position in the history

A checkpoint is written under another name, forced to the disk, and renamed. So a crash at any moment leaves
a complete checkpoint, the new one or the one before it.
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
    """The files of one run under `path`, a str, a Path or a RunFolder."""

    def __init__(self, path):
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.json"
        self.input_file = self.path / "input.safetensors"
        self.metrics_file = self.path / "metrics.jsonl"
        self.curves_file = self.path / "curves.png"
        self.checkpoints = self.path / "checkpoints"

    def __fspath__(self):
        return str(self.path)

    def check(self, recipe, resume=False, overwrite=False):
        """Raise the errors that `prepare` would raise before it writes; write nothing.

        resume: whether to go on with a run in the folder, if there is one; overwrite: whether to delete it.
        Raises OptionError if both `resume` and `overwrite` are given. Raises CheckpointError if the folder
        cannot be used, if it holds a run and neither is given, or if the run to resume has another recipe or
        its recipe.json cannot be read.
        """
        if resume and overwrite:
            raise OptionError("give --resume or --overwrite, not both")
        with self._os_errors_explained():
            existing = self.held()
        if existing and not (resume or overwrite):
            raise CheckpointError(
                f"{self.path} already holds a run ({', '.join(existing)}); add --resume to go on with it, "
                "--overwrite to start anew, or choose another folder with --out"
            )
        if existing and resume:
            self._check_same(recipe)

    def prepare(self, recipe, resume=False, overwrite=False, hardware=None):
        """Make the folder ready for `recipe`; returns the checkpoint to go on from, None for a new run.

        hardware: the Hardware on which a new run begins, to be kept in recipe.json.
        Raises what `check` raises, and CheckpointError if the folder cannot be written.
        """
        self.check(recipe, resume, overwrite)
        with self._os_errors_explained():
            if resume and self.held():
                self.checkpoints.mkdir(exist_ok=True)
                return self.latest()
            self.clear()
            self.checkpoints.mkdir(parents=True)
            content = {"recipe": recipe.to_json(), "environment": environment(hardware)}
            write_atomically(self.recipe_file, json.dumps(content, indent=2) + "\n")
        return None

    def held(self):
        """The names of a run's files and folders that exist already."""
        paths = (self.recipe_file, self.input_file, self.metrics_file, self.curves_file, self.checkpoints)
        return [path.name for path in paths if path.exists()]

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
        """The InputFormat with which the run began, or `measured` if the folder has none.

        Raises CheckpointError if `measured`, the InputFormat of the present data, differs from it.
        """
        if not self.input_file.exists():
            return measured
        kept = InputFormat.load(self.input_file)
        kept.check_same(measured, self.path)
        return kept

    def latest(self):
        """The folder of the latest checkpoint; None if there is none."""
        return max(self.checkpoints.glob("step-????????"), default=None)

    def save(self, step, model, optimizer, state, average=None):
        """Write the checkpoint of `step` and drop the older ones. `state` is a dict for JSON.

        average: the WeightAverage to keep with it, if there is one.
        Raises CheckpointError if it cannot be written; the checkpoint before it is then still there.
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
        """Restore the model, and the optimizer and average if given, from a checkpoint's folder.

        Returns the `state` that was given to `save`. Raises CheckpointError if the checkpoint is damaged, of
        another format, or of another model.
        """
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
    def _os_errors_explained(self):
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"cannot write to {self.path}: {error.strerror or error}; choose another folder with --out"
            ) from error

    def _check_same(self, recipe):
        kept = self.recipe()
        names = kept.differences(recipe)
        if names:
            details = ", ".join(f"{n} {getattr(kept, n)!r}, not {getattr(recipe, n)!r}" for n in names)
            raise CheckpointError(
                f"{self.path} holds a run of another recipe ({details}); give the options of that run again, "
                "or another folder with --out"
            )


def environment(hardware=None):
    """The versions and the hardware that a run is made with, to be kept with its results."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    return versions if hardware is None else versions | hardware.to_json()


def _contiguous(arrays):
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}
