"""minires: plain and residual networks on a small NumPy autograd engine, written to be read."""

from minires import data, engine, models, nn, ops, optim
from minires.backend import get_num_threads, set_num_threads
from minires.engine import Function, Tensor, no_grad
from minires.errors import MiniresError
from minires.gradcheck import gradcheck

__version__ = "0.1.0"

__all__ = [
    "Function",
    "MiniresError",
    "Tensor",
    "data",
    "engine",
    "get_num_threads",
    "gradcheck",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "set_num_threads",
]
