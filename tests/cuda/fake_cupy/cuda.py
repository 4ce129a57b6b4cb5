"""cupy.cuda: memory, streams, the device."""

from types import SimpleNamespace

from fake_cupy import memory
from fake_cupy.blocks import free_bytes
from fake_cupy.capture import CUDARuntimeError, refuse_in_any_capture
from fake_cupy.device import device
from fake_cupy.memory import (
    Memory,
    MemoryPointer,
    MemoryPool,
    alloc,
    get_allocator,
    set_allocator,
    using_allocator,
)
from fake_cupy.order import host_waits_for_all
from fake_cupy.raw import CompileException
from fake_cupy.streams import Event, Graph, Stream, get_current_stream, get_elapsed_time

__all__ = [
    "Device",
    "Event",
    "Graph",
    "Memory",
    "MemoryPointer",
    "MemoryPool",
    "Stream",
    "alloc",
    "compiler",
    "device",
    "get_allocator",
    "get_current_stream",
    "get_elapsed_time",
    "is_available",
    "memory",
    "runtime",
    "set_allocator",
    "using_allocator",
]


def is_available():
    return device.available


class Device:
    """cupy.cuda.Device"""

    def __init__(self, device=0):
        self.id = device

    @property
    def mem_info(self):
        return runtime.memGetInfo()

    def synchronize(self):
        refuse_in_any_capture("waiting for the device")
        host_waits_for_all()


def _properties(_):
    major, minor = divmod(int(device.compute_capability), 10)
    return {
        "name": device.name.encode(),
        "major": major,
        "minor": minor,
        "totalGlobalMem": device.memory,
    }


compiler = SimpleNamespace(CompileException=CompileException)
runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceProperties=_properties,
    deviceSynchronize=lambda: Device().synchronize(),
    memGetInfo=lambda: (free_bytes(), device.memory),
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
)
