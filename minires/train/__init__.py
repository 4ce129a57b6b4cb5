"""Training runs: the recipe as data, the loop, checkpoints, history."""

from minires.train.build import build_loaders, build_model
from minires.train.evaluation import evaluate, evaluate_run
from minires.train.history import History
from minires.train.loss import classification_loss
from minires.train.protocols import RECIPES, paper, quick
from minires.train.recipe import Recipe
from minires.train.run_folder import RunFolder
from minires.train.side_by_side import train_side_by_side
from minires.train.trainer import Report, Trainer, train

__all__ = [
    "RECIPES",
    "History",
    "Recipe",
    "Report",
    "RunFolder",
    "Trainer",
    "build_loaders",
    "build_model",
    "classification_loss",
    "evaluate",
    "evaluate_run",
    "paper",
    "quick",
    "train",
    "train_side_by_side",
]
