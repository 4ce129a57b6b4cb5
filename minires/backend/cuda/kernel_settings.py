"""The settings of the GPU's kernels: the rung says which kernels compute, the precision how exactly they do.

The rungs, as on a ladder from the simplest kernels to the fastest ones:

"explicit"   every convolution writes its columns to memory (im2col), and cuBLAS multiplies them. Needs no
             tensor cores
"implicit"   the columns exist in shared memory only, and tensor cores multiply them there. A whole training
             step can be recorded as a CUDA graph
"fused"      the same; also, a convolution computes the statistics for the next batch norm while it writes
             its result, and the next convolution applies this batch norm and the ReLU while it reads

The precisions:

"fp32"   products of float32 numbers, to float32's precision
"tf32"   the factors are rounded to TF32, 10 bits behind the point, as tensor cores read them; sums in float32
"bf16"   the same, and the maps between layers are stored in bfloat16, 7 bits behind the point: half the
         memory to read and write. Weights, statistics and gradients of weights stay float32

Cards without tensor cores that multiply TF32 (compute capability below 8.0) have "explicit" and "fp32".
"""

from contextlib import contextmanager
from contextvars import ContextVar

from minires.backend.cuda.card import card
from minires.errors import DeviceError, UnknownNameError

RUNGS = ("explicit", "implicit", "fused")
PRECISIONS = ("fp32", "tf32", "bf16")
WITHOUT_TENSOR_CORES = {"rung": "explicit", "precision": "fp32"}  # the settings that every card has

_rung = ContextVar("rung", default=None)
_precision = ContextVar("precision", default="fp32")


def rung():
    """The rung in use: the highest one that the card has, unless `using` says otherwise."""
    return _rung.get() or highest_rung(card())


def precision():
    """The precision in use: fp32, unless `using` says otherwise."""
    return _precision.get()


def product_precision():
    """The precision of products: "fp32", or "tf32" for the precisions "tf32" and "bf16"."""
    return "fp32" if precision() == "fp32" else "tf32"


def highest_rung(card):
    """The highest rung that a Card has."""
    return RUNGS[-1] if card.has_tf32_tensor_cores else WITHOUT_TENSOR_CORES["rung"]


@contextmanager
def using(rung=None, precision=None):
    """Compute with these settings inside of `with using(...):`; None keeps a setting as it is.

    Raises the errors of `check`.
    """
    check(rung, precision)
    tokens = [
        (variable, variable.set(value))
        for variable, value in ((_rung, rung), (_precision, precision))
        if value is not None
    ]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)


def check(rung=None, precision=None):
    """Raises UnknownNameError for an unknown name, DeviceError for a setting that the card in use does not
    have, or for a precision that the rung does not have.
    """
    for option, value, known in (("rung", rung, RUNGS), ("precision", precision, PRECISIONS)):
        if value is not None and value not in known:
            raise UnknownNameError(option, value, known)
        fallback = WITHOUT_TENSOR_CORES[option]
        if value not in (None, fallback) and not card().has_tf32_tensor_cores:
            capability = ".".join(map(str, card().compute_capability))
            raise DeviceError(
                f"{option} {value!r} needs tensor cores that multiply TF32, compute capability 8.0 or newer; "
                f"{card().name} has {capability}; use --{option} {fallback}"
            )
    if precision == "bf16" and rung == "explicit":
        raise DeviceError("precision 'bf16' is for the rungs implicit and fused; use --precision tf32")
