"""Experiments: the degradation problem, shifted digits, and the check of all gradients."""

from minires.lab.degradation import degradation
from minires.lab.shift import shift_experiment

__all__ = ["degradation", "shift_experiment"]
