"""The ladder from formulas to speed on a GPU, and how precisely products are computed on it.

"explicit"   every convolution writes its columns (im2col), cuBLAS multiplies
"implicit"   the columns exist in shared memory only, tensor cores multiply them there; a whole training
             step can be recorded as a CUDA graph
"fused"      batch norm's statistics are taken while a convolution writes its result, and applied, with
             the ReLU, while the next one reads it

"fp32"   each product of two float32 to float32's precision
"tf32"   their factors rounded to 10 bits behind the point, as tensor cores take them; sums in float32
"""

from contextlib import contextmanager
from contextvars import ContextVar

from minires.errors import UnknownNameError

RUNGS = ("explicit", "implicit", "fused")
PRECISIONS = ("fp32", "tf32")

_rung = ContextVar("rung", default="fused")
_precision = ContextVar("precision", default="fp32")


def rung():
    """The rung in use."""
    return _rung.get()


def precision():
    """The precision of products in use."""
    return _precision.get()


@contextmanager
def using(rung=None, precision=None):
    """Compute so inside of `with using(...):`; None leaves it as it is.

    Raises UnknownNameError for another name.
    """
    chosen = []
    for variable, value, known in ((_rung, rung, RUNGS), (_precision, precision, PRECISIONS)):
        if value is None:
            continue
        if value not in known:
            raise UnknownNameError(variable.name, value, known)
        chosen.append((variable, variable.set(value)))
    try:
        yield
    finally:
        for variable, token in reversed(chosen):
            variable.reset(token)
