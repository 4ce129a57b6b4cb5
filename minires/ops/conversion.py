"""From a tensor to what is not one: numbers, lists, arrays of NumPy, text, and copies without a history."""

import operator
from copy import deepcopy

import numpy as np

from minires.backend import device_of, to_numpy
from minires.engine.tensor import Version
from minires.errors import GraphError, ShapeError


def device(input):
    """ "cpu" or "cuda"."""
    return device_of(input.data)


def numpy(input, *, force=False):
    """The data as an array of NumPy: shared on the CPU, copied from a GPU.

    force: has no effect; PyTorch has it.
    """
    return to_numpy(input.data)


def array(input, dtype=None, copy=None):
    """For np.asarray(tensor)."""
    return np.array(to_numpy(input.data), dtype=dtype, copy=copy)


def item(input):
    """The only element, as a Python number."""
    if input.data.size != 1:
        raise ShapeError(f"item(): a tensor of shape {input.shape} has {input.data.size} elements, not one")
    return input.data.item()


def index(input):
    """For range(tensor) and list[tensor]: the only element, which must be a whole number."""
    return operator.index(item(input))


def tolist(input):
    """The data as nested lists of Python numbers."""
    return input.data.tolist()


def length(input):
    """For len(tensor): the length of the first axis."""
    if not input.shape:
        raise TypeError("a tensor without dimensions has no length")
    return input.shape[0]


def formatted(input, spec):
    """For f"{tensor:.4f}", of a single element; without a specification it is the text of any tensor."""
    return format(item(input), spec) if spec else text(input)


def text(input):
    """For print(tensor)."""
    body = np.array2string(to_numpy(input.data), separator=", ", prefix="Tensor(", threshold=100)
    dtype = "" if input.dtype == "float32" else f", dtype={input.dtype}"
    return f"Tensor({body}{dtype}{', requires_grad=True' if input.requires_grad else ''})"


def state(input):
    """For pickle and copy: the attributes, those of a leaf."""
    return vars(input) | {"creator": None, "version": Version()}


def deep_copy(input, memo):
    """For copy.deepcopy, of leaves only: the graph behind another tensor would be copied as well."""
    if input.creator is not None:
        raise GraphError("deepcopy: this tensor is the result of an operation; copy tensor.detach()")
    twin = memo[id(input)] = object.__new__(type(input))
    vars(twin).update(deepcopy(state(input), memo))
    return twin


METHODS = {
    "numpy": numpy,
    "item": item,
    "tolist": tolist,
    "__array__": array,
    "__iter__": lambda x: (x[i] for i in range(len(x))),
    "__len__": length,
    "__bool__": lambda x: bool(item(x)),
    "__float__": lambda x: float(item(x)),
    "__index__": index,
    "__int__": lambda x: int(item(x)),
    "__repr__": text,
    "__format__": formatted,
    "__getstate__": state,
    "__deepcopy__": deep_copy,
}
