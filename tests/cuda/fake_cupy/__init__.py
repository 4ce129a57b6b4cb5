"""A stand-in for CuPy without a GPU: arrays in memory of their own, kernels run by the emulator.

It refuses what CuPy refuses: mixing with NumPy's arrays, turning into one unasked, keywords that only NumPy
has; and while a stream is captured waiting, copying from or to the host, cuBLAS, and results whose shape only
the device knows. It is stricter in five points: new memory is full of NaN, the default memory pool may not
serve a captured stream, kernels must be loaded before a capture, two streams may not use the same memory
without waiting for each other, and float32 may not become float64 unasked.

array.py       ndarray: memory, what the host knows of it, from and to the host
methods.py     what computes with an ndarray: its methods and operators
functions.py   the module's functions
signatures.py  how they are called: with CuPy's keywords, not with all of NumPy's
apply.py       how a function of NumPy becomes one for the device
refusals.py    what CuPy refuses
streams.py     where all work goes through; graphs and events
capture.py     what is written down while a stream is captured, and what CUDA refuses meanwhile
order.py       which work is done before which
memory.py      pools of memory
blocks.py      the device's memory in blocks
raw.py         RawModule
cuda.py        cupy.cuda
_core.py       cupy._core
device.py      what a test may change about the device
"""

import sys

import numpy as np

import fake_cupy.methods  # noqa: F401, which it puts on ndarray
from fake_cupy import _core, blocks, cuda, device, functions, memory, streams
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
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in arrays) else np


def reset():
    """As after a first import: no memory in use, no stream captured, the device as it was."""
    for part in (streams, device, blocks, memory, _core):
        part.reset()


def __getattr__(name):
    return functions.by_name(name)
