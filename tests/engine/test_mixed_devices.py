"""Arrays of two devices in one operation are refused, tested with a stand-in for CuPy."""

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from minires import Tensor, nn, ops
from minires.backend import device_of, library, to_device
from minires.errors import DeviceError, MiniresError


class DeviceArray:
    """The attributes of cupy.ndarray that minires needs to distinguish it from NumPy's arrays."""

    def __init__(self, array):
        self.array = array

    dtype = property(lambda self: self.array.dtype)
    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    size = property(lambda self: self.array.size)

    def get(self):
        return self.array.copy()


@pytest.fixture
def fake_cupy(monkeypatch):
    cupy = ModuleType("cupy")
    cupy.ndarray = DeviceArray
    cupy.asarray = DeviceArray
    cupy.cuda = ModuleType("cupy.cuda")
    cupy.cuda.is_available = lambda: True
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def on_device(*shape):
    return Tensor(DeviceArray(np.ones(shape, np.float32)))


def on_host(*shape):
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


def test_each_array_knows_its_library_and_device(fake_cupy):
    assert (library(np.ones(2)), device_of(np.ones(2))) == (np, "cpu")
    assert (library(on_device(2).data), on_device(2).device) == (fake_cupy, "cuda")


def test_moving_to_the_device_and_back(fake_cupy):
    array = np.arange(3.0)
    on_gpu = to_device(array, "cuda")
    assert isinstance(on_gpu, DeviceArray)
    assert to_device(on_gpu, "cuda") is on_gpu
    np.testing.assert_array_equal(to_device(on_gpu, "cpu"), array)
    assert to_device(array, "cpu") is array
    np.testing.assert_array_equal(Tensor(on_gpu).numpy(), array)


@pytest.mark.parametrize(
    ("op", "call", "position"),
    [
        ("add", lambda: on_host(2) + on_device(2), 2),
        ("mul", lambda: on_host(2) * on_device(2), 2),
        ("matmul", lambda: on_host(2, 2) @ on_device(2, 2), 2),
        ("linear", lambda: ops.linear(on_host(2, 3), on_host(4, 3), on_device(4)), 3),
        ("conv2d", lambda: ops.conv2d(on_host(1, 1, 3, 3), on_device(1, 1, 3, 3)), 2),
        ("concatenate", lambda: ops.concatenate([on_host(2), on_host(2), on_device(2)]), 3),
    ],
)
def test_mixed_devices_are_refused_with_advice(fake_cupy, op, call, position):
    with pytest.raises(DeviceError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"{op}: argument 1 is on 'cpu' but argument {position} is on 'cuda'")
    assert ".to('cpu')" in message
    assert isinstance(caught.value, RuntimeError)


def test_the_device_of_the_first_argument_is_recommended(fake_cupy):
    with pytest.raises(DeviceError, match=r"argument 2 is on 'cpu'.*\.to\('cuda'\)"):
        on_device(2) + on_host(2)


def test_plain_array_counts_as_on_the_host(fake_cupy):
    with pytest.raises(DeviceError, match="argument 1 is on 'cpu' but argument 2 is on 'cuda'"):
        np.ones(2, np.float32) + on_device(2)


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it raises ImportError


@pytest.mark.parametrize("movable", [on_host(2), nn.Linear(2, 2)], ids=["tensor", "module"])
def test_moving_to_a_gpu_without_cupy_says_what_to_install(no_cupy, movable):
    with pytest.raises(DeviceError, match=r"pip install 'cupy-cuda13x\[ctk\]'") as caught:
        movable.to("cuda")
    assert isinstance(caught.value, MiniresError)


def test_moving_to_a_gpu_that_does_not_exist_is_refused(fake_cupy, monkeypatch):
    monkeypatch.setattr(fake_cupy.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"no NVIDIA GPU.*nvidia-smi"):
        on_host(2).to("cuda")


def test_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="unknown device 'tpu'; use 'cpu' or 'cuda'"):
        to_device(np.ones(2), "tpu")


def test_import_loads_no_other_array_library():
    code = (
        "import sys, minires; "
        "print(*[name for name in ('cupy', 'torch', 'jax', 'tensorflow') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
