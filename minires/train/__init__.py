"""Training runs: the recipe as data, the loop, checkpoints, history."""

from minires.recipes import RECIPES, Recipe, paper, quick
from minires.train.build import build_loaders, build_model
from minires.train.classifier import Classifier
from minires.train.ensemble import Score, evaluate_together, score
from minires.train.evaluation import evaluate, evaluate_run, load_run
from minires.train.hardware import Hardware
from minires.train.history import History
from minires.train.loss import classification_loss
from minires.train.prediction import Guess, guesses, probabilities
from minires.train.reports import Report
from minires.train.run_folder import RunFolder
from minires.train.side_by_side import train_side_by_side
from minires.train.trainer import Trainer, train

__all__ = [
    "RECIPES",
    "Classifier",
    "Guess",
    "Hardware",
    "History",
    "Recipe",
    "Report",
    "RunFolder",
    "Score",
    "Trainer",
    "build_loaders",
    "build_model",
    "classification_loss",
    "evaluate",
    "evaluate_run",
    "evaluate_together",
    "guesses",
    "load_run",
    "paper",
    "probabilities",
    "quick",
    "score",
    "train",
    "train_side_by_side",
]
