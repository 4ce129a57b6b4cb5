"""Arrays and the hot kernels on them: NumPy, and CuPy in NumPy's place on a GPU.

The only folder that may import CuPy.
"""

from minires.backend.cpu.blas import one_thread_per_product
from minires.backend.cpu.forks import held_by_forks
from minires.backend.cpu.threads import Future, get_num_threads, set_num_threads
from minires.backend.device import device_of, library, same_library, share_memory, to_device, to_numpy
from minires.backend.dtypes import (
    arithmetic_dtype,
    as_array,
    as_arrays,
    common_dtype,
    floating_dtype,
    is_floating,
    operand,
)

__all__ = [
    "Future",
    "arithmetic_dtype",
    "as_array",
    "as_arrays",
    "common_dtype",
    "device_of",
    "floating_dtype",
    "get_num_threads",
    "held_by_forks",
    "is_floating",
    "library",
    "one_thread_per_product",
    "operand",
    "same_library",
    "set_num_threads",
    "share_memory",
    "to_device",
    "to_numpy",
]
