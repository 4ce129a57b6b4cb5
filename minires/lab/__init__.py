"""Experiments: each file measures one phenomenon, plots it and states what it found."""

from minires.lab.degradation import degradation

__all__ = ["degradation"]
