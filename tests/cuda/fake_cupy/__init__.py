"""A stand-in for CuPy that needs no GPU: its arrays have their own memory, and the emulator runs the kernels.

It refuses what CuPy refuses: operations with both its arrays and NumPy's, implicit conversion to an array of
NumPy, keywords that only NumPy has. While a stream is captured, it refuses waiting, copies from or to the
host, cuBLAS, and results whose shape only the device knows. It is stricter than CuPy in five points: new
memory is full of NaN, a captured stream may not use the default memory pool, kernels must be loaded before a
capture, two streams may not use the same memory unless one waits for the other, and float32 may not become
float64 implicitly.

array.py       ndarray: its memory, its attributes, copies from and to the host
methods.py     the methods and operators of ndarray
functions.py   the functions of the module
signatures.py  the parameters of functions and methods: those of CuPy, which are fewer than NumPy's
apply.py       how a function of NumPy becomes a function for the device
refusals.py    what CuPy refuses
streams.py     streams, through which all work on the device goes; graphs and events
capture.py     what is recorded while a stream is captured, and what CUDA refuses meanwhile
order.py       which work is done before which other work
memory.py      pools of memory
blocks.py      the device's memory in blocks
raw.py         RawModule
cuda.py        cupy.cuda
_core.py       cupy._core
device.py      the properties of the device, which a test may change
"""

import sys

import numpy as np

import fake_cupy.methods  # noqa: F401, the import adds methods to ndarray
from fake_cupy import _core, blocks, cuda, device, functions, memory, streams
from fake_cupy.array import ndarray
from fake_cupy.functions import array, asarray, asnumpy, empty, empty_like, lib, may_share_memory
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
    "may_share_memory",
    "ndarray",
]

is_available = cuda.is_available


def get_array_module(*arrays):
    return sys.modules[__name__] if any(isinstance(a, ndarray) for a in arrays) else np


def reset():
    """Restore the state after a first import: no memory in use, no stream captured, the device unchanged."""
    for part in (streams, device, blocks, memory, _core):
        part.reset()


def __getattr__(name):
    return functions.by_name(name)
