"""The overhead of the engine: microseconds of an operation on eight numbers, beside NumPy's own call.

    python benchmarks/operations.py --out results/speed/operations.json

Each time is the best of several rounds, because a disturbance of the machine can only add time.
"""

import argparse
from pathlib import Path
from timeit import repeat

import numpy as np
from rich.console import Console
from rich.table import Table

from minires import Tensor, no_grad
from minires.bench import record
from minires.nn import functional as F
from minires.tables import number_columns

CALLS = 20_000


def microseconds(function):
    """The time of one call, the best of seven rounds."""
    return min(repeat(function, number=CALLS, repeat=7)) / CALLS * 1e6


def measure():
    """{operation: {"numpy_us", "minires_us"}} in microseconds."""
    x, y = np.ones((2, 8), np.float32)
    a, b = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)

    def add_without_graph():
        with no_grad():
            return a + b

    def add_and_backward():
        (a + b).backward(x)
        a.grad = b.grad = None

    operations = {
        "x + y": (lambda: x + y, lambda: a + b),
        "x + y under no_grad()": (lambda: x + y, add_without_graph),
        "x + y and its backward": (lambda: x + y, add_and_backward),
        "relu(x)": (lambda: np.maximum(x, 0), lambda: F.relu(a)),
    }
    return {
        name: {"numpy_us": microseconds(in_numpy), "minires_us": microseconds(in_minires)}
        for name, (in_numpy, in_minires) in operations.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/speed/operations.json"))
    out = parser.parse_args().out
    results = {**record.date_and_machine(), "operations": measure()}
    record.write(results, out)
    table = Table("operation on 8 numbers", *number_columns("NumPy, µs", "minires, µs"))
    for name, times in results["operations"].items():
        table.add_row(name, f"{times['numpy_us']:.2f}", f"{times['minires_us']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
