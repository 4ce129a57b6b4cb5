"""Training runs: the recipe as data, the loop, checkpoints, history."""

from minires.train.build import build_loaders, build_model
from minires.train.evaluation import evaluate, evaluate_run
from minires.train.history import History
from minires.train.recipe import RECIPES, Recipe, paper, quick
from minires.train.run_folder import RunFolder
from minires.train.trainer import Trainer, train

__all__ = [
    "RECIPES",
    "History",
    "Recipe",
    "RunFolder",
    "Trainer",
    "build_loaders",
    "build_model",
    "evaluate",
    "evaluate_run",
    "paper",
    "quick",
    "train",
]
