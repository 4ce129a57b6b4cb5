"""The gradient of convolutions with respect to their weights, on tensor cores. See weight_gradient.cu."""

from functools import cache
from typing import NamedTuple

from minires.backend.cuda.gather import (
    BUSY_CARD_BLOCKS,
    MOST_SHARED_BYTES,
    TILE_COLUMNS,
    forward_axes,
    kernel_suffix,
    smallest_map_shape,
)
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP, channels_last
from minires.backend.device import library

FILE = "weight_gradient.cu"
WARPS = 3  # of a block
TASKS = 9  # of a block; a task is the product for one tap and 16 channels of x, see the kernel
TASK_CHANNELS = 16
TILE_ROWS = 8
MOST_PARTIALS = 1 << 20  # partial sums that all splits together write, unless a single split writes more
ADDING_THREADS = 512  # of a block that adds the sums of the splits, 32 sums side by side


def convolution_weight_gradient(gy, x, shape, window, groups, *, prologue=None):
    """gW = gy col(x)^T, as in backend/reference/.

    prologue: (scale, shift), (C,) each: the kernel reads max(scale x + shift, 0) in place of x.
    """
    gW = library(x).empty(shape, "float32")
    O, C, *size = shape
    rows, columns = forward_axes(x.shape, window)
    plan = plan_for(rows, columns, len(x), groups, C, O // groups)
    if not gy.size:
        gW.fill(0)
        return gW
    partials = library(x).empty((plan.blocks[2], plan.partial_count), "float32")
    name = f"weight_gradient_{kernel_suffix(x)}_{plan.width}"
    layer = len(x), *rows, *columns, C, O // groups, groups
    arguments = channels_last(gy), channels_last(x), partials, *layer, *(prologue or (None, None))
    launch(FILE, name, plan.blocks, WARPS * WARP, *arguments, shared=plan.shared)
    arguments = partials, gW, len(partials), C, O // groups, groups, size[0] * size[1], plan.width
    blocks, shared = blocks_for(plan.partial_count, WARP), 4 * ADDING_THREADS
    launch(FILE, "add_splits", blocks, ADDING_THREADS, *arguments, shared=shared)
    return gW


class Plan(NamedTuple):
    """How the tasks and the pixels are divided among blocks."""

    blocks: tuple  # numbers of blocks: (tasks / 9, groups * output channels / width, splits)
    width: int  # output channels of a block
    partial_count: int  # partial sums that a split writes
    shared: int  # bytes of shared memory
    work: int  # accesses to shared memory by all warps together


@cache
def plan_for(rows, columns, images, groups, channels_in, channels_out):
    """The plan with the least work of those that keep a large card busy; if there is none, the one with the
    most blocks. It depends on the shapes alone, so that all cards compute the same bits.
    """
    plans = [_plan(rows, columns, images, groups, channels_in, channels_out, width) for width in (64, 32, 16)]
    plans = [plan for plan in plans if plan.shared <= MOST_SHARED_BYTES]
    busy = [plan for plan in plans if _block_count(plan) >= BUSY_CARD_BLOCKS]
    return min(busy, key=lambda plan: plan.work) if busy else max(plans, key=_block_count)


def _block_count(plan):
    task_blocks, channel_blocks, splits = plan.blocks
    return task_blocks * channel_blocks * splits


def _plan(rows, columns, images, groups, channels_in, channels_out, width):
    taps = rows.taps * columns.taps
    tasks = blocks_for(channels_in, TASK_CHANNELS) * taps
    task_blocks, channel_blocks = blocks_for(tasks, TASKS), groups * blocks_for(channels_out, width)
    blocks = task_blocks * channel_blocks  # of a split
    partial_count = channel_blocks * tasks * TASK_CHANNELS * width
    tiles = images * blocks_for(rows.target, TILE_ROWS) * blocks_for(columns.target, TILE_COLUMNS)
    splits = max(1, min(2 * BUSY_CARD_BLOCKS // blocks, MOST_PARTIALS // partial_count, tiles))
    tiles_of_split = max(1, blocks_for(tiles, splits))
    splits = max(1, blocks_for(tiles, tiles_of_split))  # so that every split has a tile
    halo = (
        rows.reach(TILE_ROWS) * columns.reach(TILE_COLUMNS) * (TASK_CHANNELS * _channel_sets(tasks, taps) + 8)
    )
    gradient = TILE_ROWS * TILE_COLUMNS * (width + 8)
    # In each step a warp reads 12 numbers of x and width/4 of gy. Loading both into shared memory is added.
    work = TILE_ROWS * WARPS * (12 + width // 4) + (halo + gradient) // 16
    return Plan(
        (task_blocks, channel_blocks, splits),
        width,
        partial_count,
        4 * (halo + gradient),
        blocks * max(tiles, 1) * work,
    )


def _channel_sets(tasks, taps):
    """How many sets of 16 channels of x the tasks of one block need, at most."""
    firsts = range(0, tasks, TASKS)  # the first task of each block
    return max((min(first + TASKS, tasks) - 1) // taps - first // taps + 1 for first in firsts)


def weight_gradient_fits(window):
    """Whether the halo of such a window fits into shared memory."""
    rows, columns = forward_axes(smallest_map_shape(window), window)
    return _plan(rows, columns, 1, 1, 1 << 10, 1, 16).shared <= MOST_SHARED_BYTES
