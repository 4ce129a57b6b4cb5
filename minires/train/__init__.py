"""Training runs: the recipe as data, the loop, checkpoints, history."""

from minires.train.build import build_loaders, build_model
from minires.train.evaluation import evaluate, evaluate_run
from minires.train.history import History
from minires.train.recipe import RECIPES, Recipe, paper, quick
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
    "evaluate",
    "evaluate_run",
    "paper",
    "quick",
    "train",
    "train_side_by_side",
]
