"""How fast, and with how much memory: the same training step here and in PyTorch, measured in turn."""

from minires.bench import record
from minires.bench.compare import benchmark
from minires.bench.report import describe

__all__ = ["benchmark", "describe", "record"]
