"""Stochastic gradient descent, learning rates as functions of the step, and the mean of the weights."""

from minires.optim.average import WeightAverage
from minires.optim.schedule import cosine, plateau, step_decay, warm_up, warm_up_for
from minires.optim.sgd import SGD

__all__ = ["SGD", "WeightAverage", "cosine", "plateau", "step_decay", "warm_up", "warm_up_for"]
