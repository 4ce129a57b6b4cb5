"""The hot kernels, each in the version that is fast where its arrays are.

On the CPU that is backend/cpu/, on a GPU backend/cuda/. For tiny arrays on the CPU, for float64 on a GPU, and
for kernels that these folders lack, it is backend/reference/, whose plain versions define what each kernel
computes.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

import numpy as np

from minires.backend import cpu, cuda, reference
from minires.backend.cpu import threads
from minires.backend.cpu.blas import one_thread_per_product
from minires.backend.cuda import kernel_settings

FAST_FROM_ELEMENTS = 1 << 12  # elements; for fewer, cutting into blocks takes longer than the work
BACKGROUND_FROM_ELEMENTS = 1 << 17  # elements from which on it pays to hand the work to another thread

_plain_only = ContextVar("plain_only", default=False)
_no_background = ContextVar("no_background", default=False)


@contextmanager
def _switched_on(variable):
    token = variable.set(True)
    try:
        yield
    finally:
        variable.reset(token)


def reference_kernels():
    """Compute with the plain versions only: `with reference_kernels(): ...`, to compare or to learn."""
    return _switched_on(_plain_only)


def nothing_in_background():
    """Compute everything at once: `with nothing_in_background(): ...`, to measure each operation's time."""
    return _switched_on(_no_background)


def _kernel(name, deciding_argument=0):
    """The kernel of this name; its argument number `deciding_argument` decides which version computes it."""
    plain = getattr(reference, name)
    on_cpu, on_gpu = getattr(cpu, name, plain), getattr(cuda, name, plain)

    @wraps(plain)
    def kernel(*arguments, **options):
        if is_on_gpu(arguments[deciding_argument]):
            return on_gpu(*arguments, **options)
        if not uses_fast_cpu_kernels(arguments[deciding_argument]):
            return plain(*arguments, **options)
        with one_thread_per_product():
            return on_cpu(*arguments, **options)

    return kernel


def is_on_gpu(array):
    """Whether the kernels use their CUDA versions for this array."""
    if isinstance(array, (np.ndarray, np.generic)) or _plain_only.get():
        return False
    return array.dtype.name in ("float32", "bfloat16")


def reads_through_batch_norm(array):
    """Whether it is faster when convolutions apply the batch norm and the ReLU while they read this array."""
    return is_on_gpu(array) and kernel_settings.rung() == "fused"


def uses_fast_cpu_kernels(array):
    """Whether the kernels use their fast CPU versions for this array."""
    return isinstance(array, np.ndarray) and array.size >= FAST_FROM_ELEMENTS and not _plain_only.get()


def run_in_background(kernel, array, *rest):
    """kernel(array, *rest), which is not needed soon: perhaps a Future that another thread computes."""
    if uses_fast_cpu_kernels(array) and array.size >= BACKGROUND_FROM_ELEMENTS and not _no_background.get():
        return threads.run_in_background(kernel, array, *rest)
    return kernel(array, *rest)


convolution = _kernel("convolution")
convolution_input_gradient = _kernel("convolution_input_gradient")
convolution_weight_gradient = _kernel("convolution_weight_gradient")
matmul = _kernel("matmul")
max_pool = _kernel("max_pool")
max_pool_gradient = _kernel("max_pool_gradient")
sum_pool = _kernel("sum_pool")
sum_pool_gradient = _kernel("sum_pool_gradient")
global_mean = _kernel("global_mean")
global_mean_gradient = _kernel("global_mean_gradient")
channel_sum = _kernel("channel_sum")
batch_statistics = _kernel("batch_statistics")
batch_normalization = _kernel("batch_normalization")
batch_norm_gradient = _kernel("batch_norm_gradient")
folded_weights = _kernel("folded_weights")
scale_and_shift = _kernel("scale_and_shift")
relu = _kernel("relu")
relu_gradient = _kernel("relu_gradient")
add = _kernel("add")
select = _kernel("select", deciding_argument=1)
cross_entropy = _kernel("cross_entropy")
cross_entropy_gradient = _kernel("cross_entropy_gradient")
count_batch = _kernel("count_batch", deciding_argument=1)
convolution_and_statistics = _kernel("convolution_and_statistics")
normalized_convolution = _kernel("normalized_convolution")
normalized_convolution_input_gradient = _kernel("normalized_convolution_input_gradient")
normalized_convolution_weight_gradient = _kernel("normalized_convolution_weight_gradient")


@wraps(reference.sgd_update)
def sgd_update(parameters, *rest, **options):
    cuda_can_update = all(is_on_gpu(p) and p.flags.c_contiguous for p in parameters)
    return (cuda if cuda_can_update else reference).sgd_update(parameters, *rest, **options)
