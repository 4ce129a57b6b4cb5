"""The device's memory in blocks. All blocks together are no larger than the device's memory."""

import ctypes
import weakref
from types import SimpleNamespace

import emulator

from fake_cupy.device import device

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]

ALIGNMENT = 256
# Bytes before and behind a block that must stay unchanged. With AddressSanitizer there are none, since it
# watches the borders itself.
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
        self.given_back = False  # whether its pool has given it back: on a GPU it would not exist any more
        self.last_use = None  # (stream, number of the work on this stream) that used it last
        self.device_memory = _device_memory
        self.device_memory.used += rounded(size)
        ctypes.memset(self.start, 0xFF, size + 2 * MARGIN)

    def give_back(self):
        self.given_back = True
        self.device_memory.used -= rounded(self.size)

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
    """Forget all blocks: those that still exist do not count any more."""
    global _device_memory
    _device_memory = SimpleNamespace(used=0)


reset()
