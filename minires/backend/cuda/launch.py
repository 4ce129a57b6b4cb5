"""Loads the .cu files beside it and starts their kernels."""

import re
from functools import cache
from pathlib import Path

import numpy as np

from minires.backend.device import INSTALL, load_cupy
from minires.errors import DeviceError

FOLDER = Path(__file__).parent
SHARED_WITHOUT_ASKING = 48 << 10  # bytes of shared memory that a kernel may have unless it asks for more


@cache
def source(name):
    """The text of a kernel file with its own headers put in, each once.

    CuPy's cache of compiled kernels knows a file by its text alone: a header that changes has to be in it.
    """
    seen = set()

    def expanded(file):
        seen.add(file)
        include = re.compile(r'^#include "(.*)"$', re.MULTILINE)
        text = (FOLDER / file).read_text(encoding="utf-8")
        return include.sub(lambda m: "" if m[1] in seen else expanded(m[1]), text).replace("#pragma once", "")

    return expanded(name)


@cache
def module(file):
    """A kernel file compiled for the GPU in use; DeviceError where CUDA's compiler or headers are missing."""
    cupy = load_cupy()
    compiled = cupy.RawModule(code=source(file), options=("--std=c++17",))
    try:
        compiled.compile()
    except (ImportError, OSError, RuntimeError, cupy.cuda.compiler.CompileException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "cudaErrorMemoryAllocation" in reason:  # compiled, but there is no room for it
            raise MemoryError(f"out of memory while loading {file}") from error
        raise DeviceError(
            f"CuPy sees a GPU but cannot compile for it ({reason}); it needs CUDA's compiler and headers, "
            f"which come with {INSTALL}"
        ) from error
    return compiled


@cache
def kernel(file, name):
    """The kernel `name` of a file, ready to be started."""
    return module(file).get_function(name)


def launch(file, name, blocks, threads, *arguments, shared=0):
    """Start a kernel on the current stream.

    blocks: how many, a number or a tuple (x, y, z); threads: in each block; shared: bytes of shared memory.
    arguments: arrays, given as a pointer to their first element whatever their strides; None, a null pointer;
        whole numbers as int, other numbers as float. A scalar of NumPy keeps its own type.
    """
    function = kernel(file, name)
    # Only ever raised: a graph may repeat a launch that had more.
    if shared > max(SHARED_WITHOUT_ASKING, function.max_dynamic_shared_size_bytes):
        function.max_dynamic_shared_size_bytes = shared
    grid = (blocks,) if isinstance(blocks, int) else tuple(blocks)
    function(grid, (threads,), tuple(map(as_argument, arguments)), shared_mem=shared)


def as_argument(value):
    """A number with the type that the kernel expects, which CuPy passes on as it is."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, (bool, int)):
        return np.int32(value)
    return np.float32(value) if isinstance(value, float) else value


def blocks_for(count, per_block):
    """How many blocks it takes if each does `per_block` of `count` items."""
    return -(-count // per_block)
