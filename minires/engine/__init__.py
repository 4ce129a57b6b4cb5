"""Automatic differentiation: tensors, the operations that make them, and the backward pass.

Read in this order: tensor.py, function.py, backward.py, grad_mode.py.
"""

from minires.engine.function import Function
from minires.engine.grad_mode import no_grad
from minires.engine.tensor import Tensor

__all__ = ["Function", "Tensor", "no_grad"]
