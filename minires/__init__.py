"""minires: plain and residual networks on a small NumPy autograd engine, written to be read."""

from minires import data, engine, models, nn, ops, optim
from minires.engine import Function, Tensor, gradcheck, no_grad
from minires.errors import MiniresError

__version__ = "0.1.0"

__all__ = [
    "Function",
    "MiniresError",
    "Tensor",
    "data",
    "engine",
    "gradcheck",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
]
