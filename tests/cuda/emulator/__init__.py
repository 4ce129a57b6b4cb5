"""Runs CUDA kernels on the CPU, thread by thread, and finds faults that a GPU would hide.

build.py compiles a source with g++, where cuda_on_cpu.h stands in for CUDA's headers; kernel.py starts its
kernels. A launch ends in an EmulatorError that names the kernel when threads miss each other at a barrier or
a shuffle, when an argument has another type than the parameter, a pointer is misaligned, or the launch asks
for too much. Shared memory is full of NaN at first. With MINIRES_SANITIZE=1, and Python started with libasan
in LD_PRELOAD and ASAN_OPTIONS=detect_leaks=0, AddressSanitizer watches every access to memory.
"""

from emulator.build import SANITIZED, THREADS_WITHOUT_BOUNDS, EmulatorError, compiler
from emulator.kernel import MOST_SHARED, Kernel, turns

__all__ = [
    "MOST_SHARED",
    "SANITIZED",
    "THREADS_WITHOUT_BOUNDS",
    "EmulatorError",
    "Kernel",
    "compiler",
    "turns",
]
