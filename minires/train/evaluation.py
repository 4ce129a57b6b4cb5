"""Evaluation: the loss and the error of a model on a split."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from minires.data import Dataset, Loader, load
from minires.engine import Tensor, no_grad
from minires.errors import CheckpointError, DataError
from minires.nn import Module
from minires.nn.functional import cross_entropy
from minires.nn.init import skip_init
from minires.optim import WeightAverage
from minires.train.build import build_loaders, build_model
from minires.train.recipe import Recipe
from minires.train.run_folder import RunFolder


@no_grad()
def evaluate(model, loader, average=None):
    """(mean loss, error in percent) over one epoch of `loader`, in evaluation mode.

    average: the model's WeightAverage, to evaluate the mean instead of the weights as they are.
    """
    loss = errors = count = 0
    with model.evaluating(), nullcontext() if average is None else average.in_use():
        for images, labels in loader.epoch():
            logits = model(Tensor(images))
            loss += cross_entropy(logits, labels, reduction="sum").item()
            errors += int((logits.argmax(1) != labels).sum())
            count += len(labels)
    if not count:
        raise DataError("there are no images to evaluate on")
    return loss / count, 100 * errors / count


@dataclass(frozen=True)
class TrainedRun:
    """A run as its latest checkpoint left it; the model has averaged weights if the recipe says so."""

    path: Path
    recipe: Recipe
    step: int
    model: Module
    dataset: Dataset
    test_loader: Loader


def load_run(path, data_dir=None):
    """The TrainedRun in a folder. data_dir: where the data lies now, if it has moved.

    Raises CheckpointError if there is no run or no checkpoint.
    """
    folder = RunFolder(path)
    recipe = folder.recipe()
    checkpoint = folder.latest()
    if checkpoint is None:
        raise CheckpointError(f"{path} has no checkpoint yet")
    moved = {} if data_dir is None else {"data_dir": str(data_dir)}
    dataset = load(recipe.data, **recipe.data_options | moved)
    with skip_init():
        model = build_model(recipe, dataset)
    average = WeightAverage(model) if recipe.average_weights else None
    state = folder.load(checkpoint, model, average=average)
    if average is not None:
        average.apply()
    _, test_loader = build_loaders(recipe, dataset)
    return TrainedRun(Path(path), recipe, state["run"]["step"], model, dataset, test_loader)


def evaluate_run(path, data_dir=None):
    """(step, test loss, test error in percent) of the latest checkpoint in a run's folder; see load_run."""
    run = load_run(path, data_dir)
    return run.step, *evaluate(run.model, run.test_loader)
