"""How a feature map lies in the CPU's memory (for a GPU's see cuda/maps.py).

A map is (N, C, H, W) wherever a user looks. The fast kernels make it H, W, C, N in memory: pixel by pixel,
each with all channels of all images. Then a row of the map, or a shifted or strided part of it, consists of
long runs of neighbouring numbers, even where the map is small. And the pixels under one row of a
convolution's window lie side by side: they are already the column of numbers that the weights are multiplied
with, so nothing is copied.
"""

from minires.backend.device import library


def pixels_first(x):
    """(N, C, H, W) -> (H, W, C, N), and (N, C, ...) -> (..., C, N): a view."""
    return x.transpose(*range(2, x.ndim), 1, 0)


def images_first(x):
    """(H, W, C, N) -> (N, C, H, W): the inverse of pixels_first, a view."""
    return x.transpose(x.ndim - 1, x.ndim - 2, *range(x.ndim - 2))


def zeros_in_order_of(x, shape):
    """Zeros with the dtype of x and, if `shape` has as many axes as x, with its order in memory."""
    if not shape:  # CuPy takes the shape () for the shape of x
        return library(x).zeros((), x.dtype)
    return library(x).zeros_like(x, shape=tuple(shape), order="K")
