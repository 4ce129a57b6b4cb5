"""Every kernel compiles for cards of three generations, and to the intended instructions."""

import re
from functools import cache

import pytest
from compilers import CompileError, compiled, compiler
from emulator import THREADS_WITHOUT_BOUNDS

from minires.backend.cuda.launch import FOLDER, source

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs nvcc, or CuPy with NVRTC")

FILES = sorted(file.name for file in FOLDER.glob("*.cu"))
ARCHITECTURES = [pytest.param(name, marks=pytest.mark.slow) for name in ("sm_80", "sm_90", "sm_100")]
REGISTERS = 1 << 16  # that a block's threads share

TENSOR_CORES = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
FOUR_NUMBERS = {"float": r"ld\.global\S*\.v4\.[fbu]32", "bfloat16": r"ld\.global\S*\.v2\.[bu]32"}

SPILLING = """
extern "C" __global__ void __launch_bounds__(1024) needs_many_registers(float* x) {
    float held[100];
    #pragma unroll
    for (int i = 0; i < 100; i++) held[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
    #pragma unroll
    for (int i = 0; i < 100; i++) x[i * 1024 + threadIdx.x] = held[99 - i];
}
extern "C" __global__ void indexes_an_array_at_run_time(float* x, int n) {
    float held[32];
    for (int i = 0; i < 32; i++) held[i] = x[i] * x[i];
    held[n] = 0;
    for (int i = 0; i < 32; i++) x[i] = held[(i + n) % 32];
}
extern "C" __global__ void needs_few_registers(float* x) { x[threadIdx.x] += 1; }
"""


@cache
def kernels(file, architecture):
    return compiled(source(file), architecture)


@pytest.fixture(params=ARCHITECTURES)
def kernels_of(request):
    """A function (file) -> its Kernels. The test runs once for each architecture."""
    return lambda file: kernels(file, request.param)


@pytest.mark.parametrize("file", FILES)
def test_kernels_keep_all_their_numbers_in_registers(kernels_of, file):
    kernels = kernels_of(file)
    assert kernels
    assert [kernel.name for kernel in kernels if kernel.local_memory] == []


@pytest.mark.parametrize("file", FILES)
def test_there_are_registers_for_all_threads_of_a_block(kernels_of, file):
    """The emulator starts no kernel with more threads than that."""
    for kernel in kernels_of(file):
        assert kernel.registers * (kernel.threads or THREADS_WITHOUT_BOUNDS) <= REGISTERS, kernel.name


@pytest.mark.parametrize("file", ["convolution.cu", "weight_gradient.cu", "matmul.cu"])
def test_tensor_cores_multiply(kernels_of, file):
    multiplying = [kernel for kernel in kernels_of(file) if re.search("_(tf32|fp32)", kernel.name)]
    assert multiplying
    assert [kernel.name for kernel in multiplying if TENSOR_CORES not in kernel.ptx] == []


@pytest.mark.parametrize("file", ["convolution.cu", "weight_gradient.cu", "batch_norm.cu", "elementwise.cu"])
def test_maps_are_read_four_numbers_at_a_time(kernels_of, file):
    matches = {kernel: re.search("_(float|bfloat16)", kernel.name) for kernel in kernels_of(file)}
    loads = {kernel: FOUR_NUMBERS[match[1]] for kernel, match in matches.items() if match}
    assert loads
    assert [kernel.name for kernel, load in loads.items() if not re.search(load, kernel.ptx)] == []


@pytest.mark.slow
def test_numbers_that_do_not_fit_into_registers_are_noticed():
    memory = {kernel.name: kernel.local_memory for kernel in compiled(SPILLING, "sm_90")}
    assert memory["needs_many_registers"] > 0
    assert memory["indexes_an_array_at_run_time"] > 0
    assert memory["needs_few_registers"] == 0


@pytest.mark.slow
def test_an_error_is_noticed():
    with pytest.raises(CompileError, match="nonsense"):
        compiled('extern "C" __global__ void wrong() { nonsense(); }', "sm_90")
