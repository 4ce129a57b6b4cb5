"""Where the time of a training step goes: the time of each kind of operation, forward and backward."""

import time
from collections import defaultdict
from contextlib import contextmanager

from minires.backend.kernels import nothing_in_background
from minires.engine import Function


@contextmanager
def timed_operations():
    """While this is open, every operation is timed: yields {name: [forward, backward, calls]}, in seconds.

    A convolution or a batch norm that also does an addition and a ReLU counts as one operation.
    """
    times = defaultdict(lambda: [0.0, 0.0, 0])
    call, input_gradients = Function.__call__, Function.input_gradients
    inside = False

    def timed_call(self, *inputs):
        nonlocal inside
        if inside:  # Function.__call__ calls a copy of an operation that is in a graph already: one operation
            return call(self, *inputs)
        inside, start = True, time.perf_counter()
        try:
            return call(self, *inputs)
        finally:
            inside = False
            times[self.name][0] += time.perf_counter() - start
            times[self.name][2] += 1

    def timed_gradients(self, gy):
        start = time.perf_counter()
        try:
            return input_gradients(self, gy)
        finally:
            times[self.name][1] += time.perf_counter() - start

    Function.__call__, Function.input_gradients = timed_call, timed_gradients
    try:
        yield times
    finally:
        Function.__call__, Function.input_gradients = call, input_gradients


def operation_times(step, repeats=5):
    """[{"operation", "forward_ms", "backward_ms", "calls"}, ...] of one step.train(), the slowest first.

    The time of the optimizer and of the engine itself is the row "everything else". In this measurement
    operations run one after the other, each on all threads; in training some gradients run in the background.
    """
    step.train()
    with nothing_in_background(), timed_operations() as times:
        start = time.perf_counter()
        for _ in range(repeats):
            step.train()
        total = time.perf_counter() - start
    rows = [
        {
            "operation": name,
            "forward_ms": 1e3 * forward / repeats,
            "backward_ms": 1e3 * backward / repeats,
            "calls": calls // repeats,
        }
        for name, (forward, backward, calls) in times.items()
    ]
    rows.sort(key=lambda row: -row["forward_ms"] - row["backward_ms"])
    rest = total - sum(forward + backward for forward, backward, _ in times.values())
    other = {
        "operation": "everything else",
        "forward_ms": 1e3 * rest / repeats,
        "backward_ms": 0.0,
        "calls": 0,
    }
    return [*rows, other]
