"""Stochastic gradient descent on a GPU: one launch for all parameters. See sgd.cu."""

import numpy as np

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.device import library
from minires.errors import DeviceError

THREADS = 256
BLOCK_ELEMENTS = 2048  # elements that a block updates, as in the kernel


class Updates:
    """What the GPU's memory holds for one optimizer: the learning rate, and where all its arrays lie.

    A kernel takes no list of arrays. It reads from a table where each parameter, its gradient and its
    velocity lie. Gradients are new arrays in every step: the table is written again when one has moved.

    While a graph is captured nothing can be copied to the GPU, and the graph reads the table at each of its
    launches, long after. So a capture takes the table with it, and the next update outside gets another one.
    Whoever captured calls `write_captured` when the capture has ended, and `set_rate` before each launch.
    """

    def __init__(self):
        self.rate = None  # float32 (1,) on the GPU
        self.table = None
        self.captured = []  # tables of captures, to be written

    def set_rate(self, rate):
        """The learning rate from the next update on, captured ones included."""
        self.rate.fill(rate)

    def write_captured(self):
        """Write the tables of captures that have ended, and return them: to be kept as long as the graphs."""
        tables, self.captured = self.captured, []
        for table in tables:
            table.write()
            self.table = Table(library(table.there), table.rows)  # the next capture takes this one
        return tables

    def prepare(self, xp, rows, rate):
        """The table for an update of what lies at `rows`; now, or in a capture."""
        if xp.cuda.get_current_stream().is_capturing():
            return self._take_table(rows)
        if self.rate is None:
            self.rate = xp.empty((1,), "float32")
        self.set_rate(rate)
        if self.table is None or not np.array_equal(self.table.rows[:, 3], rows[:, 3]):
            self.table = Table(xp, rows)
        if not np.array_equal(self.table.rows, rows):
            self.table.rows = rows
            self.table.write()
        return self.table

    def _take_table(self, rows):
        table, self.table = self.table, None
        if table is None or not np.array_equal(table.rows[:, 3], rows[:, 3]):
            raise DeviceError("SGD: take a step before a step is captured; its memory must be there already")
        table.rows = rows
        self.captured.append(table)
        return table


class Table:
    """`rows`, int64 (tensors, 4), each a Tensor of sgd.cu, and which tensor's which piece a block has."""

    def __init__(self, xp, rows):
        counts = [blocks_for(int(size), BLOCK_ELEMENTS) for size in rows[:, 3]]
        blocks = [(i, k) for i, count in enumerate(counts) for k in range(count)]
        self.rows, self.there = rows, xp.asarray(rows)
        self.blocks = xp.asarray(np.array(blocks, np.int32).reshape(-1, 2))

    def write(self):
        self.there.set(self.rows)


def updates_of(workspace):
    """The Updates of an optimizer, kept in its workspace."""
    return workspace.setdefault("updates", Updates())


def sgd_update(parameters, gradients, velocities, rate, momentum, weight_decay, nesterov, workspace):
    """Move parameters and velocities in place, as backend/reference.py says; its Updates are in `workspace`.

    In a capture `rate` is ignored: the graph uses what `set_rate` of the Updates was told last.
    """
    xp = library(parameters[0])
    gradients = [None if g is None else xp.ascontiguousarray(g, "float32") for g in gradients]
    rows = [
        (0, 0, 0, p.size) if g is None else (p.data.ptr, g.data.ptr, v.data.ptr, p.size)
        for p, g, v in zip(parameters, gradients, velocities, strict=True)
    ]
    updates = updates_of(workspace)
    table = updates.prepare(xp, np.array(rows, np.int64), rate)
    if len(table.blocks):
        arguments = table.there, table.blocks, updates.rate, momentum, weight_decay, nesterov
        launch("sgd.cu", "sgd_update", len(table.blocks), THREADS, *arguments)
