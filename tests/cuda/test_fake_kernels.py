"""RawModule of the fake CuPy: kernels on arrays of the device."""

import emulator
import numpy as np
import pytest
from capturing import Capturing

from minires.backend.cuda.launch import source

pytestmark = pytest.mark.skipif(emulator.compiler() is None, reason="needs g++")

CODE = (
    source("common.cuh")
    + """
extern "C" __global__ void add_one(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] + 1;
}
extern "C" __global__ void write(float* y, int position) { y[position] = 1; }
"""
)


@pytest.fixture
def module(cp):
    return cp.RawModule(code=CODE, options=("--std=c++17",))


@pytest.fixture
def add_one(module):
    module.compile()
    return module.get_function("add_one")


def test_computes(cp, add_one, rng):
    x = rng.standard_normal(100).astype(np.float32)
    y = cp.empty(100, np.float32)
    add_one((2,), (64,), (cp.asarray(x), y, np.int32(100)))
    assert np.array_equal(y.get(), x + 1)


def test_in_a_graph(cp, add_one):
    x = cp.zeros(40, np.float32)
    with Capturing(cp) as captured:
        add_one((2,), (32,), (x, x, np.int32(40)))
        add_one((2,), (32,), (x, x, np.int32(40)))
    assert (x.get() == 0).all()
    captured.graph.launch()
    captured.graph.launch()
    assert (x.get() == 4).all()


@pytest.mark.parametrize("load", ["compile", "get_function"])
def test_must_be_compiled_before_a_capture(cp, module, load):
    with Capturing(cp), pytest.raises(RuntimeError, match="done before"):
        module.compile() if load == "compile" else module.get_function("add_one")


def test_a_source_that_does_not_compile(cp):
    with pytest.raises(cp.cuda.compiler.CompileException, match="nonsense"):
        cp.RawModule(code='extern "C" __global__ void wrong() { nonsense(); }').get_function("wrong")


@pytest.mark.parametrize("n", [100, np.int64(100), 1.5])
def test_refuses_numbers_of_another_type(cp, add_one, n):
    y = cp.empty(100, np.float32)
    with pytest.raises(emulator.EmulatorError, match="add_one"):
        add_one((2,), (64,), (y, y, n))


@pytest.mark.skipif(emulator.SANITIZED, reason="AddressSanitizer ends the process")
@pytest.mark.parametrize(("position", "side"), [(60, "behind"), (-1, "before")])
def test_finds_writes_outside_of_an_array(cp, module, position, side):
    with pytest.raises(emulator.EmulatorError, match=f"write: wrote {side} an array of 240 bytes"):
        module.get_function("write")((1,), (32,), (cp.zeros(60, np.float32), np.int32(position)))


def test_the_limit_of_48_kilobytes_of_shared_memory_must_be_raised(cp, add_one):
    x = cp.zeros(32, np.float32)
    with pytest.raises(emulator.EmulatorError, match="shared memory"):
        add_one((1,), (32,), (x, x, np.int32(32)), shared_mem=64 << 10)
    add_one.max_dynamic_shared_size_bytes = 64 << 10
    add_one((1,), (32,), (x, x, np.int32(32)), shared_mem=64 << 10)
    with pytest.raises(emulator.EmulatorError, match="no block"):
        add_one.max_dynamic_shared_size_bytes = 228 << 10


def test_minires_uses_the_fake_as_cupy(cupy):
    from minires.backend import device, kernels, reference

    x = np.ones((1, 2, 3, 3), np.float32)
    on_device = device.to_device(x, "cuda")
    assert device.library(on_device) is cupy
    assert device.device_of(kernels.relu(on_device)) == "cuda"
    assert np.array_equal(device.to_numpy(kernels.add(on_device, on_device)), reference.add(x, x))
