"""cupy.cuda: memory, streams, and a device that is what a test wants it to be."""

from types import SimpleNamespace

from fake_cupy import memory, streams
from fake_cupy.memory import (
    MemoryPointer,
    MemoryPool,
    alloc,
    get_allocator,
    set_allocator,
    using_allocator,
)
from fake_cupy.streams import Event, Graph, Stream, get_current_stream, get_elapsed_time

__all__ = [
    "Device",
    "Event",
    "Graph",
    "MemoryPointer",
    "MemoryPool",
    "Stream",
    "alloc",
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

# What a test may change, for its own duration.
device = SimpleNamespace()


def reset():
    device.__dict__.update(available=True, name="Fake GPU", compute_capability="90", multiprocessors=132)


reset()


def is_available():
    return device.available


class Device:
    """cupy.cuda.Device"""

    def __init__(self, device=0):
        self.id = device

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def use(self):
        pass

    @property
    def compute_capability(self):
        return device.compute_capability

    @property
    def mem_info(self):
        return runtime.memGetInfo()

    @property
    def attributes(self):
        return {"MultiProcessorCount": device.multiprocessors}

    def synchronize(self):
        streams.refuse_in_any_capture("waiting for the device")


def _properties(_):
    major, minor = divmod(int(device.compute_capability), 10)
    return {
        "name": device.name.encode(),
        "major": major,
        "minor": minor,
        "multiProcessorCount": device.multiprocessors,
        "totalGlobalMem": memory.DEVICE_BYTES,
        "sharedMemPerBlockOptin": 227 << 10,
    }


runtime = SimpleNamespace(
    CUDARuntimeError=RuntimeError,
    getDeviceProperties=_properties,
    getDeviceCount=lambda: 1,
    getDevice=lambda: 0,
    deviceSynchronize=lambda: Device().synchronize(),
    memGetInfo=memory.free_and_total,
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
)
