"""The ladder from formulas to speed on a GPU, and how precisely products are computed on it.

"explicit"   every convolution writes its columns (im2col), cuBLAS multiplies
"implicit"   the columns exist in shared memory only, tensor cores multiply them there; a whole training
             step can be recorded as a CUDA graph
"fused"      batch norm's statistics are taken while a convolution writes its result, and applied, with
             the ReLU, while the next one reads it

"fp32"   each product of two float32 to float32's precision
"tf32"   their factors rounded to 10 bits behind the point, as tensor cores take them; sums in float32
"bf16"   the same, and the maps between layers kept in bfloat16, 7 bits behind the point: half as much to
         read and write. Weights, statistics and gradients of weights stay float32
"""

from contextlib import contextmanager
from contextvars import ContextVar

from minires.backend.cuda.card import card
from minires.errors import DeviceError, UnknownNameError

RUNGS = ("explicit", "implicit", "fused")
PRECISIONS = ("fp32", "tf32", "bf16")
ANYWHERE = {"rung": "explicit", "precision": "fp32"}  # what needs no tensor cores

_rung = ContextVar("rung", default=None)
_precision = ContextVar("precision", default="fp32")


def rung():
    """The rung in use: the highest that the card can take, unless `using` says otherwise."""
    return _rung.get() or highest(card())


def precision():
    """The precision in use: fp32, unless `using` says otherwise."""
    return _precision.get()


def products():
    """The precision of products: "fp32" or "tf32"."""
    return "fp32" if precision() == "fp32" else "tf32"


def highest(card):
    """The highest rung that a Card can take."""
    return RUNGS[-1] if card.has_tensor_cores else ANYWHERE["rung"]


@contextmanager
def using(rung=None, precision=None):
    """Compute so inside of `with using(...):`; None leaves it as it is. See `check` for errors."""
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
    """UnknownNameError for another name, DeviceError for what the card in use or the rung does not have."""
    for kind, asked, known in (("rung", rung, RUNGS), ("precision", precision, PRECISIONS)):
        if asked is not None and asked not in known:
            raise UnknownNameError(kind, asked, known)
        if asked not in (None, ANYWHERE[kind]) and not card().has_tensor_cores:
            raise DeviceError(
                f"{kind} {asked!r} needs tensor cores that multiply TF32, compute capability 8.0 or newer; "
                f"{card().name} has {'.'.join(map(str, card().capability))}; use --{kind} {ANYWHERE[kind]}"
            )
    if precision == "bf16" and rung == "explicit":
        raise DeviceError("precision 'bf16' is for the rungs implicit and fused; use --precision tf32")
