"""Where the time of a training step goes: seconds for each kind of operation, forward and backward."""

import time
from collections import defaultdict
from contextlib import contextmanager

from minires.backend.kernels import nothing_later
from minires.engine import Function


@contextmanager
def timed_operations():
    """While this is open, every operation is timed: yields {name: [forward, backward, calls]}, in seconds.

    A convolution or a batch norm that also adds and ends in a ReLU is one operation.
    """
    times = defaultdict(lambda: [0.0, 0.0, 0])
    call, input_gradients = Function.__call__, Function.input_gradients
    inside = False

    def timed_call(self, *inputs):
        nonlocal inside
        if inside:  # an operation that calls itself again, for a node of its own
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

    What lies between the operations, the optimizer and the engine itself, is the row "everything else". The
    threads share every operation here; in training some of the gradients are computed beside others.
    """
    step.train()
    with nothing_later(), timed_operations() as times:
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
