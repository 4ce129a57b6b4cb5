"""apply(): calls a function of NumPy on arrays of the device."""

import operator

import numpy as np

from fake_cupy.array import ndarray
from fake_cupy.refusals import check_arguments, check_precision
from fake_cupy.streams import get_current_stream, issue

# These functions choose the memory order of their result. The result of any other function is in C order.
WITH_THEIR_OWN_ORDER = {
    *(np.zeros, np.ones, np.full, np.eye, np.zeros_like, np.ones_like, np.full_like),
    *(np.ndarray.copy, np.ndarray.astype, np.asfortranarray),
}


class Key:
    """A key of [...]. It may contain lists and arrays of NumPy, unlike all other arguments."""

    def __init__(self, key):
        self.key = key


class Inputs:
    """Replaces the device arrays among the arguments with NumPy's views of them, and remembers the arrays."""

    def __init__(self, view_of=operator.attrgetter("_view")):
        self.arrays, self.view_of = [], view_of

    def blocks(self):
        return tuple(array._memory.mem for array in self.arrays)

    def on_host(self, value):
        if isinstance(value, ndarray):
            self.arrays.append(value)
            return self.view_of(value)
        if isinstance(value, Key):
            return self.key_on_host(value.key)
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}: it lies on the host, not on the device")
        if isinstance(value, dict):
            return {key: self.on_host(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return type(value)(map(self.on_host, value))
        return value

    def key_on_host(self, key):
        if isinstance(key, tuple):
            return tuple(map(self.key_on_host, key))
        return key if isinstance(key, (np.ndarray, list)) else self.on_host(key)


def apply(function, arguments, options=None, may_share=False, out=None):
    """function(*arguments, **options) of NumPy on arrays of the device.

    may_share: whether the result may be a view of an argument.
    out: the array that `function` writes to, if it is not in `options`.
    """
    options = options or {}
    check_arguments(function, arguments, options)
    inputs = Inputs()
    on_host, options_on_host = inputs.on_host(arguments), inputs.on_host(options)

    def compute():
        with np.errstate(all="ignore"):  # a GPU gives no warnings
            return function(*on_host, **options_on_host)

    out = options.get("out", out)
    if out is not None:
        issue(compute, inputs.blocks())
        return out[0] if isinstance(out, tuple) else out
    # A captured function is called with zeros, for the shape and dtype of its result. Views are made at once.
    capturing = get_current_stream().is_capturing()
    result = try_on_zeros(function, arguments, options) if capturing and not may_share else compute()
    check_precision(function, inputs.arrays, options, result)
    order = "K" if function in WITH_THEIR_OWN_ORDER else "C"
    if isinstance(result, (tuple, list)):
        part_functions = (lambda i=i: compute()[i] for i in range(len(result)))
        return type(result)(
            place_on_device(part, order, compute_part if capturing else None, inputs, may_share)
            for part, compute_part in zip(result, part_functions, strict=True)
        )
    return place_on_device(result, order, compute if capturing else None, inputs, may_share)


def try_on_zeros(function, arguments, options):
    zeros = Inputs(lambda array: np.zeros_like(array._view))
    with np.errstate(all="ignore"):
        return function(*zeros.on_host(arguments), **zeros.on_host(options))


def place_on_device(result, order, compute, inputs, may_share):
    """A result of NumPy, copied to device memory.

    compute: for a captured function, computes the result again when the graph is launched; else None.
    """
    if may_share:
        for array in inputs.arrays:
            if result is array._view:
                return array
            if np.may_share_memory(result, array._view):
                return ndarray._of(result, array._memory)
    result = np.asarray(result)
    array = ndarray(result.shape, result.dtype, strides=np.empty_like(result, order=order).strides)
    # The function below keeps the view only: a graph does not keep its memory from being used again.
    view, compute = array._view, compute or (lambda: result)
    issue(lambda: np.copyto(view, compute()), (*inputs.blocks(), array._memory.mem))
    return array
