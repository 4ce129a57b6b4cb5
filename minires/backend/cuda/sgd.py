"""Stochastic gradient descent on a GPU: one launch for all parameters, recordable in a CUDA graph.

See sgd.cu.
"""

import numpy as np

from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.device import library
from minires.errors import DeviceError

THREADS = 256
BLOCK_ELEMENTS = 2048  # elements that a block updates, as in the kernel


class RecordableUpdates:
    """Makes an optimizer's updates recordable in a CUDA graph: keeps in the GPU's memory what they read.

    That is the learning rate, and a table. A kernel takes no list of arrays; it reads from the table at which
    addresses each parameter, its gradient and its velocity lie. Gradients are new arrays in every step: the
    table is written again when an address has changed.

    While a graph is captured, nothing can be copied to the GPU; and the graph reads its table at each launch,
    long after the capture. Therefore the table of a capture belongs to its graph from then on. The code
    that captures an update calls `write_captured_tables` when the capture has ended, which also makes the
    next table. It keeps the tables as long as the graph, and calls `set_rate` before a launch.
    """

    def __init__(self):
        self.rate = None  # float32 (1,) on the GPU
        self.table = None
        self.captured_tables = []  # tables of captures, not yet written

    def set_rate(self, rate):
        """Set the learning rate that the kernel reads, also when a captured update is repeated."""
        self.rate.fill(rate)

    def write_captured_tables(self):
        """Write the tables of captures that have ended; return them, to be kept as long as the graphs."""
        tables, self.captured_tables = self.captured_tables, []
        for table in tables:
            table.write()
            self.table = TensorTable(library(table.rows_on_gpu), table.rows)  # for the next capture
        return tables

    def prepare(self, xp, rows, rate):
        """The table, up to date with `rows`, for an update that is computed now or captured."""
        if xp.cuda.get_current_stream().is_capturing():
            return self._table_for_capture(rows)
        if self.rate is None:
            self.rate = xp.empty((1,), "float32")
        self.set_rate(rate)
        if self.table is None or not np.array_equal(self.table.rows[:, 3], rows[:, 3]):
            self.table = TensorTable(xp, rows)
        if not np.array_equal(self.table.rows, rows):
            self.table.rows = rows
            self.table.write()
        return self.table

    def _table_for_capture(self, rows):
        table, self.table = self.table, None
        if table is None or not np.array_equal(table.rows[:, 3], rows[:, 3]):
            raise DeviceError("SGD: take a step before you capture one; it allocates the memory for captures")
        table.rows = rows
        self.captured_tables.append(table)
        return table


class TensorTable:
    """The table of addresses that the kernel reads, and the list of its blocks.

    rows: int64 (tensors, 4), each row a Tensor of sgd.cu, on the CPU; rows_on_gpu: the same on the GPU.
    blocks: int32 (blocks, 2) on the GPU, the number of a block's tensor and of its piece of that tensor.
    """

    def __init__(self, xp, rows):
        counts = [blocks_for(int(size), BLOCK_ELEMENTS) for size in rows[:, 3]]
        blocks = [(i, k) for i, count in enumerate(counts) for k in range(count)]
        self.rows, self.rows_on_gpu = rows, xp.asarray(rows)
        self.blocks = xp.asarray(np.array(blocks, np.int32).reshape(-1, 2))

    def write(self):
        """Copy the rows to the GPU."""
        self.rows_on_gpu.set(self.rows)


def recordable_updates(workspace):
    """The RecordableUpdates of an optimizer, from its workspace; made at the first call."""
    return workspace.setdefault("updates", RecordableUpdates())


def sgd_update(parameters, gradients, velocities, rate, momentum, weight_decay, nesterov, workspace):
    """Update parameters and velocities in place, as backend/reference/ does.

    workspace: the optimizer's dict, which keeps its RecordableUpdates.
    rate: ignored in a capture. The graph reads the rate that RecordableUpdates.set_rate has set last.
    """
    xp = library(parameters[0])
    gradients = [None if g is None else xp.ascontiguousarray(g, "float32") for g in gradients]
    rows = [
        (0, 0, 0, p.size) if g is None else (p.data.ptr, g.data.ptr, v.data.ptr, p.size)
        for p, g, v in zip(parameters, gradients, velocities, strict=True)
    ]
    updates = recordable_updates(workspace)
    table = updates.prepare(xp, np.array(rows, np.int64), rate)
    if len(table.blocks):
        arguments = table.rows_on_gpu, table.blocks, updates.rate, momentum, weight_decay, nesterov
        launch("sgd.cu", "sgd_update", len(table.blocks), THREADS, *arguments)
