"""How the threads share the work, and how memory is reused."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires
from minires.backend import cpu, kernels
from minires.backend.cpu import blas, buffers, threads
from minires.errors import OptionError


@pytest.fixture(autouse=True)
def restored_thread_count():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@given(st.integers(0, 200), st.integers(0, 50), st.booleans())
def test_chunks_cover_everything_once(length, longest, shared):
    chunks = threads.chunk_ranges(length, longest, shared)
    assert chunks[0][0] == 0
    assert chunks[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(chunks))
    sizes = [high - low for low, high in chunks]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(longest, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("jobs", [0, 1, 2, 11, 100])
def test_every_job_is_done_once_and_results_keep_their_order(count, jobs):
    threads.set_num_threads(count)
    done = []

    def job(i):
        done.append(i)
        return i * i

    assert threads.parallel_map(job, range(jobs)) == [i * i for i in range(jobs)]
    assert sorted(done) == list(range(jobs))


def test_threads_work_at_the_same_time():
    threads.set_num_threads(3)
    all_present = threading.Barrier(3, timeout=10)
    assert threads.parallel_map(lambda job: all_present.wait() >= 0, range(3)) == [True] * 3


def test_an_error_in_a_thread_is_raised_after_all_threads_have_stopped():
    threads.set_num_threads(2)
    both_present, finished = threading.Barrier(2, timeout=10), threading.Event()

    def work(job):
        both_present.wait()
        if job == 0:
            raise ValueError("job 0 fails")
        finished.set()

    with pytest.raises(ValueError, match="job 0 fails"):
        threads.parallel_map(work, [0, 1])
    assert finished.is_set()


def test_numpy_settings_apply_in_every_thread():
    threads.set_num_threads(2)
    both_present = threading.Barrier(2, timeout=10)

    def work(job):
        both_present.wait()
        return np.array([1e38], np.float32) * 10

    with np.errstate(over="ignore"):
        assert all(np.isinf(y).all() for y in threads.parallel_map(work, [0, 1]))


@pytest.mark.parametrize("count", [0, -1, 1.5, None, "many", "1.5", ""])
def test_a_wrong_number_of_threads_is_refused(count):
    with pytest.raises(OptionError, match="positive whole number"):
        minires.set_num_threads(count)


def test_the_environment_sets_the_number_of_threads():
    code = "import minires; print(minires.get_num_threads())"
    for variable, expected in (("3", 3), (None, threads.available_cores())):
        environment = {k: v for k, v in os.environ.items() if k != "MINIRES_THREADS"}
        environment |= {} if variable is None else {"MINIRES_THREADS": variable}
        out = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert int(out.stdout) == expected


def thread_counts_of_products():
    return {library.num_threads for library in blas.libraries()}


def test_products_use_one_thread_inside_of_a_kernel_only(monkeypatch):
    threads.set_num_threads(2)
    inside = []
    monkeypatch.setattr(cpu.products, "parallel_map", lambda *_: inside.append(thread_counts_of_products()))
    a = np.ones((256, 256), np.float32)
    kernels.matmul(a, a)
    assert inside == [{1}]
    assert thread_counts_of_products() == {2}
    with blas.one_thread_per_product():
        threads.set_num_threads(3)
        kernels.matmul(a, a)
        assert thread_counts_of_products() == {1}
    assert thread_counts_of_products() == {3}
    assert inside == [{1}, {1}]


def test_products_get_back_the_number_of_threads_that_the_library_chose():
    code = """
import numpy as np
from minires.backend import kernels, one_thread_per_product
from minires.backend.cpu.blas import libraries
before = [library.num_threads for library in libraries()]
a = np.ones((128, 128), np.float32)
kernels.matmul(a, a)
with one_thread_per_product():
    assert {library.num_threads for library in libraries()} <= {1}
assert [library.num_threads for library in libraries()] == before
"""
    environment = {k: v for k, v in os.environ.items() if k != "MINIRES_THREADS"}
    subprocess.run([sys.executable, "-c", code], env=environment | {"OPENBLAS_NUM_THREADS": "2"}, check=True)


def test_any_thread_may_be_the_first_to_enter_a_kernel_and_the_last_to_leave_it():
    threads.set_num_threads(2)  # by this thread
    counts, both_inside, this_one_is_out = [], threading.Barrier(2, timeout=10), threading.Event()

    def enter_first_and_leave_last():
        with blas.one_thread_per_product():
            counts.append(thread_counts_of_products())
            both_inside.wait()
            this_one_is_out.wait(10)
            counts.append(thread_counts_of_products())

    other = threading.Thread(target=enter_first_and_leave_last)
    other.start()
    both_inside.wait()
    with blas.one_thread_per_product():
        counts.append(thread_counts_of_products())
    this_one_is_out.set()
    other.join()
    assert counts == [{1}, {1}, {1}]
    assert thread_counts_of_products() == {2}


def test_a_count_that_is_set_is_not_replaced_by_the_default_that_another_thread_looks_up(monkeypatch):
    looking_up, go_on = threading.Event(), threading.Event()

    def look_up():
        looking_up.set()
        go_on.wait(10)
        return 5

    monkeypatch.delenv("MINIRES_THREADS", raising=False)
    monkeypatch.setattr(threads, "_thread_count", None)
    monkeypatch.setattr(threads, "available_cores", look_up)
    asking = threading.Thread(target=threads.get_num_threads)
    setting = threading.Thread(target=threads.set_num_threads, args=(3,))
    asking.start()
    assert looking_up.wait(10)
    setting.start()
    setting.join(0.1)
    go_on.set()
    asking.join()
    setting.join()
    assert threads.get_num_threads() == 3


def test_threads_take_jobs_at_the_same_time():
    """The jobs come from Python code, in the middle of which threads change, and which cannot run twice."""

    class Jobs:
        def __len__(self):
            return 30

        def __iter__(self):
            for i in range(len(self)):
                time.sleep(1e-4)
                yield i

    threads.set_num_threads(3)
    assert threads.parallel_map(lambda i: time.sleep(1e-4) or i, Jobs()) == list(range(30))


def test_a_background_task_is_computed_by_an_idle_worker():
    threads.set_num_threads(2)
    both_present = threading.Barrier(2, timeout=10)
    future = threads.run_in_background(lambda a, b: (a + b, both_present.wait()), 3, 4)
    both_present.wait()  # this thread waits here, so a worker computes it
    assert future.result()[0] == 7
    assert future.result() is future.result()


def test_without_an_idle_worker_a_background_task_is_computed_when_its_result_is_needed():
    threads.set_num_threads(2)
    started, go_on = threading.Semaphore(0), threading.Event()
    blocking = [
        threads.run_in_background(lambda: (started.release(), go_on.wait(10)))
        for _ in range(threads._workers.count + 1)
    ]
    for _ in range(threads._workers.count):
        assert started.acquire(timeout=10)
    future = threads.run_in_background(threading.get_ident)
    assert future.result() == threading.get_ident()
    go_on.set()
    assert all(task.result()[1] for task in blocking)


def test_with_one_thread_nothing_runs_in_the_background():
    threads.set_num_threads(1)
    assert threads.run_in_background(lambda a: a + 1, 2) == 3


def test_only_large_arrays_are_computed_in_the_background():
    threads.set_num_threads(2)
    x = np.ones(kernels.BACKGROUND_FROM_ELEMENTS, np.float32)
    assert isinstance(kernels.run_in_background(kernels.relu, x), threads.Future)
    np.testing.assert_array_equal(kernels.run_in_background(kernels.relu, x).result(), x)
    np.testing.assert_array_equal(kernels.run_in_background(kernels.relu, x[1:]), x[1:])
    for without_background in (kernels.nothing_in_background, kernels.reference_kernels):
        with without_background():
            np.testing.assert_array_equal(kernels.run_in_background(kernels.relu, x), x)


def test_an_error_in_the_background_is_raised_by_result():
    threads.set_num_threads(2)
    future = threads.run_in_background(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            future.result()


def test_weights_used_several_times_add_up_in_the_same_order(rng):
    """Four uses of one filter give the same bits in every run, no matter which thread is faster."""
    threads.set_num_threads(3)
    x = minires.Tensor(rng.standard_normal((16, 16, 24, 24)).astype(np.float32), requires_grad=True)
    assert x.data.size >= kernels.BACKGROUND_FROM_ELEMENTS
    W = minires.nn.Parameter(rng.standard_normal((16, 16, 3, 3)).astype(np.float32) / 12)
    results = set()
    for _ in range(5):
        x.grad = W.grad = None
        y = x
        for _ in range(4):
            y = minires.ops.conv2d(y, W, padding=1)
        y.sum().backward()
        results.add((W.grad.numpy().tobytes(), x.grad.numpy().tobytes()))
    assert len(results) == 1


def test_a_gradient_from_the_background_may_be_needed_during_backward(rng):
    """The filter is not a leaf: the operation that computed it needs the filter's gradient."""
    x = rng.standard_normal((16, 8, 32, 32))
    gradients = []
    for count in (1, 2):
        threads.set_num_threads(count)
        W = minires.Tensor(np.ones((8, 8, 3, 3)), requires_grad=True)
        minires.ops.conv2d(minires.Tensor(x), W * 2.0, padding=1).sum().backward()
        gradients.append(W.grad.numpy())
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-10, atol=1e-10)


def test_memory_returns_to_its_own_thread_if_another_drops_the_array():
    buffers.release_unused()
    held = [buffers.empty((1 << 18,), np.float32)]
    address = held[0].ctypes.data
    other = threading.Thread(target=held.clear)
    other.start()
    other.join()
    assert buffers.empty((1 << 18,), np.float32).ctypes.data == address


def test_threads_agree_to_rounding_on_a_training_step(rng):
    x, labels = rng.standard_normal((32, 3, 32, 32)).astype(np.float32), rng.integers(0, 10, 32)
    gradients = []
    for count in (1, 2, 3):
        threads.set_num_threads(count)
        model = minires.models.CifarResNet(8, generator=0)
        minires.nn.functional.cross_entropy(model(minires.Tensor(x)), labels).backward()
        gradients.append(np.concatenate([p.grad.numpy().ravel() for p in model.parameters()]))
    for other in gradients[1:]:
        assert np.abs(other - gradients[0]).max() < 1e-4 * np.abs(gradients[0]).max()


def test_memory_is_reused_when_the_last_view_is_gone():
    first = buffers.empty((1 << 18,), np.float32)
    address = first.ctypes.data
    view = first.reshape(512, 512)[1:, ::2].T
    del first
    other = buffers.empty((1 << 18,), np.float32)
    assert not np.shares_memory(other, view)
    del view, other
    gc.collect()
    both = [buffers.empty((1 << 18,), np.float32) for _ in range(2)]
    assert address in {array.ctypes.data for array in both}


def test_arrays_in_use_never_share_memory(rng):
    """Make and drop arrays at random; each array must keep the number that was written into it."""
    in_use = []
    for step in range(500):
        if in_use and rng.random() < 0.5:
            array, value = in_use.pop(rng.integers(len(in_use)))
            assert (array == value).all()
        else:
            shape = (int(rng.integers(1, 5)), 1 << int(rng.integers(14, 17)))
            array = buffers.empty(shape, np.float32)
            array[...] = step
            in_use.append((array, step))
    assert all((array == value).all() for array, value in in_use)


def test_memory_starts_on_a_cache_line():
    assert all(buffers.empty((1 << 16, n), np.float32).ctypes.data % 64 == 0 for n in (1, 2, 3))


def test_unused_memory_can_be_released():
    array, in_use = (buffers.empty((1 << 20,), np.float32) for _ in range(2))
    address = in_use.ctypes.data
    del array
    assert buffers.unused_bytes() >= 1 << 22
    buffers.release_unused()
    assert buffers.unused_bytes() == 0
    del in_use
    assert buffers.empty((1 << 20,), np.float32).ctypes.data == address


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_an_interrupt_at_the_death_of_a_buffer_arrives():
    """Python ignores what is raised in __del__. Signals come at random moments while buffers die."""
    sent, arrived = [], 0

    def interrupt(*_):
        sent.append(1)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(1000):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-4)
                for _ in range(300):
                    buffers.empty((buffers.REUSED_FROM_BYTES,), np.uint8)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                arrived += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(sent) > 500
    assert arrived == len(sent)


def test_memory_of_other_sizes_does_not_pile_up():
    buffers.release_unused()
    for n in range(1, 60):
        buffers.empty((n << 18,), np.float32)
    largest = 60 << 20
    assert buffers.unused_bytes() <= 3 * largest
