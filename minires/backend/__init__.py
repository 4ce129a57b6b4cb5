"""Arrays and the hot kernels on them: NumPy, and CuPy in NumPy's place on a GPU.

The only folder that may import CuPy.
"""

from minires.backend.cpu.blas import one_thread_per_product
from minires.backend.cpu.threads import Future, get_num_threads, set_num_threads
from minires.backend.device import (
    arithmetic_dtype,
    as_array,
    device_of,
    is_floating,
    library,
    number,
    same_library,
    to_device,
    to_numpy,
)

__all__ = [
    "Future",
    "arithmetic_dtype",
    "as_array",
    "device_of",
    "get_num_threads",
    "is_floating",
    "library",
    "number",
    "one_thread_per_product",
    "same_library",
    "set_num_threads",
    "to_device",
    "to_numpy",
]
