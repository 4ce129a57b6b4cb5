"""Batch norm on a GPU: its statistics, applying them, and its gradients. See batch_norm.cu."""

from minires.backend.batch_normalization import BatchNormalization
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import (
    WARP,
    channels_last,
    empty_map,
    pixels_and_channels,
    storage,
    thread_table,
)
from minires.backend.device import library

FILE = "batch_norm.cu"
THREADS = 256
THREAD_PIXELS = 4  # pixels that a thread loads at a time, as in the kernels
BLOCK_CHANNELS = 8  # channels whose partial results a block combines, as in the kernels
MOST_ROWS = 128  # rows of threads of a combining block; a row has a thread for each of its channels
MOST_BLOCKS = 512  # blocks that write partial results, each a row of them


def batch_statistics(x):
    """Partial statistics of each channel of (N, C, ...): (blocks, 3, C).

    They are, for the pixels of each block, their count, their mean, and the sum of their squared deviations
    from this mean. `batch_normalization` combines them.
    """
    x = channels_last(x)
    P, C = pixels_and_channels(x)
    width, columns, tables = thread_table(C, x)
    blocks = min(MOST_BLOCKS, _blocks(P, columns))
    partials = library(x).empty((blocks, 3, C), "float32")
    shared = 4 * THREADS * (2 * width + 1)
    arguments = x, P, C, width, columns, partials
    launch(FILE, f"moments_{storage(x)}", (blocks, tables), THREADS, *arguments, shared=shared)
    return partials


def batch_normalization(gamma, beta, statistics, eps, running=None, momentum=0.0, count=0):
    """The BatchNormalization with these statistics; see backend/reference/.

    statistics: partial ones, of batch_statistics or of a convolution, whose combination also updates the
        running statistics; or (mean, var), which leave the running statistics alone.
    count: not used here, since partial statistics contain it.
    """
    xp, C = library(gamma), len(gamma)
    if isinstance(statistics, tuple):
        scale, shift = xp.empty((2, C), "float32")
        arguments = *statistics, C, gamma, beta, float(eps), scale, shift
        launch(FILE, "factors", max(1, blocks_for(C, THREADS)), THREADS, *arguments)
        return BatchNormalization(*statistics, scale, shift, gamma, eps)
    mean, var, scale, shift = xp.empty((4, C), "float32")
    layer = gamma, beta, float(eps), scale, shift, *(running or (None, None)), float(momentum)
    _combine("combine_moments", statistics, len(statistics), C, mean, var, *layer)
    return BatchNormalization(mean, var, scale, shift, gamma, eps)


def folded_weights(W, b, gamma, beta, statistics, eps):
    """The weights and the bias of a convolution with batch norm folded in; see backend/reference/."""
    xp, C = library(W), len(W)
    W, folded, shift = xp.ascontiguousarray(W), xp.empty(W.shape, "float32"), xp.empty(C, "float32")
    arguments = W, b, C, W.size // max(C, 1), gamma, beta, *statistics, float(eps), folded, shift
    launch(FILE, "folded_weights", max(1, blocks_for(max(W.size, C), THREADS)), THREADS, *arguments)
    return folded, shift


def combine_sums(partials):
    """(blocks, ...) -> (...): the sum over the blocks, always in the same order."""
    blocks, *shape = partials.shape
    sums = library(partials).empty(shape, "float32")
    _combine("combine_sums", partials, blocks, sums.size, sums)
    return sums


def scale_and_shift(x, scale, shift, z=None, relu=False, out=None):
    """y = scale x + shift + z for each channel, and max(y, 0) if `relu`.

    scale, shift: (C,), or None for 1 and 0. z: a map, or None for 0.
    out: the map for y, stored as channels_last stores it; may be x itself. None for a new map.
    """
    x, z = channels_last(x), None if z is None else channels_last(z)
    y = empty_map(x, x.shape) if out is None else out
    P, C = pixels_and_channels(x)
    if x.size:
        width, columns, tables = thread_table(C, x, z, y)
        arguments = x, scale, shift, z, relu, y, P, C, width, columns
        launch(FILE, f"scale_and_shift_{storage(x)}", (_blocks(P, columns), tables), THREADS, *arguments)
    return y


def batch_norm_gradient(gy, x, norm, y=None, split=False, frozen=False, relu=False):
    """gx, ggamma, gbeta of batch norm and, if `split`, the gradient of the ReLU's input, as in
    backend/reference/.

    relu: a ReLU followed, but its output y was not kept. The kernel computes again where scale x + shift > 0.
    """
    gy, x, y = channels_last(gy), channels_last(x), None if y is None else channels_last(y)
    mask = (norm.scale, norm.shift) if relu else (None, None)
    P, C = pixels_and_channels(x)
    width, columns, tables = thread_table(C, gy, x, y)
    blocks = min(MOST_BLOCKS, _blocks(P, columns))
    partials = library(x).empty((blocks, 2, C), "float32")
    arguments = gy, x, y, *mask, norm.mean, norm.var, float(norm.eps), P, C, width, columns, partials
    shared = 4 * THREADS * (2 * width + 1)
    launch(FILE, f"gradient_sums_{storage(x)}", (blocks, tables), THREADS, *arguments, shared=shared)
    gbeta, ggamma = combine_sums(partials)
    has_relu = y is not None or relu
    g = empty_map(x, x.shape) if split and has_relu else None
    sums = (None, None) if frozen else (ggamma, gbeta)
    gx = _input_gradient(gy, x, y, mask, norm, sums, g)
    if split:
        return gx, ggamma, gbeta, g if has_relu else gy
    return gx, ggamma, gbeta


def batch_norm_input_gradient(g, x, norm, ggamma, gbeta):
    """gx of batch norm if the other two gradients are known; g: the gradient of batch norm's output."""
    return _input_gradient(channels_last(g), channels_last(x), None, (None, None), norm, (ggamma, gbeta))


def _input_gradient(gy, x, y, mask, norm, sums, g=None):
    """gx of batch norm and the ReLU behind it, if there is one.

    sums: (ggamma, gbeta), or (None, None) for frozen statistics.
    g: a map to be filled with the gradient of the ReLU's input, or None.
    """
    gx = empty_map(x, x.shape)
    P, C = pixels_and_channels(x)
    if x.size:
        width, columns, tables = thread_table(C, gy, x, y, gx, g)
        statistics = norm.gamma, norm.mean, norm.var, float(norm.eps), *sums
        arguments = gy, x, y, *mask, *statistics, P, C, width, columns, gx, g
        launch(FILE, f"input_gradient_{storage(x)}", (_blocks(P, columns), tables), THREADS, *arguments)
    return gx


def _blocks(pixels, columns):
    """How many blocks of THREADS threads, `columns` of them side by side, this number of pixels needs."""
    return max(1, blocks_for(pixels, THREADS // columns * THREAD_PIXELS))


def _combine(kernel, partials, blocks, C, *results):
    rows = min(MOST_ROWS, max(WARP // BLOCK_CHANNELS, 1 << (blocks - 1).bit_length()))
    threads, arguments = BLOCK_CHANNELS * rows, (partials, blocks, C, *results)
    launch(FILE, kernel, max(1, blocks_for(C, BLOCK_CHANNELS)), threads, *arguments, shared=8 * threads)
