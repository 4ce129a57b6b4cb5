"""RawModule: a CUDA source, compiled for the CPU; its kernels take arrays of the device."""

import emulator
import numpy as np
from emulator.build import build

from fake_cupy.array import ndarray
from fake_cupy.capture import refuse_in_any_capture
from fake_cupy.streams import issue


class CompileException(Exception):  # noqa: N818, CuPy's name
    """A source that does not compile, with the compiler's message: cupy.cuda.compiler.CompileException."""


class RawModule:
    """All kernels of a source: cupy.RawModule."""

    def __init__(self, code=None, *, options=(), backend="nvrtc", **_):
        if not isinstance(options, tuple):
            raise TypeError("options must be a tuple")
        self.code = code

    def compile(self, log_stream=None):
        refuse_in_any_capture("loading kernels, which must be done before,")
        try:
            build(self.code)
        except emulator.EmulatorError as error:
            raise CompileException(str(error)) from None

    def get_function(self, name):
        self.compile()
        return RawKernel(self.code, name)


class RawKernel:
    """One kernel: cupy.RawKernel."""

    def __init__(self, code, name, options=(), backend="nvrtc"):
        self.kernel = emulator.Kernel(code, name)

    @property
    def max_dynamic_shared_size_bytes(self):
        return self.kernel.most_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        if size > emulator.MOST_SHARED_BYTES:
            self.kernel.fail(
                f"no block may have {size} bytes of shared memory, the most is {emulator.MOST_SHARED_BYTES}"
            )
        self.kernel.most_shared = size

    def __call__(self, grid, block, args, *, shared_mem=0):
        (threads, *flat), blocks = block, (*grid, 1, 1)[:3]
        if any(count != 1 for count in flat):
            self.kernel.fail("the emulator takes blocks of one axis only")
        launch = self.kernel.prepare(blocks, threads, tuple(map(self.typed_argument, args)), shared_mem)
        memory = tuple(value._memory.mem for value in args if isinstance(value, ndarray))

        def run():
            launch()
            for block in memory:
                block.check(self.kernel.name)

        issue(run, memory)

    def typed_argument(self, value):
        if isinstance(value, ndarray):
            return value._view.ctypes.data, value.dtype
        if not isinstance(value, np.generic):
            self.kernel.fail(f"the type of {value!r} is ambiguous; pass a scalar such as np.int32(...)")
        return value
