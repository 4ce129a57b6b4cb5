"""The gradient of convolutions with respect to their weights, on tensor cores. See weight_gradient.cu."""

from functools import cache
from typing import NamedTuple

from minires.backend.cuda.gather import (
    BLOCKS_WANTED,
    MOST_SHARED,
    TILE_COLUMNS,
    as_large_as,
    forward_axes,
    variant,
)
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP, channels_last
from minires.backend.device import library

FILE = "weight_gradient.cu"
WARPS = 3
TASKS = 9  # of a block: products of 16 channels of x, moved by one tap, with channels of gy
TASK_CHANNELS = 16
TILE_ROWS = 8
MOST_PARTIALS = 1 << 20  # numbers that all splits together leave in memory, unless one leaves more
ADDING = 512  # threads that add splits, 32 sums side by side


def convolution_weight_gradient(gy, x, shape, window, groups, *, prologue=None):
    """gW = gy col(x)^T, as in backend/reference.py.

    prologue: (scale, shift), (C,) each: x is read as max(scale x + shift, 0).
    """
    gW = library(x).empty(shape, "float32")
    O, C, *size = shape
    rows, columns = forward_axes(x.shape, window)
    plan = plan_for(rows, columns, len(x), groups, C, O // groups)
    if not gy.size:
        gW.fill(0)
        return gW
    partials = library(x).empty((plan.blocks[2], plan.numbers), "float32")
    name = f"weight_gradient_{variant(x)}_{plan.width}"
    layer = len(x), *rows, *columns, C, O // groups, groups
    arguments = channels_last(gy), channels_last(x), partials, *layer, *(prologue or (None, None))
    launch(FILE, name, plan.blocks, WARPS * WARP, *arguments, shared=plan.shared)
    arguments = partials, gW, len(partials), C, O // groups, groups, size[0] * size[1], plan.width
    launch(FILE, "add_splits", blocks_for(plan.numbers, WARP), ADDING, *arguments, shared=4 * ADDING)
    return gW


class Plan(NamedTuple):
    """How the sums are cut into blocks."""

    blocks: tuple  # (tasks, groups and output channels, splits)
    width: int  # output channels of a block
    numbers: int  # that a split leaves in memory
    shared: int  # bytes
    work: int  # accesses to shared memory by all warps together


@cache
def plan_for(rows, columns, images, groups, channels_in, channels_out):
    """The plan with the least work of those that keep a large card busy; it depends on the shapes alone."""
    plans = [_plan(rows, columns, images, groups, channels_in, channels_out, width) for width in (64, 32, 16)]
    plans = [plan for plan in plans if plan.shared <= MOST_SHARED]
    busy = [plan for plan in plans if _count(plan.blocks) >= BLOCKS_WANTED]
    return min(busy, key=lambda plan: plan.work) if busy else max(plans, key=lambda plan: _count(plan.blocks))


def _count(blocks):
    return blocks[0] * blocks[1] * blocks[2]


def _plan(rows, columns, images, groups, channels_in, channels_out, width):
    taps = rows.taps * columns.taps
    tasks = blocks_for(channels_in, TASK_CHANNELS) * taps
    parts = blocks_for(tasks, TASKS), groups * blocks_for(channels_out, width)
    numbers = parts[1] * tasks * TASK_CHANNELS * width
    tiles = images * blocks_for(rows.target, TILE_ROWS) * blocks_for(columns.target, TILE_COLUMNS)
    splits = max(1, min(2 * BLOCKS_WANTED // (parts[0] * parts[1]), MOST_PARTIALS // numbers, tiles))
    share = max(1, blocks_for(tiles, splits))
    splits = max(1, blocks_for(tiles, share))  # none of them without a tile
    halo = (
        rows.reach(TILE_ROWS)
        * columns.reach(TILE_COLUMNS)
        * (TASK_CHANNELS * _blocks_of_channels(tasks, taps) + 8)
    )
    gradient = TILE_ROWS * TILE_COLUMNS * (width + 8)
    # Each step of a warp reads 12 numbers of x and width/4 of gy; each number is first brought there.
    work = TILE_ROWS * WARPS * (12 + width // 4) + (halo + gradient) // 16
    return Plan(
        (*parts, splits), width, numbers, 4 * (halo + gradient), parts[0] * parts[1] * max(tiles, 1) * work
    )


def _blocks_of_channels(tasks, taps):
    """How many blocks of 16 channels the tasks of one block belong to, at most."""
    firsts = range(0, tasks, TASKS)
    return max((min(first + TASKS, tasks) - 1) // taps - first // taps + 1 for first in firsts)


def sums_up(window):
    """Whether a block can take such a window, of any map: its halo."""
    rows, columns = forward_axes(as_large_as(window), window)
    return _plan(rows, columns, 1, 1, 1 << 10, 1, 16).shared <= MOST_SHARED
