"""How many threads the kernels use, and how they share the work.

NumPy lets other threads run while it copies or computes, so a few threads that each work on blocks of their
own keep all cores busy. Which thread gets a block is a matter of timing, but no result is: each block's goes
to a place of its own, and sums are taken in the order of the blocks. The same seed and thread count give the
same bits.
"""

import os
from contextvars import copy_context
from itertools import pairwise
from operator import index
from queue import SimpleQueue
from threading import Lock, Thread

from minires.backend.cpu import blas, buffers
from minires.errors import OptionError

_threads = None


def available_cores():
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads():
    """The number of threads that computations on the CPU use.

    MINIRES_THREADS in the environment decides, else the cores that this process may use.
    """
    global _threads
    if _threads is None:
        if os.environ.get("MINIRES_THREADS"):
            set_num_threads(os.environ["MINIRES_THREADS"])
        else:
            _threads = available_cores()
    return _threads


def set_num_threads(count):
    """Use `count` threads from now on, in the kernels and in NumPy's matrix products outside of them.

    Raises OptionError unless it is a positive whole number.
    """
    global _threads
    try:
        wanted = int(count) if isinstance(count, str) else index(count)
    except (TypeError, ValueError):
        wanted = 0
    if wanted < 1:
        raise OptionError(
            "the number of threads (--threads, MINIRES_THREADS) must be a positive whole number, "
            f"not {count!r}"
        )
    _threads = wanted
    blas.set_threads_outside(wanted)


def run_in_all(work, jobs):
    """Let all threads call `work(queue)`, where `queue` yields (i, jobs[i]) and each job goes to one of them.

    A thread takes its next job when it is done with the last, so that none waits for another: waking one
    takes longer than many a job.
    """
    queue = enumerate(jobs)  # one for all: while a thread takes from it, it holds the interpreter's lock
    helpers = min(get_num_threads(), len(jobs)) - 1
    if helpers < 1:
        work(queue)
        return
    task = Task(work, queue)
    _helpers.submit(task, helpers)
    try:
        work(queue)
    finally:  # no thread may still write when an error leaves here
        task.close()


class Task:
    """`work(queue)` for whichever thread comes to help before it is closed, in the context of its maker."""

    def __init__(self, work, queue):
        self.work, self.queue, self.context = work, queue, copy_context()
        self.lock, self.open, self.begun, self.ended = Lock(), True, 0, SimpleQueue()

    def help(self):
        """Do a share, in the thread that calls this."""
        with self.lock:
            if not self.open:
                return
            self.begun += 1
        error = None
        try:
            self.context.copy().run(self.work, self.queue)
        except BaseException as raised:  # whatever it is, it belongs to the maker of the task
            error = raised
        self.ended.put(error)

    def close(self):
        """Wait for those who have begun, and raise what went wrong there; nobody begins any more."""
        with self.lock:
            self.open = False
        errors = [self.ended.get() for _ in range(self.begun)]
        self.work = self.queue = None  # a helper may find the task much later; its arrays need not wait
        for error in errors:
            if error is not None:
                raise error


class Future:
    """function(*arguments), computed by a helper who has time, or by the thread that first asks for it."""

    def __init__(self, function, *arguments):
        self.call, self.context = (function, arguments), copy_context()
        self.free, self.computed = Lock(), Lock()
        self.value = self.error = None
        self.computed.acquire()

    def help(self):
        """Compute it, unless another thread does already."""
        if not self.free.acquire(blocking=False):
            return
        function, arguments = self.call
        self.call = None  # the arrays are not needed longer than this takes
        try:
            self.value = self.context.run(function, *arguments)
        except BaseException as raised:  # whatever it is, it belongs to the thread that asks
            self.error = raised
        self.computed.release()

    def result(self):
        """Its value, or the error that it raised."""
        self.help()
        with self.computed:
            if self.error is not None:
                raise self.error
            return self.value


def later(function, *arguments):
    """function(*arguments) for when there is time: a Future, or with one thread the value itself."""
    if get_num_threads() == 1:
        return function(*arguments)
    task = Future(function, *arguments)
    _helpers.submit(task, 1)
    return task


class Helpers:
    """Threads that wait for tasks. A queue is all that they need, and wakes them sooner than an executor."""

    def __init__(self):
        self.tasks, self.count, self.lock = SimpleQueue(), 0, Lock()

    def submit(self, task, count):
        """Let `count` of them help with a task."""
        with self.lock:
            while self.count < count:
                Thread(target=self.serve, name="minires", daemon=True).start()
                self.count += 1
        for _ in range(count):
            self.tasks.put(task)

    def serve(self):
        """What each of them does."""
        while True:
            self.tasks.get().help()


_helpers = Helpers()


def parallel_map(function, jobs):
    """[function(job) for job in jobs], shared by the threads."""
    results = [None] * len(jobs)

    def work(queue):
        for i, job in queue:
            results[i] = function(job)

    run_in_all(work, jobs)
    return results


def chunk_ranges(length, longest, shared=False):
    """range(length) in as few chunks of nearly equal length as do not exceed `longest`: [(low, high), ...].

    shared: as many chunks for each thread, so that none waits for another.
    """
    count = max(1, -(-length // max(1, longest)))
    if shared:
        count = max(1, min(length, -(-count // get_num_threads()) * get_num_threads()))
    return list(pairwise(length * i // count for i in range(count + 1)))


def _after_fork():
    """The other threads have stayed with the parent; what they held is free."""
    _helpers.__init__()
    blas.reset()
    buffers.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
