"""A stand-in for CuPy without a GPU: arrays in memory of their own, kernels run by the emulator.

It refuses what CuPy refuses: mixing with NumPy's arrays, turning into one unasked, and while a stream is
captured waiting, copying from or to the host, cuBLAS and results whose shape only the device knows. It is
stricter in three points: new memory is full of NaN, the default memory pool may not serve a captured stream,
and float32 may not become float64 unasked.

streams.py   where all work goes through, and graphs
memory.py    pools
array.py     ndarray, and how a function of NumPy becomes one for the device
functions.py the module's functions
raw.py       RawModule
cuda.py      cupy.cuda
"""

from fake_cupy import _core, cuda, functions, memory, streams
from fake_cupy.array import ndarray
from fake_cupy.functions import array, asarray, asnumpy, empty, empty_like, lib
from fake_cupy.memory import get_default_memory_pool
from fake_cupy.raw import RawKernel, RawModule

__version__ = "14.2.0"

__all__ = [
    "RawKernel",
    "RawModule",
    "_core",
    "array",
    "asarray",
    "asnumpy",
    "cuda",
    "empty",
    "empty_like",
    "get_array_module",
    "get_default_memory_pool",
    "is_available",
    "lib",
    "ndarray",
]

is_available = cuda.is_available


def get_array_module(*arrays):
    import sys

    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in arrays) else functions.np


def reset():
    """As after a first import: no memory in use, no stream captured, the device as it was."""
    for part in (streams, memory, cuda):
        part.reset()


def __getattr__(name):
    return functions.by_name(name)
