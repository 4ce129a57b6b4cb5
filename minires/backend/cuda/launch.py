"""Loads the .cu files in this folder and starts their kernels."""

import re
from functools import cache
from pathlib import Path

import numpy as np

from minires.backend.device import INSTALL_COMMAND, load_cupy
from minires.errors import DeviceError

FOLDER = Path(__file__).parent
DEFAULT_SHARED_BYTES = 48 << 10  # of shared memory that a kernel may use unless its limit is raised


@cache
def source(name):
    """The text of a kernel file in which each header of this folder replaces its first #include.

    CuPy looks up a compiled kernel by the text of its source. Therefore the text must contain the headers: a
    changed header then means a new compilation.
    """
    included = set()

    def expand(file):
        included.add(file)
        include = re.compile(r'^#include "(.*)"$', re.MULTILINE)
        text = (FOLDER / file).read_text(encoding="utf-8")
        text = include.sub(lambda m: "" if m[1] in included else expand(m[1]), text)
        return text.replace("#pragma once", "")

    return expand(name)


@cache
def module(file):
    """A kernel file, compiled for the GPU in use.

    Raises DeviceError if CUDA's compiler or headers are missing, MemoryError if the GPU's memory is full.
    """
    cupy = load_cupy()
    compiled = cupy.RawModule(code=source(file), options=("--std=c++17",))
    try:
        compiled.compile()
    except (ImportError, OSError, RuntimeError, cupy.cuda.compiler.CompileException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "cudaErrorMemoryAllocation" in reason:  # it compiles, but the GPU has no memory left for it
            raise MemoryError(f"out of memory while loading {file}") from error
        raise DeviceError(
            f"CuPy sees a GPU but cannot compile for it ({reason}); it needs CUDA's compiler and headers, "
            f"which come with {INSTALL_COMMAND}"
        ) from error
    return compiled


@cache
def kernel(file, name):
    """The kernel `name` of a file, ready to be started."""
    return module(file).get_function(name)


def launch(file, name, blocks, threads, *arguments, shared=0):
    """Start a kernel on the current stream.

    blocks: how many, a number or a tuple (x, y, z). threads: how many in each block. shared: bytes of shared
        memory of each block.
    arguments: the kernel receives an array as a pointer to its first element, without its strides; None as a
        null pointer; a Python int or bool as int, a Python float as float. A scalar of NumPy keeps its type.
    """
    function = kernel(file, name)
    # The limit is raised but never lowered: a recorded graph may repeat a launch that needs more.
    if shared > max(DEFAULT_SHARED_BYTES, function.max_dynamic_shared_size_bytes):
        function.max_dynamic_shared_size_bytes = shared
    grid = (blocks,) if isinstance(blocks, int) else tuple(blocks)
    function(grid, (threads,), tuple(map(typed_argument, arguments)), shared_mem=shared)


def typed_argument(value):
    """The argument with the type that the kernel expects; CuPy passes scalars of NumPy on unchanged."""
    if value is None:
        return np.uint64(0)
    if isinstance(value, (bool, int)):
        return np.int32(value)
    return np.float32(value) if isinstance(value, float) else value


def blocks_for(count, per_block):
    """How many blocks `count` items need if each block processes `per_block` of them."""
    return -(-count // per_block)
