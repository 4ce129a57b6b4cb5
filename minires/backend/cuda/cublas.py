"""Products of matrices by cuBLAS, in the precision in use. It may not be used while a step is recorded."""

from contextlib import contextmanager, nullcontext

from minires.backend.cuda import ladder
from minires.backend.device import library


def product(a, b, out=None):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P). TF32 is for two axes only; more stay float32.

    out: where y goes, if not to new memory.
    """
    xp = library(a)
    with nullcontext() if ladder.products() == "fp32" else tf32(xp):
        return xp.matmul(a, b, out=out)


@contextmanager
def tf32(cupy):
    """Let cuBLAS round factors to TF32 inside of `with tf32(cupy):`."""
    products = cupy._core._routines_linalg  # CuPy has no public name for it
    before = products.get_compute_type("f")
    products.set_compute_type("f", products.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        products.set_compute_type("f", before)
