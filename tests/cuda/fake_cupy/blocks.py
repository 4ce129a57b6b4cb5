"""The device's memory in blocks, all of them together within its size."""

import ctypes
import weakref
from types import SimpleNamespace

import emulator

from fake_cupy.device import device

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]

ALIGNMENT = 256
# Bytes before and behind a block that must stay untouched. AddressSanitizer watches the block's own borders.
MARGIN = 0 if emulator.SANITIZED else ALIGNMENT
UNTOUCHED = b"\xff" * MARGIN


class Block:
    """`size` bytes of memory."""

    def __init__(self, size):
        start = ctypes.c_void_p()
        if _libc.posix_memalign(ctypes.byref(start), ALIGNMENT, ctypes.c_size_t(max(size + 2 * MARGIN, 1))):
            raise MemoryError
        weakref.finalize(self, _libc.free, start.value)
        self.size, self.start, self.ptr = size, start.value, start.value + MARGIN
        self.gone = False  # its pool has given it back: on a GPU it would not exist any more
        self.used = None  # by which stream last, as which of its works
        self.taken_from = _device_memory
        self.taken_from.used += rounded(size)
        ctypes.memset(self.start, 0xFF, size + 2 * MARGIN)

    def give_back(self):
        self.gone = True
        self.taken_from.used -= rounded(self.size)

    def poison(self):
        ctypes.memset(self.ptr, 0xFF, self.size)

    def check(self, kernel):
        """Raise EmulatorError if `kernel` wrote before or behind the block."""
        for side, address in (("before", self.start), ("behind", self.ptr + self.size)):
            if ctypes.string_at(address, MARGIN) != UNTOUCHED:
                ctypes.memset(address, 0xFF, MARGIN)
                raise emulator.EmulatorError(f"{kernel}: wrote {side} an array of {self.size} bytes")


def rounded(size):
    """The bytes that a block takes of the device's memory."""
    return -(-size // 512) * 512


def free_bytes():
    return max(device.memory - _device_memory.used, 0)


def reset():
    """As if no block was taken yet; those that are alive still count for nothing."""
    global _device_memory
    _device_memory = SimpleNamespace(used=0)


reset()
