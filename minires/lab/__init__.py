"""Experiments: each file measures one phenomenon, plots it and states the result."""

from minires.lab.degradation import degradation
from minires.lab.shift import shift_experiment

__all__ = ["degradation", "shift_experiment"]
