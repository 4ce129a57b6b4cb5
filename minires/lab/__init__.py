"""Experiments: each file measures one phenomenon, plots it and states what it found."""

from minires.lab.degradation import degradation
from minires.lab.shift import shift_experiment

__all__ = ["degradation", "shift_experiment"]
