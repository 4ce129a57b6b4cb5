"""ReLU, addition and selection."""

from minires.backend.device import library


def relu(x):
    """y = max(x, 0), element by element."""
    return library(x).maximum(x, 0)


def relu_gradient(gy, y):
    """gx = 0 where y <= 0, else gy: also where y is NaN."""
    return select(~(y <= 0), gy)


def select(mask, x):
    """x where the mask is true, else 0, broadcasting. (A product would make NaN of infinity times 0.)"""
    return library(x).where(mask, x, 0)


def add(a, b):
    """y = a + b, broadcasting."""
    return a + b
