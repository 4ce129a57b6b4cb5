"""The emulator computes what a GPU computes, and finds the faults that it is made to find."""

import os
import subprocess
import sys
import textwrap

import emulator
import numpy as np
import pytest
from emulator import build

from minires.backend.cuda.launch import source

pytestmark = pytest.mark.skipif(emulator.compiler() is None, reason="needs g++")

CODE = source("common.cuh") + textwrap.dedent(
    r"""
    extern "C" __global__ void total(const float* x, float* y, int n) {
        float sum = 0;
        for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
        sum = block_sum(sum, shared_floats());
        if (threadIdx.x == 0) *y = sum;
    }

    extern "C" __global__ void neighbours(const float* x, float* y, int wait) {
        float* row = shared_floats();
        int i = threadIdx.x;
        row[i] = x[i];
        if (wait) __syncthreads();
        y[i] = row[(i + 1) % blockDim.x];
    }

    extern "C" __global__ void some_leave() {
        if (threadIdx.x >= 40) return;
        __syncthreads();
    }

    extern "C" __global__ void two_barriers() {
        if (threadIdx.x < 32)
            __syncthreads();
        else
            __syncthreads();
    }

    extern "C" __global__ void half_a_warp(float* y) {
        if (threadIdx.x < 16) *y = warp_sum(1);
    }

    extern "C" __global__ void other_lanes(float* y) { *y = __shfl_xor_sync(0xffffu, *y, 1); }

    extern "C" __global__ void behind_the_end(int n) { shared_floats()[n] = 1; }

    extern "C" __global__ void shared(float* y) { y[threadIdx.x] = shared_floats()[threadIdx.x]; }

    extern "C" __global__ void four(float* y, int start) { store4(y + start, make_float4(1, 2, 3, 4)); }

    extern "C" __global__ void __launch_bounds__(64) lanes(unsigned* y) {
        int lane = threadIdx.x;
        y[lane] = __shfl_down_sync(ALL_LANES, lane, 1);
        y[32 + lane] = __shfl_sync(ALL_LANES, lane, 5);
        y[64 + lane] = __ballot_sync(ALL_LANES, lane % 3 == 0);
        y[96 + lane] = __umulhi(0x80000000u + lane, 6u);
    }

    extern "C" __global__ void product(const float* A, const float* B, float* D, int rounded) {
        int g = threadIdx.x / 4, t = threadIdx.x % 4;
        float a[4] = {A[8 * g + t], A[8 * (g + 8) + t], A[8 * g + t + 4], A[8 * (g + 8) + t + 4]};
        float b[2] = {B[8 * t + g], B[8 * (t + 4) + g]};
        for (float& value : a) value = rounded ? round_to_tf32(value) : value;
        for (float& value : b) value = rounded ? round_to_tf32(value) : value;
        float d[4] = {1, 1, 1, 1};
        warp_matrix_product_16x8x8(d, a, b);
        D[8 * g + 2 * t] = d[0];
        D[8 * g + 2 * t + 1] = d[1];
        D[8 * (g + 8) + 2 * t] = d[2];
        D[8 * (g + 8) + 2 * t + 1] = d[3];
    }

    extern "C" __global__ void narrowed(const float* x, bfloat16* narrow, float* wide) {
        store(narrow + threadIdx.x, x[threadIdx.x]);
        wide[threadIdx.x] = load(narrow + threadIdx.x);
    }

    template <class T> __device__ void set(T* y, T value) { *y = value; }
    #define SET(name, T) extern "C" __global__ void set_##name(T* y, T value) { set(y, value); }
    SET(float, float)
    SET(int, int)
    """
)


def run(name, *arguments, blocks=(1, 1, 1), threads=32, shared=0):
    """Run a kernel on arrays of NumPy."""
    on_device = [(a.ctypes.data, a.dtype) if isinstance(a, np.ndarray) else a for a in arguments]
    emulator.Kernel(CODE, name)(blocks, threads, on_device, shared)


def floats(*shape):
    return np.zeros(shape, np.float32)


def test_sum_over_a_block(rng, turns):
    x, y = rng.standard_normal(1000).astype(np.float32), floats(1)
    run("total", x, y, np.int32(1000), threads=128, shared=16)
    assert y[0] == pytest.approx(x.sum(dtype=np.float64), rel=1e-5)


def test_a_missing_barrier_changes_the_result_in_one_of_the_orders(rng):
    x, results = rng.standard_normal(64).astype(np.float32), {}
    for order in ("forward", "reversed"):
        for wait in (0, 1):
            y = results[order, wait] = floats(64)
            with emulator.turns(order):
                run("neighbours", x, y, np.int32(wait), threads=64, shared=256)
    assert np.array_equal(results["forward", 1], np.roll(x, -1))
    assert np.array_equal(results["reversed", 1], np.roll(x, -1))
    assert any(not np.array_equal(results[order, 0], np.roll(x, -1)) for order in ("forward", "reversed"))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "some_leave",
            (),
            r"some_leave: .*waits in __syncthreads at `__syncthreads\(\);`.*has ended",
        ),
        ("two_barriers", (), "two_barriers: .*waits in __syncthreads.*waits in __syncthreads"),
        ("half_a_warp", (floats(1),), "thread 0 waits in __shfl_xor_sync.*thread 31 has ended"),
        ("other_lanes", (floats(1),), "without all lanes"),
        ("behind_the_end", (np.int32(32),), "behind its 128 bytes of shared memory"),
        ("four", (floats(8), np.int32(1)), "misaligned pointer"),
        ("four", (np.uint64(0), np.int32(0)), "null pointer"),
    ],
)
@pytest.mark.skipif(emulator.SANITIZED, reason="AddressSanitizer ends the process")
def test_faults_are_errors_that_name_the_kernel_and_the_line(turns, name, arguments, message):
    with pytest.raises(emulator.EmulatorError, match=message):
        run(name, *arguments, threads=64, shared=128)


def test_a_launch_works_after_a_fault():
    with pytest.raises(emulator.EmulatorError):
        run("some_leave", threads=64)
    y = floats(1)
    run("total", np.ones(64, np.float32), y, np.int32(64), threads=64, shared=8)
    assert y[0] == 64


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        ({"blocks": (0, 1, 1)}, "0 blocks along x"),
        ({"blocks": (1, 65536, 1)}, "65536 blocks along y"),
        ({"threads": 48}, "48 threads"),
        ({"threads": 1056}, "1056 threads"),
        ({"shared": 49 << 10}, "50176 bytes of shared memory"),
    ],
)
def test_launches_that_a_gpu_refuses(launch, message):
    with pytest.raises(emulator.EmulatorError, match=f"total: {message}"):
        run("total", floats(1), floats(1), np.int32(1), **launch)


def test_launch_bounds_hold():
    with pytest.raises(emulator.EmulatorError, match="at most 64"):
        run("lanes", np.zeros(128, np.uint32), threads=96)


@pytest.mark.parametrize(
    "arguments",
    [
        (floats(1), floats(1)),
        (floats(1), floats(1), np.int64(1)),
        (floats(1), floats(1), np.float32(1)),
        (floats(1), np.zeros(1), np.int32(1)),
        (np.int32(1), floats(1), np.int32(1)),
    ],
)
def test_arguments_of_other_types_are_refused(arguments):
    with pytest.raises(emulator.EmulatorError, match=r"total: (argument|takes)"):
        run("total", *arguments)


def test_shared_memory_is_full_of_nan_at_first():
    y = floats(32)
    run("shared", y, shared=128)
    assert np.isnan(y).all()


def test_lanes_exchange(turns):
    y = np.zeros(128, np.uint32)
    run("lanes", y)
    lane = np.arange(32)
    assert np.array_equal(y[:32], np.minimum(lane + 1, 31))
    assert (y[32:64] == 5).all()
    assert (y[64:96] == sum(1 << i for i in range(0, 32, 3))).all()
    assert np.array_equal(y[96:], (0x80000000 + lane) * 6 >> 32)


def test_matrix_product(rng, turns):
    A, B = (rng.standard_normal(shape).astype(np.float32) for shape in ((16, 8), (8, 8)))
    errors = {}
    for rounded in (0, 1):
        D = floats(16, 8)
        run("product", A, B, D, np.int32(rounded))
        errors[rounded] = np.abs(D - (A.astype(np.float64) @ B + 1)).max()
    assert errors[1] < 4e-3
    exact = np.round(4 * A) / 4, np.round(4 * B) / 4
    run("product", *exact, D := floats(16, 8), np.int32(0))
    assert np.array_equal(D, exact[0] @ exact[1] + 1)
    ones = np.full((16, 8), 1 + 2**-11, np.float32), np.ones((8, 8), np.float32)
    run("product", *ones, D, np.int32(0))
    assert (D == 9).all()  # the last bits are cut off
    run("product", *ones, D, np.int32(1))
    assert (D == 9 + 2**-7).all()  # a tie, rounded away from zero


def test_bfloat16(rng):
    x = rng.standard_normal(32).astype(np.float32)
    x[:5] = np.nan, np.inf, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38
    x[5:6].view(np.uint32)[:] = 0x7F800001  # a NaN that must not become an infinity
    narrow, wide = np.zeros(32, np.uint16), floats(32)
    run("narrowed", x, narrow, wide)
    assert np.isnan(wide[[0, 5]]).all()
    assert wide[1] == np.inf
    assert wide[2] == 1  # a tie goes to the even one, down
    assert wide[3] == 1 + 2**-6  # or up
    assert wide[4] == np.inf
    assert np.abs(wide[6:] / x[6:] - 1).max() <= 2**-9 * (1 + 1e-6) * 2
    assert np.array_equal(wide, (narrow.astype(np.uint32) << 16).view(np.float32), equal_nan=True)


def test_kernels_made_by_macros_are_found():
    y, i = floats(1), np.zeros(1, np.int32)
    run("set_float", y, np.float32(2.5))
    run("set_int", i, np.int32(-3))
    assert (y[0], i[0]) == (2.5, -3)
    with pytest.raises(emulator.EmulatorError, match="no kernel nonsense"):
        run("nonsense")


def test_a_source_that_does_not_compile_says_why():
    code = 'extern "C" __global__ void wrong(float* y) { atomicAdd(y, 1.f); }'
    for _ in range(2):
        with pytest.raises(emulator.EmulatorError, match="atomicAdd"):
            emulator.Kernel(code, "wrong")


def test_fibers_of_the_operating_system(monkeypatch, turns):
    """Used on other machines than x86-64 with Linux."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-DEMULATOR_USES_SWAPCONTEXT"))
    code, y = CODE + "// other flags", floats(64)
    x = (np.ones(64, np.float32).ctypes.data, np.dtype("float32"))
    emulator.Kernel(code, "total")((1, 1, 1), 64, [x, (y.ctypes.data, y.dtype), np.int32(64)], 8)
    assert y[0] == 64
    with pytest.raises(emulator.EmulatorError, match="has ended"):
        emulator.Kernel(code, "some_leave")((1, 1, 1), 64, [])


@pytest.mark.slow
def test_processes_may_compile_the_same_at_once(tmp_path):
    code = 'extern "C" __global__ void nothing() {}'
    program = f"import emulator; emulator.Kernel({code!r}, 'nothing')((1, 1, 1), 32, [])"
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    suffixes = [file.suffix for folder in tmp_path.glob("minires-*") for file in folder.iterdir()]
    assert sorted(suffixes) == [".lock", ".so"]
