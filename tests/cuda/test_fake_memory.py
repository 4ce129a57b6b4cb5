"""The fake CuPy's memory: pools, their limits, and the memory that a graph may use."""

import numpy as np
import pytest
from capturing import Capturing


def test_new_memory_is_full_of_nan(cp):
    x = cp.empty(5, np.float32)
    assert np.isnan(x.get()).all()
    x[...] = 1
    del x
    assert np.isnan(cp.empty(5, np.float32).get()).all()  # the same memory


def test_pools_count_and_have_limits(cp):
    pool = cp.get_default_memory_pool()
    x = cp.empty(1000, np.float32)
    assert (pool.used_bytes(), pool.total_bytes()) == (4096, 4096)
    del x
    assert (pool.used_bytes(), pool.total_bytes(), pool.n_free_blocks()) == (0, 4096, 1)
    pool.set_limit(size=8192)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError) as caught:
        cp.empty(3000, np.float32)
    assert str(caught.value) == (
        "Out of memory allocating 12,288 bytes (allocated so far: 0 bytes, limit set to: 8,192 bytes)."
    )
    assert pool.total_bytes() == 0


def test_all_pools_together_have_the_memory_of_the_device(cp):
    cp.cuda.device.memory = 16 << 10
    pools = cp.get_default_memory_pool(), cp.cuda.MemoryPool()
    x = cp.empty(2 << 10, np.float32)
    with cp.cuda.using_allocator(pools[1].malloc):
        y = cp.empty(1 << 10, np.float32)
    assert [pool.used_bytes() for pool in pools] == [8 << 10, 4 << 10]
    assert cp.cuda.runtime.memGetInfo() == cp.cuda.Device().mem_info == (4 << 10, 16 << 10)
    message = r"allocating 8,192 bytes \(allocated so far: 8,192 bytes\)\."
    with pytest.raises(cp.cuda.memory.OutOfMemoryError, match=message):
        cp.empty(2 << 10, np.float32)
    del x
    assert cp.cuda.runtime.memGetInfo()[0] == 4 << 10  # its pool keeps it
    cp.empty(3 << 10, np.float32)  # until more memory is needed
    pools[0].free_all_blocks()
    assert cp.cuda.runtime.memGetInfo()[0] == 12 << 10
    del y, pools
    assert cp.cuda.runtime.memGetInfo()[0] == 16 << 10


def test_memory_of_an_unreachable_cycle_is_freed(cp):
    cp.cuda.device.memory = 8 << 10
    cycle = [cp.empty(2 << 10, np.float32)]
    cycle.append(cycle)
    del cycle
    cp.empty(2 << 10, np.float32)


def test_a_captured_stream_may_not_use_the_default_pool(cp):
    x, stream = cp.zeros(4, np.float32), cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match="pool"):
            x + 1
        stream.end_capture()


def test_memory_that_a_graph_frees_is_handed_out_again_and_memory_given_back_is_not_used(cp):
    x = cp.ones(4, np.float32)
    with Capturing(cp) as captured:
        y = x + 1
    pointer = y.data.ptr
    del y
    cp.cuda.Device().synchronize()
    with captured.stream:
        with cp.cuda.using_allocator(captured.pool.malloc):
            other = cp.zeros(4, np.float32)
        assert other.data.ptr == pointer
        captured.graph.launch()
        assert other.get().tolist() == [2] * 4  # the graph writes to it, as with CuPy itself
        del other
        captured.pool.free_all_blocks()
        with pytest.raises(RuntimeError, match="given back"):
            captured.graph.launch()


def test_new_memory_is_full_of_nan_at_each_launch_of_a_graph(cp):
    with Capturing(cp) as captured:
        x = cp.empty(4, np.float32)
        y = x + 0
        x[...] = 1
    for _ in range(2):
        captured.graph.launch()
        assert np.isnan(y.get()).all()
