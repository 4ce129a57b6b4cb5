"""Benchmarks: speed and memory of the same training step in minires and in PyTorch, measured in turn."""

from minires.bench import record
from minires.bench.compare import benchmark
from minires.bench.report import describe

__all__ = ["benchmark", "describe", "record"]
