"""How many threads the kernels use, and how they share the work.

NumPy lets other threads run while it copies or computes, so a few threads that each walk over their own
blocks keep all cores busy. Which thread gets which block is fixed by the thread count alone, never by
timing: the same seed and thread count give the same bits.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from itertools import pairwise

from threadpoolctl import ThreadpoolController

from minires.errors import OptionError

_threads = None


def available_cores():
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads():
    """The number of threads that computations on the CPU use.

    MINIRES_THREADS in the environment decides, else the cores that this process may use.
    """
    if _threads is None:
        wanted = os.environ.get("MINIRES_THREADS") or available_cores()
        set_num_threads(wanted)
    return _threads


def set_num_threads(count):
    """Use `count` threads from now on, in the kernels and in NumPy's matrix products.

    Raises OptionError unless it is a positive whole number.
    """
    global _threads
    try:
        wanted = int(count)
    except (TypeError, ValueError):
        wanted = 0
    if wanted < 1:
        raise OptionError(
            "the number of threads (--threads, MINIRES_THREADS) must be a positive whole number, "
            f"not {count!r}"
        )
    if wanted != _threads:
        _workers.cache_clear()
        _threads = wanted
    for library in _blas():
        library.set_num_threads(wanted)


def share(work, jobs):
    """Deal `jobs`, a list, to the threads in equal runs; return what `work(run)` returned for each, in order.

    Meanwhile each matrix product stays on the thread that asked for it.
    """
    count = min(get_num_threads(), len(jobs))
    if count < 2:
        return [work(jobs)]
    with one_thread_per_product():
        cuts = [len(jobs) * i // count for i in range(count + 1)]
        first, *rest = [jobs[low:high] for low, high in pairwise(cuts)]
        futures = [_workers().submit(copy_context().run, work, run) for run in rest]
        try:
            results = [work(first)]
        finally:  # no thread may still write when an error leaves here
            results_of_others = [future.result() for future in futures]
        return results + results_of_others


@contextmanager
def one_thread_per_product():
    """Hold NumPy's matrix products to one thread."""
    for library in _blas():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library in _blas():
            library.set_num_threads(_threads)


def cut(length, longest, shared=False):
    """range(length) in as few pieces of nearly equal length as do not exceed `longest`: [(low, high), ...].

    shared: as many pieces for each thread, so that none waits for another.
    """
    count = max(1, -(-length // max(1, longest)))
    if shared:
        count = max(1, min(length, -(-count // get_num_threads()) * get_num_threads()))
    return list(pairwise(length * i // count for i in range(count + 1)))


@cache
def _workers():
    return ThreadPoolExecutor(get_num_threads() - 1, thread_name_prefix="minires")


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas").lib_controllers


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not survive a fork
