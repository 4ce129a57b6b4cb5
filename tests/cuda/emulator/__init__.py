"""Runs CUDA kernels on the CPU, thread by thread, and finds faults that a GPU would hide.

build.py compiles a source with g++; cuda_on_cpu.h takes the place of CUDA's headers. kernel.py starts the
kernels. A launch raises an EmulatorError that names the kernel if not all threads reach the same barrier or
shuffle, if an argument has another type than the parameter, if a pointer is misaligned, or if the launch asks
for more than a GPU has. Shared memory is full of NaN at first. With MINIRES_SANITIZE=1, and Python started
with libasan in LD_PRELOAD and ASAN_OPTIONS=detect_leaks=0, AddressSanitizer watches every access to memory.
"""

from emulator.build import SANITIZED, THREADS_WITHOUT_BOUNDS, EmulatorError, compiler
from emulator.kernel import MOST_SHARED_BYTES, Kernel, turns

__all__ = [
    "MOST_SHARED_BYTES",
    "SANITIZED",
    "THREADS_WITHOUT_BOUNDS",
    "EmulatorError",
    "Kernel",
    "compiler",
    "turns",
]
