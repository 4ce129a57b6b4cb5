"""Matrix products by cuBLAS, on any GPU, with or without tensor cores. A CUDA graph cannot contain them."""

from contextlib import contextmanager, nullcontext

from minires.backend.cuda import kernel_settings
from minires.backend.device import library


def matmul_on_any_gpu(a, b, out=None):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P), in the precision in use.

    Factors with more than two axes are multiplied in float32 in every precision.
    out: the array for y; without it y is a new array.
    """
    xp = library(a)
    with nullcontext() if kernel_settings.product_precision() == "fp32" else rounding_to_tf32(xp):
        return xp.matmul(a, b, out=out)


@contextmanager
def rounding_to_tf32(cupy):
    """Inside of `with rounding_to_tf32(cupy):` cuBLAS rounds factors to TF32."""
    linalg = cupy._core._routines_linalg  # CuPy has no public function for this
    before = linalg.get_compute_type("f")
    linalg.set_compute_type("f", linalg.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        linalg.set_compute_type("f", before)
