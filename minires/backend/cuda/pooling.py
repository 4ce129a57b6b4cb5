"""Pooling on a GPU: a thread computes one or four channels of a pixel of the result. See pooling.cu."""

from math import prod

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import channels_last, empty_map, geometry, storage, thread_table
from minires.backend.device import library

FILE = "pooling.cu"
THREADS = 256


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    y = empty_map(x, (*x.shape[:2], *window.output_size(*x.shape[2:])))
    return _launch_for_pixels("max_pool", y, x.shape, window, channels_last(x))


def max_pool_gradient(gy, x, y, window):
    """gx: the gradient of each window goes to its first maximum, (N, C, OH, OW) -> (N, C, H, W)."""
    maps = map(channels_last, (gy, x, y))
    return _launch_for_pixels("max_pool_gradient", empty_map(x, x.shape), x.shape, window, *maps)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    y = empty_map(x, (*x.shape[:2], *window.output_size(*x.shape[2:])))
    return _launch_for_pixels("sum_pool", y, x.shape, window, channels_last(x))


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""
    return _launch_for_pixels("sum_pool_gradient", empty_map(gy, shape), shape, window, channels_last(gy))


def global_mean(x):
    """The mean of each channel of each image: (N, C, H, W) -> (N, C), float32."""
    (N, C, *size), x = x.shape, channels_last(x)
    y = library(x).empty((N, C), "float32")
    if y.size:
        width, columns, tables = thread_table(C, x)
        arguments = x, y, prod(size), C, width, columns
        shared = 4 * THREADS * width
        launch(FILE, f"global_mean_{storage(x)}", (N, tables), THREADS, *arguments, shared=shared)
    return y


def global_mean_gradient(gy, shape, dtype="float32"):
    """gx = gy / (H W) for every pixel: (N, C) -> shape (N, C, H, W)."""
    (N, C, *size), gy = shape, library(gy).ascontiguousarray(gy)
    gx = empty_map(gy, shape, dtype)
    if gx.size:
        width, columns, tables = thread_table(C, gx)
        blocks = blocks_for(N * prod(size), THREADS // columns), tables
        arguments = gy, gx, N, prod(size), C, width, columns
        launch(FILE, f"global_mean_gradient_{storage(gx)}", blocks, THREADS, *arguments)
    return gx


def _launch_for_pixels(kernel, result, shape, window, *maps):
    """Start the kernel that fills the map `result`, and return it.

    shape: (N, C, H, W) of the map that the window slides over.
    """
    if result.size:
        (N, C, *size) = result.shape
        width, columns, tables = thread_table(C, result, *maps)
        blocks = blocks_for(N * prod(size), THREADS // columns), tables
        arguments = *maps, result, N * prod(size), *geometry(shape, window), width, columns
        launch(FILE, f"{kernel}_{storage(result)}", blocks, THREADS, *arguments)
    return result
