"""The fake CuPy computes what NumPy does, and refuses what CuPy refuses."""

import emulator
import fake_cupy
import numpy as np
import pytest

from minires.backend.cuda.launch import source

ADD_ONE = source("common.cuh") + (
    'extern "C" __global__ void add_one(const float* x, float* y, int n) {'
    "    int i = blockIdx.x * blockDim.x + threadIdx.x;"
    "    if (i < n) y[i] = x[i] + 1;"
    "}"
)


@pytest.fixture
def cp():
    fake_cupy.reset()
    yield fake_cupy
    fake_cupy.reset()


@pytest.fixture
def x(cp, rng):
    return cp.asarray(rng.standard_normal((2, 3, 4)).astype(np.float32))


class Capturing:
    """`with Capturing(cp) as graph`: what is inside is written down, on memory of a pool of its own."""

    def __init__(self, cp):
        self.cp, self.pool, self.stream = cp, cp.cuda.MemoryPool(), cp.cuda.Stream(non_blocking=True)

    def __enter__(self):
        self.allocator = self.cp.cuda.using_allocator(self.pool.malloc)
        self.allocator.__enter__()
        self.stream.__enter__()
        self.stream.begin_capture()
        return self

    def __exit__(self, *_):
        self.graph = self.stream.end_capture()
        self.stream.__exit__()
        self.allocator.__exit__(None, None, None)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, xp: x + x * 2 - 1,
        lambda x, xp: 1 / (x * x + 1),
        lambda x, xp: -(abs(x) ** 2),
        lambda x, xp: x > 0,
        lambda x, xp: x.sum(axis=(0, 2)),
        lambda x, xp: x.mean(),
        lambda x, xp: xp.maximum(x, 0),
        lambda x, xp: xp.where(x > 0, x, 0.5),
        lambda x, xp: xp.exp(x, out=xp.empty_like(x)),
        lambda x, xp: x.transpose(2, 0, 1).reshape(4, 6),
        lambda x, xp: x[0, :, 1:3],
        lambda x, xp: x[1, 2, 3],
        lambda x, xp: x[x > 0],
        lambda x, xp: x[xp.array([1, 0, 1])],
        lambda x, xp: x[:, [0, 2]],
        lambda x, xp: xp.concatenate([x, x], axis=1),
        lambda x, xp: xp.full_like(x, 3, shape=(2, 2)),
        lambda x, xp: x.reshape(6, 4) @ x[0].T,
        lambda x, xp: xp.arange(5, dtype=xp.int32) % 3,
        lambda x, xp: xp.zeros((0, 3), xp.float32).sum(axis=0),
        lambda x, xp: xp.lib.stride_tricks.as_strided(x, (2, 2), (4, 4)),
        lambda x, xp: xp.nonzero(x > 0)[1],
        lambda x, xp: x.astype(xp.float64).sum(),
        lambda x, xp: np.float32(2) * x,
    ],
)
def test_computes_what_numpy_does(cp, x, function):
    result, expected = function(x, cp), np.asarray(function(x.get(), np))
    assert isinstance(result, cp.ndarray)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(result.get(), expected)


def test_changes_in_place_and_through_views(cp, x):
    expected = x.get()
    x += 1
    x[0] *= 2
    x[:, 1, 2:] = 7
    x.reshape(-1)[3] = -1
    x.T[0] = x.T[1]
    expected += 1
    expected[0] *= 2
    expected[:, 1, 2:] = 7
    expected.reshape(-1)[3] = -1
    expected.T[0] = expected.T[1]
    assert np.array_equal(x.get(), expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, cp: np.asarray(x),
        lambda x, cp: np.add(x, x.get()),
        lambda x, cp: x + x.get(),
        lambda x, cp: x.get() + x,
        lambda x, cp: x * [1, 2, 3, 4],
        lambda x, cp: cp.maximum(x, np.zeros(1)),
        lambda x, cp: cp.sum([1, 2]),
        lambda x, cp: cp.sum(x.get()),
        lambda x, cp: x.__setitem__(0, x.get()[0]),
        lambda x, cp: x.__setitem__((0, 0), [1, 2, 3, 4]),
    ],
)
def test_refuses_to_mix_with_the_host(cp, x, function):
    with pytest.raises(TypeError):
        function(x, cp)


def test_refuses_float64_by_accident(cp, x):
    with pytest.raises(AssertionError, match="float64"):
        x * np.float64(2)


def test_new_memory_holds_nothing_useful(cp):
    assert np.isnan(cp.empty(5, np.float32).get()).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, cp: x.get(),
        lambda x, cp: float(x.sum()),
        lambda x, cp: bool((x > 0).all()),
        lambda x, cp: x.sum().item(),
        lambda x, cp: x[x > 0],
        lambda x, cp: cp.nonzero(x),
        lambda x, cp: cp.where(x > 0),
        lambda x, cp: cp.asarray(np.ones(3)),
        lambda x, cp: cp.array([1.0]),
        lambda x, cp: x.reshape(6, 4) @ x[0].T,
        lambda x, cp: cp.einsum("ijk->i", x),
        lambda x, cp: cp.cuda.get_current_stream().synchronize(),
        lambda x, cp: cp.cuda.Device().synchronize(),
        lambda x, cp: x[:, [0, 1]],
    ],
)
def test_refuses_while_a_stream_is_captured(cp, x, function):
    function(x, cp)
    with Capturing(cp), pytest.raises(RuntimeError):
        function(x, cp)


def test_refuses_memory_of_the_default_pool_while_a_stream_is_captured(cp, x):
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="pool"):
            x + 1
        stream.end_capture()


def test_a_graph_does_what_was_captured_and_not_before(cp):
    x, total = cp.zeros(4, np.float32), cp.zeros((), np.float32)
    index = cp.array([3, 0])
    with Capturing(cp) as captured:
        x += 1
        picked = x[index] * 2
        total += picked.sum()
    assert float(x.sum()) == 0
    for step in range(1, 4):
        captured.graph.launch()
        assert x.get().tolist() == [step] * 4
        assert picked.get().tolist() == [2 * step] * 2
    assert float(total) == 4 + 8 + 12


def test_what_a_graph_frees_is_handed_out_again_and_given_back_memory_is_not_used(cp):
    x = cp.ones(4, np.float32)
    with Capturing(cp) as captured:
        y = x + 1
    pointer = y.data.ptr
    del y
    with cp.cuda.using_allocator(captured.pool.malloc):
        other = cp.zeros(4, np.float32)
    assert other.data.ptr == pointer
    captured.graph.launch()
    assert other.get().tolist() == [2] * 4  # as CuPy's users find out
    del other
    captured.pool.free_all_blocks()
    with pytest.raises(RuntimeError, match="given back"):
        captured.graph.launch()


def test_pools_count_and_have_limits(cp):
    pool = cp.get_default_memory_pool()
    x = cp.empty(1000, np.float32)
    assert (pool.used_bytes(), pool.total_bytes()) == (4096, 4096)
    del x
    assert (pool.used_bytes(), pool.total_bytes()) == (0, 4096)
    pool.set_limit(size=8192)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError, match="Out of memory allocating 12,288 bytes"):
        cp.empty(3000, np.float32)
    assert pool.total_bytes() == 0


@pytest.fixture
def add_one(cp):
    if emulator.compiler() is None:
        pytest.skip("needs g++")
    return cp.RawModule(code=ADD_ONE, options=("--std=c++17",)).get_function("add_one")


def test_raw_kernels(cp, add_one, rng):
    x = rng.standard_normal(100).astype(np.float32)
    y = cp.empty(100, np.float32)
    add_one((2,), (64,), (cp.asarray(x), y, np.int32(100)))
    assert np.array_equal(y.get(), x + 1)


def test_raw_kernels_in_a_graph(cp, add_one):
    x = cp.zeros(40, np.float32)
    with Capturing(cp) as captured:
        add_one((2,), (32,), (x, x, np.int32(40)))
        add_one((2,), (32,), (x, x, np.int32(40)))
    assert (x.get() == 0).all()
    captured.graph.launch()
    captured.graph.launch()
    assert (x.get() == 4).all()


@pytest.mark.parametrize("n", [100, np.int64(100), 1.5])
def test_raw_kernels_refuse_numbers_of_another_type(cp, add_one, n):
    y = cp.empty(100, np.float32)
    with pytest.raises(emulator.EmulatorError, match="add_one"):
        add_one((2,), (64,), (y, y, n))


@pytest.mark.skipif(emulator.SANITIZED, reason="AddressSanitizer ends the process")
def test_raw_kernels_that_write_too_far_are_found(cp, add_one):
    x, y = cp.zeros(64, np.float32), cp.zeros(60, np.float32)
    with pytest.raises(emulator.EmulatorError, match="add_one: wrote behind"):
        add_one((2,), (32,), (x, y, np.int32(64)))


def test_shared_memory_beyond_48_kilobytes_must_be_asked_for(cp, add_one):
    x = cp.zeros(32, np.float32)
    with pytest.raises(emulator.EmulatorError, match="shared memory"):
        add_one((1,), (32,), (x, x, np.int32(32)), shared_mem=64 << 10)
    add_one.max_dynamic_shared_size_bytes = 64 << 10
    add_one((1,), (32,), (x, x, np.int32(32)), shared_mem=64 << 10)
    with pytest.raises(emulator.EmulatorError, match="no block"):
        add_one.max_dynamic_shared_size_bytes = 228 << 10


def test_minires_takes_the_fake_for_cupy(cupy):
    from minires.backend import device, kernels, reference

    x = np.ones((1, 2, 3, 3), np.float32)
    on_device = device.to_device(x, "cuda")
    assert device.library(on_device) is cupy
    assert device.device_of(kernels.relu(on_device)) == "cuda"
    assert np.array_equal(device.to_numpy(kernels.add(on_device, on_device)), reference.add(x, x))
