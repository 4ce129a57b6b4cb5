"""The hot kernels, each in the version that is fast where its arrays are.

On the CPU that is backend/cpu/, for CuPy's arrays and for tiny ones backend/reference.py, whose plain
versions define what each kernel computes.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

import numpy as np

from minires.backend import cpu, reference

TINY = 1 << 12  # elements: so few are done before the fast versions have cut them into blocks

_plain_only = ContextVar("plain_only", default=False)


@contextmanager
def reference_kernels():
    """Compute with the plain versions only: `with reference_kernels(): ...`, to compare or to learn."""
    token = _plain_only.set(True)
    try:
        yield
    finally:
        _plain_only.reset(token)


def _kernel(name):
    plain, fast = getattr(reference, name), getattr(cpu, name)

    @wraps(plain)
    def kernel(array, *rest, **options):
        here = isinstance(array, np.ndarray) and array.size >= TINY and not _plain_only.get()
        return fast(array, *rest, **options) if here else plain(array, *rest, **options)

    return kernel


convolution = _kernel("convolution")
convolution_input_gradient = _kernel("convolution_input_gradient")
convolution_weight_gradient = _kernel("convolution_weight_gradient")
max_pool = _kernel("max_pool")
max_pool_gradient = _kernel("max_pool_gradient")
sum_pool = _kernel("sum_pool")
sum_pool_gradient = _kernel("sum_pool_gradient")
batch_statistics = _kernel("batch_statistics")
batch_norm_gradient = _kernel("batch_norm_gradient")
scale_and_shift = _kernel("scale_and_shift")
relu = _kernel("relu")
relu_gradient = _kernel("relu_gradient")
add = _kernel("add")
