"""Automatic differentiation: tensors, the operations that make them, and the backward pass.

Read in this order: tensor.py, function.py, backward.py, gradcheck.py.
"""

from minires.engine.function import Function, no_grad
from minires.engine.gradcheck import gradcheck
from minires.engine.tensor import Tensor

__all__ = ["Function", "Tensor", "gradcheck", "no_grad"]
