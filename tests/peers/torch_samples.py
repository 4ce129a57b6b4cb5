"""PyTorch's own test samples, and the comparison of minires with PyTorch on one of them."""

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import settings

from minires import Tensor

torch = pytest.importorskip("torch")

# Relative to the entry, or to the largest one where many are added up and cancel each other.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
MOST_ELEMENTS_PRINTED = 500


@cache
def operators():
    """{name: OpInfo}, PyTorch's operators with their samples; the name is `max_binary` for a variant."""
    module = pytest.importorskip("torch.testing._internal.common_methods_invocations")
    settings.load_profile("minires")  # that module has loaded a profile of its own
    return {"_".join(filter(None, (op.name, op.variant_test_name))): op for op in module.op_db}


@cache
def modules():
    """{name: ModuleInfo}, the classes of torch.nn with their samples."""
    module = pytest.importorskip("torch.testing._internal.common_modules")
    settings.load_profile("minires")
    return {info.name.removeprefix("nn."): info for info in module.module_db}


def compare(function, torch_function, args, kwargs, sums=False):
    """AssertionError unless both functions return the same, with the same gradients, and change the same.

    args, kwargs: with tensors of PyTorch, whose copies both functions get. sums: whether entries of the
        result are sums of many products, whose rounding errors are relative to the largest.
    """
    torch_args, torch_kwargs = mapped((args, kwargs), lambda x: copy_of(x) if is_tensor(x) else x)
    our_args, our_kwargs = for_minires((args, kwargs))
    expected = torch_function(*torch_args, **torch_kwargs)
    result = function(*our_args, **our_kwargs)
    assert_same(result, expected, "the result", sums)
    backward(result, expected)
    ours, others = leaves((our_args, our_kwargs), Tensor), leaves((torch_args, torch_kwargs), torch.Tensor)
    for i, (x, torch_x) in enumerate(zip(ours, others, strict=True)):
        assert_same(x.detach(), torch_x.detach(), f"tensor {i} after the call", sums)
        assert_same(x.grad, torch_x.grad, f"the gradient of tensor {i}", sums=True)


def backward(result, expected):
    """The same random upstream gradient into the first tensors of both results, if they have a history."""
    result, expected = leaves(result, Tensor), leaves(expected, torch.Tensor)
    if not expected:
        return
    result, expected = result[0], expected[0]
    assert result.requires_grad == expected.requires_grad, (
        f"requires_grad of the result is {result.requires_grad}, not {expected.requires_grad}"
    )
    if expected.requires_grad:
        u = torch.randn(expected.shape, dtype=expected.dtype)
        expected.backward(u)
        result.backward(u.numpy())


def assert_same(result, expected, what, sums):
    """Tensors with the same shape, dtype and numbers, or tuples of them, or equal Python objects."""
    if is_tensor(expected):
        assert isinstance(result, Tensor), f"{what} is {result!r}, not {expected!r}"
        result = torch.tensor(result.numpy())
        torch.testing.assert_close(
            result,
            expected.detach(),
            **tolerances(expected.detach(), sums),
            equal_nan=True,
            msg=lambda text: f"{what}: {text}\nminires: {result}\nPyTorch: {expected.detach()}",
        )
    elif isinstance(expected, (tuple, list)):
        assert isinstance(result, (tuple, list)), f"{what} is {result!r}, not {expected!r}"
        assert len(result) == len(expected), f"{what} has {len(result)} parts, not {len(expected)}"
        for i, parts in enumerate(zip(result, expected, strict=True)):
            assert_same(*parts, f"{what}[{i}]", sums)
    else:
        assert type(result) is type(expected), f"{what} is {result!r}, not {expected!r}"
        assert result == expected, f"{what} is {result!r}, not {expected!r}"


def tolerances(expected, sums):
    """Relative to the entry and, for `sums`, to the largest one, at least 1: a sum that should be 0 is not.

    Numbers too small to be normal may be 0.
    """
    if not expected.dtype.is_floating_point:
        return {"rtol": 0, "atol": 0}
    rtol, tiny = TOLERANCE[expected.dtype], torch.finfo(expected.dtype).tiny
    finite = expected[torch.isfinite(expected)].abs()
    largest = max(1, finite.max().item()) if finite.numel() else 1
    return {"rtol": rtol, "atol": rtol * largest if sums else tiny}


def is_tensor(x):
    return isinstance(x, torch.Tensor)


def leaves(x, kind):
    """The values of one class in nested tuples, lists and dicts, in order."""
    found = []
    mapped(x, found.append)
    return [leaf for leaf in found if isinstance(leaf, kind)]


def mapped(x, change):
    """Nested tuples, lists and dicts with change(leaf) in the place of each leaf."""
    if isinstance(x, dict):
        return {key: mapped(part, change) for key, part in x.items()}
    if isinstance(x, (tuple, list)):
        parts = [mapped(part, change) for part in x]
        return parts if isinstance(x, list) else tuple(parts)
    return change(x)


def for_minires(x):
    """Arguments with tensors of minires, and with "float32" for torch.float32."""

    def convert(leaf):
        if is_tensor(leaf):
            return Tensor(copy_of(leaf).detach().numpy(), leaf.requires_grad)
        is_name = isinstance(leaf, (torch.dtype, torch.device))
        return str(leaf).removeprefix("torch.") if is_name else leaf

    return mapped(x, convert)


def copy_of(x):
    """A leaf with the same numbers in memory of its own, in the same order with the same gaps."""
    memory = x.detach().untyped_storage().clone()
    copy = torch.empty(0, dtype=x.dtype).set_(memory, x.storage_offset(), x.shape, x.stride())
    return copy.requires_grad_(x.requires_grad)


def call_text(name, args, kwargs):
    """The call as a line of code, with all numbers unless they are many."""
    texts = [argument_text(x) for x in args] + [f"{key}={argument_text(x)}" for key, x in kwargs.items()]
    return f"{name}({', '.join(texts)})"


def argument_text(x):
    if is_tensor(x):
        array = x.detach().numpy()
        layout = "" if x.is_contiguous() else f" with strides {x.stride()}"
        grad = ", requires_grad=True" if x.requires_grad else ""
        if array.size > MOST_ELEMENTS_PRINTED:
            return f"<{array.dtype} {array.shape}{layout}{grad}>"
        numbers = re.sub(r"\s+", " ", np.array2string(array, separator=", ", threshold=MOST_ELEMENTS_PRINTED))
        return f"Tensor(np.array({numbers}, {array.dtype.name!r}){grad}){layout}"
    if isinstance(x, (tuple, list)):
        return f"{type(x).__name__}([{', '.join(map(argument_text, x))}])"
    return repr(x)
