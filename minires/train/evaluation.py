"""Evaluation: the loss and the error of a model on a split."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minires.backend import kernels, library, to_numpy
from minires.data import load, on_device
from minires.engine import Tensor, no_grad
from minires.errors import CheckpointError, DataError, first_few
from minires.nn import Module
from minires.nn.functional import cross_entropy
from minires.nn.init import skip_init
from minires.optim import WeightAverage
from minires.recipes import Recipe
from minires.train.build import build_loaders, build_model, measure_input
from minires.train.input_format import InputFormat
from minires.train.out_of_memory import enough_memory_for
from minires.train.prediction import for_inference
from minires.train.run_folder import RunFolder


@no_grad()
def evaluate(model, loader, average=None):
    """(mean loss, error in percent) over one epoch of `loader`, in evaluation mode.

    It computes with a copy of the model whose batch norms are folded into convolutions (nn.utils). Attributes
    that a forward sets on `self` are set on the copy. A model with forward hooks, or with a forward that was
    set on a module's instance, is not copied.
    average: the model's WeightAverage, to evaluate the mean instead of the weights as they are.
    """
    sums = None
    with model.evaluating(), nullcontext() if average is None else average.in_use():
        net = for_inference(model)
        for images, labels in loader.epoch():
            # The sums are where the images are; so a GPU is waited for only once, at the end.
            sums = library(images).zeros(3, np.float64) if sums is None else sums
            logits = net(Tensor(images))
            kernels.count_batch(sums, cross_entropy(logits, labels).data, logits.data, labels)
    if sums is None:
        raise DataError("there are no images to evaluate on")
    loss, errors, count = to_numpy(sums).tolist()
    return loss / count, 100 * errors / count


@dataclass(frozen=True)
class TrainedRun:
    """A run at its latest checkpoint; the model has the averaged weights if the recipe averages them."""

    path: Path
    recipe: Recipe
    step: int
    model: Module
    input_format: InputFormat


def load_run(path, data_dir=None, device="cpu"):
    """The TrainedRun in a folder, its model on `device`; CheckpointError if there is no run or no checkpoint.

    The data is not read, except for a run of an older version, whose folder has no input.safetensors.
    data_dir: where the data lies now, if it has moved.
    """
    folder = RunFolder(path)
    recipe, checkpoint = folder.recipe(), folder.latest()
    if checkpoint is None:
        raise CheckpointError(f"{path} has no checkpoint yet")
    if folder.input_file.exists():
        input_format = InputFormat.load(folder.input_file)
    else:
        input_format = measure_input(recipe, load_data(recipe, data_dir))
    with skip_init():
        model = build_model(recipe, input_format.channels, len(input_format.classes))
    average = WeightAverage(model) if recipe.average_weights else None
    state = folder.load(checkpoint, model, average=average)
    if average is not None:
        average.apply()
    return TrainedRun(Path(path), recipe, state["run"]["step"], model.to(device), input_format)


def load_data(recipe, data_dir=None):
    """The recipe's Dataset. data_dir: where the data lies now, if it has moved."""
    location = {} if data_dir is None else {"data_dir": str(data_dir)}
    return load(recipe.data, **recipe.data_options | location)


def build_test_loader(run, data_dir=None):
    """The Loader of a TrainedRun's test images; CheckpointError if the data has other classes."""
    dataset = load_data(run.recipe, data_dir)
    if dataset.classes != run.input_format.classes:
        raise CheckpointError(
            f"{run.path} was trained on the classes {first_few(run.input_format.classes)}, but the data has "
            f"{first_few(dataset.classes)}"
        )
    return build_loaders(run.recipe, dataset, run.input_format)[1]


def evaluate_run(path, data_dir=None, device="cpu"):
    """(step, test loss, test error in percent) of the latest checkpoint in a run's folder.

    See load_run and build_test_loader.
    """
    with enough_memory_for("the network and its images", device):
        run = load_run(path, data_dir, device)
        loader = build_test_loader(run, data_dir)
        return run.step, *evaluate(run.model, loader if device == "cpu" else on_device(loader))
