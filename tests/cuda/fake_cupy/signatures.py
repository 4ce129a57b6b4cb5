"""The functions and methods that the fake has, with the signatures that they have in CuPy 14.2.

CuPy's functions have fewer parameters than NumPy's: there is no `where=` in a ufunc, no `initial=` in a sum.
A function of CuPy that is missing here can be added, with the signature that `inspect.signature` returns.
"""

import inspect
import re

import numpy as np

FUNCTIONS = """
    all(a, axis=None, out=None, keepdims=False)
    any(a, axis=None, out=None, keepdims=False)
    arange(start, stop=None, step=1, dtype=None)
    argmax(a, axis=None, dtype=None, out=None, keepdims=False)
    argmin(a, axis=None, dtype=None, out=None, keepdims=False)
    argsort(a, axis=-1, kind=None)
    argwhere(a)
    array_equal(a1, a2, equal_nan=False)
    array_split(ary, indices_or_sections, axis=0)
    ascontiguousarray(a, dtype=None)
    asfortranarray(a, dtype=None)
    bincount(x, weights=None, minlength=None)
    broadcast_to(array, shape)
    clip(a, a_min, a_max, out=None)
    concatenate(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
    count_nonzero(a, axis=None)
    cumsum(a, axis=None, dtype=None, out=None)
    diagonal(a, offset=0, axis1=0, axis2=1)
    dot(a, b, out=None)
    einsum(*operands, **kwargs)
    expand_dims(a, axis)
    eye(N, M=None, k=0, dtype=float, order='C')
    flatnonzero(a)
    flip(a, axis=None)
    full(shape, fill_value, dtype=None, order='C')
    full_like(a, fill_value, dtype=None, order='K', subok=None, shape=None)
    linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0)
    matmul(*args, axes=None, axis=None, keepdims=False, casting='same_kind', dtype=None, signature=None,
           order='K', out=None)
    max(a, axis=None, out=None, keepdims=False)
    mean(a, axis=None, dtype=None, out=None, keepdims=False)
    min(a, axis=None, out=None, keepdims=False)
    moveaxis(a, source, destination)
    nonzero(a)
    ones(shape, dtype=float, order='C')
    ones_like(a, dtype=None, order='K', subok=None, shape=None)
    pad(array, pad_width, mode='constant', **kwargs)
    prod(a, axis=None, dtype=None, out=None, keepdims=False)
    ravel(a, order='C')
    repeat(a, repeats, axis=None)
    reshape(a, newshape, order='C', *, copy=None)
    roll(a, shift, axis=None)
    split(ary, indices_or_sections, axis=0)
    squeeze(a, axis=None)
    stack(tup, axis=0, out=None, *, dtype=None, casting='same_kind')
    std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    sum(a, axis=None, dtype=None, out=None, keepdims=False)
    swapaxes(a, axis1, axis2)
    take(a, indices, axis=None, out=None)
    take_along_axis(a, indices, axis)
    tensordot(a, b, axes=2)
    tile(A, reps)
    transpose(a, axes=None)
    unique(ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True)
    var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    where(condition, x=None, y=None)
    zeros(shape, dtype=float, order='C')
    zeros_like(a, dtype=None, order='K', subok=None, shape=None)
"""

UFUNCS = """
    abs absolute add arctan2 bitwise_and bitwise_or bitwise_xor ceil cos divide equal exp exp2 expm1 floor
    floor_divide greater greater_equal invert isfinite isinf isnan left_shift less less_equal log log1p log2
    logaddexp logical_and logical_not logical_or logical_xor maximum minimum mod multiply negative not_equal
    power reciprocal remainder right_shift rint sign sin sqrt square subtract tanh true_divide trunc
"""

METHODS = """
    all(self, axis=None, out=None, keepdims=False)
    any(self, axis=None, out=None, keepdims=False)
    argmax(self, axis=None, out=None, dtype=None, keepdims=False)
    argmin(self, axis=None, out=None, dtype=None, keepdims=False)
    argsort(self, axis=-1, kind=None)
    clip(self, min=None, max=None, out=None)
    copy(self, order='C')
    cumsum(self, axis=None, dtype=None, out=None)
    diagonal(self, offset=0, axis1=0, axis2=1)
    dot(self, b, out=None)
    fill(self, value)
    flatten(self, order='C')
    max(self, axis=None, out=None, keepdims=False)
    mean(self, axis=None, dtype=None, out=None, keepdims=False)
    min(self, axis=None, out=None, keepdims=False)
    nonzero(self)
    prod(self, axis=None, dtype=None, out=None, keepdims=None)
    ravel(self, order='C')
    repeat(self, repeats, axis=None)
    reshape(self, *shape, order='C', copy=None)
    round(self, decimals=0, out=None)
    squeeze(self, axis=None)
    std(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    sum(self, axis=None, dtype=None, out=None, keepdims=False)
    swapaxes(self, axis1, axis2)
    take(self, indices, axis=None, out=None)
    transpose(self, *axes)
    var(self, axis=None, dtype=None, out=None, ddof=0, keepdims=False)
    view(self, dtype=None, type=None)
"""


def signature(text):
    """The inspect.Signature of "(parameters)"."""
    names = {}
    exec(f"def function{text}: pass", names)
    return inspect.signature(names["function"])


def signatures(text):
    """{name: signature} of a table above."""
    return {name: signature(rest) for name, rest in re.findall(r"^    (\w+)(\(.*?\))$", text, re.M | re.S)}


def of_ufunc(name):
    inputs = "x" if getattr(np, name).nin == 1 else "x1, x2"
    return signature(f"({inputs}, /, out=None, *, casting='same_kind', dtype=None)")


FUNCTIONS = signatures(FUNCTIONS) | {name: of_ufunc(name) for name in UFUNCS.split()}
METHODS = signatures(METHODS)
