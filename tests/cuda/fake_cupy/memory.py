"""Device memory: every allocation is its own block, full of NaN, from a pool that keeps freed blocks."""

import gc
import threading
import weakref
from contextlib import contextmanager

from fake_cupy.blocks import Block, free_bytes, rounded
from fake_cupy.capture import CUDARuntimeError
from fake_cupy.device import device
from fake_cupy.streams import get_current_stream, issue

_local = threading.local()


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        limited = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limited})."
        )


class Memory(Block):
    """Memory of the device that belongs to no pool: cupy.cuda.Memory."""

    def __init__(self, size):
        if rounded(size) > free_bytes():
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        super().__init__(size)


class MemoryPointer:
    """A block in use. When there is no reference to it any more, the block goes back to its pool, if any."""

    def __init__(self, mem, offset, pool=None):
        self.mem, self.ptr = mem, mem.ptr + offset
        if pool is not None:
            weakref.finalize(self, pool._free, mem, get_current_stream())


class MemoryPool:
    """Hands out blocks, and keeps freed ones for later requests of their size: cupy.cuda.MemoryPool.

    A block that was handed out on a stream is not handed out on another one.
    """

    def __init__(self, allocator=None):
        self._freed, self._used, self._limit, self._allocator = {}, 0, 0, allocator
        weakref.finalize(self, _give_back, self._freed)

    def malloc(self, size):
        if self is _default_pool and get_current_stream().is_capturing():
            raise RuntimeError(
                "memory for a captured graph must come from its own pool (cupy.cuda.using_allocator): the "
                "default pool hands it out again while the graph still writes to it"
            )
        freed = self._freed.get((get_current_stream(), size))
        block = freed.pop() if freed else self._new_block(size)
        issue(block.poison, (block,))
        self._used += rounded(size)
        return MemoryPointer(block, 0, self)

    def _new_block(self, size):
        if self._allocator is not None:
            return self._allocator(size).mem
        for make_room in (lambda: None, self.free_all_blocks, self._free_unreachable_arrays):
            make_room()
            if self._has_room(rounded(size)):
                return Block(size)
        raise OutOfMemoryError(rounded(size), self.total_bytes(), self._limit)

    def _has_room(self, size):
        within_limit = not self._limit or self.total_bytes() + size <= self._limit
        return within_limit and size <= free_bytes()

    def _free_unreachable_arrays(self):
        gc.collect()
        self.free_all_blocks()

    def _free(self, block, stream):
        self._used -= rounded(block.size)
        self._freed.setdefault((stream, block.size), []).append(block)

    def used_bytes(self):
        return self._used

    def free_bytes(self):
        return sum(len(blocks) * rounded(size) for (_, size), blocks in self._freed.items())

    def total_bytes(self):
        return self.used_bytes() + self.free_bytes()

    def n_free_blocks(self):
        return sum(map(len, self._freed.values()))

    def free_all_blocks(self, stream=None):
        _give_back(self._freed)

    def set_limit(self, size=None, fraction=None):
        self._limit = int(size if fraction is None else fraction * device.memory)

    def get_limit(self):
        return self._limit


def _give_back(freed):
    for blocks in freed.values():
        for block in blocks:
            block.give_back()
    freed.clear()


_default_pool = MemoryPool()


def get_default_memory_pool():
    return _default_pool


def get_allocator():
    return getattr(_local, "allocator", None) or _default_pool.malloc


def alloc(size):
    return get_allocator()(size)


def set_allocator(allocator=None):
    _local.allocator = allocator


@contextmanager
def using_allocator(allocator=None):
    before, _local.allocator = getattr(_local, "allocator", None), allocator
    try:
        yield
    finally:
        _local.allocator = before


def reset():
    global _default_pool
    _default_pool = MemoryPool()
    _local.allocator = None
