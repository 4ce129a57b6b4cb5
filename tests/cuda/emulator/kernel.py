"""Starts compiled kernels, and refuses launches that a GPU would refuse or, worse, silently misread."""

import ctypes
import re
from contextlib import contextmanager
from functools import cache

import numpy as np

from emulator.build import SANITIZED, EmulatorError, build

WARP = 32
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
DEFAULT_SHARED_BYTES = 48 << 10
MOST_SHARED_BYTES = 227 << 10  # of shared memory for a block of an H100

# A kernel without a necessary barrier computes a wrong result in one of the two orders. Tests run in one
# order with AddressSanitizer, and in the other one without it.
_reversed_turns = SANITIZED


@contextmanager
def turns(order):
    """The order in which blocks, warps and threads run inside of the context: "forward", the default, or
    "reversed".
    """
    global _reversed_turns
    before, _reversed_turns = _reversed_turns, {"forward": False, "reversed": True}[order]
    try:
        yield
    finally:
        _reversed_turns = before


class Launch(ctypes.Structure):
    """struct Launch of launch.h."""

    _fields_ = (
        ("blocks", ctypes.c_uint * 3),
        ("threads", ctypes.c_uint),
        ("shared", ctypes.c_size_t),
        ("reversed", ctypes.c_int),
    )


@cache
def library(code):
    # PyDLL keeps Python's lock, unlike CDLL: a library runs one kernel at a time.
    return ctypes.PyDLL(str(build(code)))


class Kernel:
    """The kernel `name` of a CUDA source."""

    def __init__(self, code, name):
        self.name, self.lines = name, code.splitlines()
        try:
            self.start = getattr(library(code), f"launch_{name}")
        except AttributeError:
            raise EmulatorError(f"there is no kernel {name} in this source") from None
        signature = getattr(library(code), f"signature_{name}")
        signature.restype = ctypes.c_char_p
        self.parameters = signature().decode().split()
        self.most_threads = getattr(library(code), f"most_threads_{name}")()
        self.most_shared = DEFAULT_SHARED_BYTES

    def __call__(self, blocks, threads, arguments, shared=0):
        """blocks: (x, y, z); arguments: scalars of NumPy, and pairs (address, dtype) for arrays."""
        self.prepare(blocks, threads, arguments, shared)()

    def prepare(self, blocks, threads, arguments, shared):
        """Check the launch; return a function that runs it, as often as it is called."""
        self.check_size(blocks, threads, shared)
        values = self.check_arguments(arguments)
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))

        def run(keep_alive=values):
            launch = Launch((ctypes.c_uint * 3)(*blocks), threads, shared, _reversed_turns)
            message = ctypes.create_string_buffer(1000)
            size = ctypes.c_size_t(len(message))
            if self.start(ctypes.byref(launch), pointers, message, size):
                self.fail(message.value.decode())

        return run

    def check_size(self, blocks, threads, shared):
        for axis, count, most in zip("xyz", blocks, MOST_BLOCKS, strict=True):
            if not 1 <= count <= most:
                self.fail(f"{count} blocks along {axis}, there must be 1 to {most}")
        if not 1 <= threads <= self.most_threads or threads % WARP:
            self.fail(f"{threads} threads, it takes whole warps of 32 and at most {self.most_threads}")
        if not 0 <= shared <= self.most_shared:
            self.fail(f"{shared} bytes of shared memory, more than the {self.most_shared} that are allowed")

    def check_arguments(self, arguments):
        if len(arguments) != len(self.parameters):
            self.fail(f"takes {len(self.parameters)} arguments, not {len(arguments)}: {self.parameters}")
        return [
            self.check_argument(position, *pair)
            for position, pair in enumerate(zip(self.parameters, arguments, strict=True), start=1)
        ]

    def check_argument(self, position, parameter, argument):
        """The argument as an array of one element; the kernel receives its address."""
        if isinstance(argument, tuple):
            address, dtype = argument
            fits, description = points_to(parameter, dtype), f"an array of {dtype}"
            argument = np.uint64(address)
        else:
            is_null = parameter.endswith("*") and isinstance(argument, np.uint64) and argument == 0
            fits = is_null or argument.dtype.name == parameter
            description = f"{argument.dtype.name} {argument}"
        if not fits:
            self.fail(f"argument {position} is {description}, but the kernel takes {parameter}")
        return np.array([argument])

    def fail(self, message):
        """Raise EmulatorError with this message, in which the text of a line replaces its number."""
        text = re.sub(r"at line (\d+)", lambda m: f"at `{self.lines[int(m[1]) - 1].strip()}`", message)
        raise EmulatorError(f"{self.name}: {text}")


def points_to(parameter, dtype):
    """Whether an array of `dtype` may be passed to a pointer parameter such as "float32*"."""
    element = parameter.removesuffix("*")
    if element == parameter:
        return False
    if element.startswith("bytes"):  # a struct, such as bfloat16 or float4
        return int(element.removeprefix("bytes")) % dtype.itemsize == 0
    return element in (dtype.name, "void")
