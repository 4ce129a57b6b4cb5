"""Convolutions and their input gradients on tensor cores. See convolution.cu."""

from functools import cache
from typing import NamedTuple

from minires.backend.cuda.batch_norm import batch_norm_input_gradient, combine_sums
from minires.backend.cuda.gather import (
    BUSY_CARD_BLOCKS,
    MOST_SHARED_BYTES,
    TILE_COLUMNS,
    backward_axes,
    forward_axes,
    kernel_suffix,
    smallest_map_shape,
)
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP, channels_last, empty_map
from minires.backend.device import library

ROWS_OF_WARP = 4
BUSY_CARD_WARPS = 4 * BUSY_CARD_BLOCKS
NO_BATCH_NORM = (None,) * 5 + (0.0,)  # in place of u, scale, shift, mean, var and eps


def convolution(x, W, window, groups, b=None, z=None, relu=False, *, prologue=None, statistics=False):
    """y = W col(x) + b + z, as in backend/reference/.

    prologue: (scale, shift), (C,) each: the kernel reads max(scale x + shift, 0) in place of x.
    statistics: return (y, statistics of y's channels as batch_statistics returns them).
    """
    N, O = len(x), len(W)
    y = empty_map(x, (N, O, *window.output_size(*x.shape[2:])))
    z = None if z is None else channels_last(z)
    axes = forward_axes(x.shape, window)
    epilogue = b, z, relu, *NO_BATCH_NORM
    partials = _gather(x, W, y, axes, groups, False, prologue, epilogue, 3 if statistics else 0)
    return (y, partials) if statistics else y


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy), as in backend/reference/."""
    gx = empty_map(gy, shape)
    epilogue = None, None, False, *NO_BATCH_NORM
    _gather(gy, W, gx, backward_axes(shape, window), groups, True, None, epilogue, 0)
    return gx


def input_gradient_through_batch_norm(gy, W, u, norm, window, groups):
    """g, ggamma, gbeta of batch norm, ReLU and convolution one after the other.

    g = col^T(W^T gy) where scale u + shift > 0, else 0: the gradient of the batch norm's output
    ggamma = sum g uhat        gbeta = sum g        uhat = (u - mean) / sqrt(var + eps)

    u: (N, C, H, W), the batch norm's input; norm: its BatchNormalization.
    """
    g = empty_map(gy, u.shape)
    statistics = norm.scale, norm.shift, norm.mean, norm.var, float(norm.eps)
    epilogue = None, None, False, channels_last(u), *statistics
    partials = _gather(gy, W, g, backward_axes(u.shape, window), groups, True, None, epilogue, 2)
    gbeta, ggamma = combine_sums(partials)
    return g, ggamma, gbeta


def normalized_convolution_input_gradient(gy, W, u, norm, window, groups):
    """gu, ggamma, gbeta, as in backend/reference/."""
    g, *sums = input_gradient_through_batch_norm(gy, W, u, norm, window, groups)
    return batch_norm_input_gradient(g, u, norm, *sums), *sums


def _gather(source, W, target, axes, groups, backward, prologue, epilogue, quantities):
    """Fill the target; return the tiles' partial sums, (tiles, quantities, O), None for 0 quantities."""
    source, W = channels_last(source), library(W).ascontiguousarray(W)
    channels = source.shape[1] // groups, target.shape[1] // groups
    plan = plan_for(*axes, len(target), groups, *channels)
    tiles = plan.blocks[0] * plan.blocks[2]
    partials = None
    if quantities:
        partials = library(target).empty((tiles, quantities, target.shape[1]), "float32")
    if target.size:
        name = f"convolution_{kernel_suffix(target)}_{plan.width}"
        rows, columns = axes
        layer = *rows, *columns, *channels, groups, plan.depth, backward
        arguments = source, W, target, *layer, *(prologue or (None, None)), *epilogue, partials
        launch("convolution.cu", name, plan.blocks, plan.warps * WARP, *arguments, shared=plan.shared)
    return partials


class Plan(NamedTuple):
    """How a gather is divided among blocks."""

    blocks: tuple  # numbers of blocks: (images * tiles, groups * output channels / width, phases)
    warps: int  # of a block: 4 rows of pixels each
    width: int  # output channels of a block
    depth: int  # input channels of a chunk, the part that a block loads at a time
    shared: int  # bytes of shared memory
    work: int  # accesses to shared memory by all warps together


@cache
def plan_for(rows, columns, images, groups, channels_in, channels_out):
    """The plan with the least work of those that keep a large card busy; if there is none, the one with the
    most warps. It depends on the shapes alone, so that all cards compute the same bits.
    """
    depth = 8 if channels_in <= 8 else 16
    plans = [
        _plan(rows, columns, images, groups, channels_out, warps, width, depth)
        for warps in (4, 2, 1)
        for width in (64, 32, 16)
        if warps == 1 or ROWS_OF_WARP * warps < 2 * rows.pixels
    ]
    plans = [plan for plan in plans if plan.shared <= MOST_SHARED_BYTES]
    busy = [plan for plan in plans if _warp_count(plan) >= BUSY_CARD_WARPS]
    return min(busy, key=lambda plan: plan.work) if busy else max(plans, key=_warp_count)


def _warp_count(plan):
    tiles, channels, phases = plan.blocks
    return tiles * channels * phases * plan.warps


def _plan(rows, columns, images, groups, channels_out, warps, width, depth):
    tile = warps * ROWS_OF_WARP
    tiles = blocks_for(rows.pixels, tile) * blocks_for(columns.pixels, TILE_COLUMNS)
    blocks = images * tiles, groups * blocks_for(channels_out, width), rows.phases * columns.phases
    taps = rows.most_taps * columns.most_taps
    halo = rows.reach(tile) * columns.reach(TILE_COLUMNS) * (depth + 4)
    weights = taps * (depth * (width + 8) + 5)
    result = warps * (WARP * (width + 8) + width)
    # In each step a warp reads 8 numbers of the halo and width/4 weights. Loading both into shared memory is
    # added to that.
    work = taps * depth // 8 * warps * (8 + width // 4) + (halo + weights) // 16
    return Plan(
        blocks, warps, width, depth, 4 * max(halo + weights, result), blocks[0] * blocks[1] * blocks[2] * work
    )


def convolution_fits(window):
    """Whether the halo and the weights of such a window fit into shared memory, forward and backward."""
    return all(
        _plan(*axes(smallest_map_shape(window), window), 1, 1, 1, 1, 16, 16).shared <= MOST_SHARED_BYTES
        for axes in (forward_axes, backward_axes)
    )
