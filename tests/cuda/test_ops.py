"""Every operation on the device: values and gradients as on the CPU, gradients as by finite differences."""

import numpy as np
import pytest

from minires import Tensor, gradcheck
from minires.backend import to_device
from minires.backend.dtypes import bfloat16
from minires.lab.gradient_operations import OPERATIONS


def cases(names):
    """The cases of the operations, a list of (function, inputs)."""
    return list(all_cases(names))


def all_cases(names):
    for name in names:
        cases = OPERATIONS[name] if isinstance(OPERATIONS[name], list) else [OPERATIONS[name]]
        for i, (f, inputs) in enumerate(cases):
            yield pytest.param(f, inputs, id=name if len(cases) == 1 else f"{name}-{i}")


def result_and_gradients(f, inputs, dtype, device):
    """The result and the gradient of each input, for a random upstream gradient, as arrays of NumPy."""
    tensors = [Tensor(to_device(x.astype(dtype), device), requires_grad=True) for x in inputs]
    y = f(*tensors)
    assert y.device == device
    upstream = np.random.default_rng(7).standard_normal(y.shape).astype(y.dtype)
    y.backward(to_device(upstream, device))
    assert all(t.grad.device == device for t in tensors)
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("f", "inputs"), cases(OPERATIONS))
def test_as_on_the_cpu(cupy, agree, f, inputs, dtype):
    on_cpu, on_gpu = (result_and_gradients(f, inputs, dtype, device) for device in ("cpu", "cuda"))
    for result, expected in zip(on_gpu, on_cpu, strict=True):
        agree(result, expected)


def test_a_number_takes_the_dtype_of_a_narrow_map(cupy):
    x = Tensor(cupy.asarray(np.array([[2, -3]], np.float32)).astype(bfloat16()), requires_grad=True)
    y = x * 0.5 + 1
    assert (y.dtype.name, y.numpy().astype(np.float32).tolist()) == ("bfloat16", [[2, -0.5]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("f", "inputs"),
    cases(["conv2d", "max_pool2d", "avg_pool2d", "batch_norm", "linear", "cross_entropy", "getitem", "pad"]),
)
def test_gradients(cupy, f, inputs):
    tensors = [Tensor(to_device(np.array(x), "cuda"), requires_grad=True) for x in inputs]
    assert gradcheck(f, tensors) < 1e-6
