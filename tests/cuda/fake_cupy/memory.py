"""Device memory: every allocation a block of its own, full of NaN, from a pool that keeps what is freed."""

import ctypes
import threading
import weakref
from contextlib import contextmanager

import emulator

from fake_cupy.streams import get_current_stream, issue

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]
_local = threading.local()

ALIGNMENT = 256
# Bytes before and behind a block that must stay untouched. AddressSanitizer watches the block's own borders.
MARGIN = 0 if emulator.SANITIZED else ALIGNMENT
DEVICE_BYTES = 4 << 30
UNTOUCHED = b"\xff" * MARGIN


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class Block:
    """`size` bytes of memory."""

    def __init__(self, size):
        start = ctypes.c_void_p()
        if _libc.posix_memalign(ctypes.byref(start), ALIGNMENT, ctypes.c_size_t(max(size + 2 * MARGIN, 1))):
            raise MemoryError
        weakref.finalize(self, _libc.free, start.value)
        self.size, self.start, self.ptr = size, start.value, start.value + MARGIN
        self.gone = False  # its pool has given it back: on a GPU it would not exist any more
        ctypes.memset(self.start, 0xFF, size + 2 * MARGIN)

    def poison(self):
        ctypes.memset(self.ptr, 0xFF, self.size)

    def check(self, kernel):
        """Raise EmulatorError if `kernel` wrote before or behind the block."""
        for side, address in (("before", self.start), ("behind", self.ptr + self.size)):
            if ctypes.string_at(address, MARGIN) != UNTOUCHED:
                ctypes.memset(address, 0xFF, MARGIN)
                raise emulator.EmulatorError(f"{kernel}: wrote {side} an array of {self.size} bytes")


class MemoryPointer:
    """A block in use; when nobody holds it any more, the block goes back to its pool."""

    def __init__(self, block, pool):
        self.mem, self.ptr = block, block.ptr
        weakref.finalize(self, pool._free, block)


def rounded(size):
    return -(-size // 512) * 512


class MemoryPool:
    """Hands out blocks and keeps freed ones for the next who asks for as many bytes: cupy.cuda.MemoryPool."""

    def __init__(self, allocator=None):
        self._freed, self._used, self._limit = {}, 0, 0
        weakref.finalize(self, _give_back, self._freed)

    def malloc(self, size):
        if self is _default_pool and get_current_stream().is_capturing():
            raise RuntimeError(
                "memory for a captured graph must come from a pool of its own: the default pool hands it to "
                "others while the graph still writes to it (cupy.cuda.using_allocator)"
            )
        freed = self._freed.get(size)
        block = freed.pop() if freed else self._new_block(size)
        issue(block.poison, (block,))
        self._used += rounded(size)
        return MemoryPointer(block, self)

    def _new_block(self, size):
        if self._limit and self.total_bytes() + rounded(size) > self._limit:
            if not get_current_stream().is_capturing():
                self.free_all_blocks()
            if self.total_bytes() + rounded(size) > self._limit:
                raise OutOfMemoryError(rounded(size), self.total_bytes(), self._limit)
        return Block(size)

    def _free(self, block):
        self._used -= rounded(block.size)
        self._freed.setdefault(block.size, []).append(block)

    def used_bytes(self):
        return self._used

    def free_bytes(self):
        return sum(len(blocks) * rounded(size) for size, blocks in self._freed.items())

    def total_bytes(self):
        return self.used_bytes() + self.free_bytes()

    def n_free_blocks(self):
        return sum(map(len, self._freed.values()))

    def free_all_blocks(self, stream=None):
        _give_back(self._freed)

    def set_limit(self, size=None, fraction=None):
        self._limit = int(size if fraction is None else fraction * DEVICE_BYTES)

    def get_limit(self):
        return self._limit


def _give_back(freed):
    for blocks in freed.values():
        for block in blocks:
            block.gone = True
    freed.clear()


_default_pool = MemoryPool()


def get_default_memory_pool():
    return _default_pool


def free_and_total():
    """Bytes of the device: cupy.cuda.runtime.memGetInfo()."""
    return DEVICE_BYTES - _default_pool.total_bytes(), DEVICE_BYTES


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
