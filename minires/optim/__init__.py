"""Stochastic gradient descent, and learning rates as functions of the step."""

from minires.optim.schedule import cosine, step_decay, warm_up
from minires.optim.sgd import SGD

__all__ = ["SGD", "cosine", "step_decay", "warm_up"]
