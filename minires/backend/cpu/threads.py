"""How many threads the kernels use, and how they share the work.

NumPy lets other threads run while it copies or computes, so a few threads that each work on blocks of their
own keep all cores busy. Which thread computes a block depends on timing, but the results do not: each block's
result is stored in a place of its own, and sums are taken in the order of the blocks. The same seed and
thread count give the same bits.
"""

import os
from collections import deque
from contextvars import copy_context
from itertools import pairwise
from operator import index
from queue import SimpleQueue
from threading import Lock, Thread

from minires.backend.cpu import blas
from minires.backend.cpu.forks import at_fork, computing, state_lock
from minires.errors import OptionError

_thread_count = None  # None until it is needed or set


def available_cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads():
    """The number of threads that computations on the CPU use.

    It is the number given to set_num_threads, else MINIRES_THREADS in the environment, else the number of
    cores that this process may use.
    """
    if _thread_count is None:
        _choose_thread_count()
    return _thread_count


def _choose_thread_count():
    global _thread_count
    with state_lock:
        if _thread_count is not None:  # another thread has set it meanwhile
            return
        if os.environ.get("MINIRES_THREADS"):
            set_num_threads(os.environ["MINIRES_THREADS"])
        else:
            _thread_count = available_cores()


def set_num_threads(count):
    """Use `count` threads from now on, in the kernels and in NumPy's matrix products outside of the kernels.

    Raises OptionError unless `count` is a positive whole number.
    """
    global _thread_count
    try:
        number = int(count) if isinstance(count, str) else index(count)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise OptionError(
            "the number of threads (--threads, MINIRES_THREADS) must be a positive whole number, "
            f"not {count!r}"
        )
    with state_lock:
        _thread_count = number
        blas.set_thread_count_outside(number)


def run_in_all_threads(work, jobs):
    """Call `work(queue)` in all threads, where `queue` yields (i, jobs[i]) and each job goes to one thread.

    A thread takes its next job as soon as it has finished the one before. So threads are woken once, not for
    each job: waking a thread takes longer than a short job.
    """
    remaining = deque(enumerate(jobs))
    helpers = min(get_num_threads(), len(jobs)) - 1  # threads besides this one
    if helpers < 1:
        with computing:
            work(taken_from(remaining))
        return
    task = SharedTask(work, remaining)
    try:
        _workers.submit(task, helpers)
        with computing:
            work(taken_from(remaining))
    finally:  # if this raises an error, no other thread may still write afterwards
        task.close_and_wait()


def taken_from(remaining):
    """Yield the jobs of a deque until it is empty. Several threads may do so: popleft is safe for that."""
    while remaining:
        try:
            job = remaining.popleft()
        except IndexError:  # another thread took the last one
            return
        yield job


class SharedTask:
    """`work(queue)`, run by each worker that takes the task before it is closed, in its creator's context.

    remaining: the deque of the jobs. The context is that of Python's context variables, which hold NumPy's
    settings, for example.
    """

    def __init__(self, work, remaining):
        self.work, self.remaining, self.context = work, remaining, copy_context()
        self.lock, self.is_open, self.started = Lock(), True, 0  # started: the number of workers that run it
        self.errors = SimpleQueue()  # from each worker that has finished: the error it met, or None

    def run(self):
        """Run the work in the thread that calls this, unless the task is closed."""
        with computing:
            with self.lock:
                if not self.is_open:
                    return
                self.started += 1
            error = None
            try:
                self.context.copy().run(self.work, taken_from(self.remaining))
            except BaseException as raised:  # all errors: the thread that created the task raises them
                error = raised
            self.errors.put(error)

    def close_and_wait(self):
        """Let no more workers start, wait for those that have started, and raise the first error they met."""
        with self.lock:
            self.is_open = False
        errors = [self.errors.get() for _ in range(self.started)]
        self.work = self.remaining = None  # frees the arrays: a worker may take the closed task much later
        for error in errors:
            if error is not None:
                raise error


class Future:
    """function(*arguments), computed by a worker thread that has time, or by the first call of `result`."""

    def __init__(self, function, *arguments):
        self.call, self.context, self.process = (function, arguments), copy_context(), os.getpid()
        self.started, self.not_computed = Lock(), Lock()  # started: held from the start of the computation on
        self.value = self.error = None
        self.not_computed.acquire()

    def run(self):
        """Compute the value in the thread that calls this, unless another thread has started to."""
        if not self.started.acquire(blocking=False):
            return
        function, arguments = self.call
        try:
            self.value = self.context.run(function, *arguments)
        except BaseException as raised:  # all errors: `result` raises them
            self.error = raised
        finally:
            self.call = None  # the arrays are not needed any more
            self.not_computed.release()

    def result(self):
        """Return the value, computed now if it is not yet, or raise the error of the computation."""
        if self.process != os.getpid() and self.not_computed.locked():
            # A fork left behind the thread that computed it, inside of the context: begin anew in a copy.
            self.process, self.started, self.context = os.getpid(), Lock(), self.context.copy()
        self.run()
        with self.not_computed:
            if self.error is not None:
                raise self.error
            return self.value


def run_in_background(function, *arguments):
    """function(*arguments) as a Future that a worker thread computes; with one thread, the value itself."""
    if get_num_threads() == 1:
        return function(*arguments)
    task = Future(function, *arguments)
    _workers.submit(task, 1)
    return task


class WorkerThreads:
    """Threads that wait for tasks in a queue, which wakes them sooner than concurrent.futures' executors."""

    def __init__(self):
        self.forget_threads()
        at_fork(after_in_child=self.forget_threads)  # the child of a fork has no other threads

    def forget_threads(self):
        """Begin anew, without threads and tasks."""
        self.tasks, self.count = SimpleQueue(), 0

    def submit(self, task, count):
        """Let `count` workers call task.run(); threads that are still missing are started."""
        with state_lock:
            while self.count < count:
                Thread(target=self.run_tasks, name="minires", daemon=True).start()
                self.count += 1
        for _ in range(count):
            self.tasks.put(task)

    def run_tasks(self):
        """Run one task after the other, for ever; each worker thread does this."""
        while True:
            self.tasks.get().run()


_workers = WorkerThreads()


def parallel_map(function, jobs):
    """[function(job) for job in jobs], with the jobs shared by the threads."""
    results = [None] * len(jobs)

    def work(queue):
        for i, job in queue:
            results[i] = function(job)

    run_in_all_threads(work, jobs)
    return results


def chunk_ranges(length, longest, shared=False):
    """range(length) in the fewest chunks, nearly equal and at most `longest` long: [(low, high), ...].

    shared: the number of chunks is a multiple of the number of threads, where `length` allows it, so that no
        thread waits for another.
    """
    count = max(1, -(-length // max(1, longest)))
    if shared:
        count = max(1, min(length, -(-count // get_num_threads()) * get_num_threads()))
    return list(pairwise(length * i // count for i in range(count + 1)))
