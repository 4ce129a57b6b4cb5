"""What the engine costs: microseconds of an operation on a few numbers, beside NumPy's own call.

python benchmarks/operations.py
"""

from timeit import repeat

import numpy as np
from rich.console import Console
from rich.table import Table

from minires import Tensor, no_grad
from minires.nn import functional as F

CALLS = 20_000


def microseconds(function):
    """The best of seven rounds, for one call."""
    return min(repeat(function, number=CALLS, repeat=7)) / CALLS * 1e6


def main():
    x, y = np.ones((2, 8), np.float32)
    a, b = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)

    def forward_and_backward():
        (a + b).backward(x)
        a.grad = b.grad = None

    with no_grad():
        without_graph = microseconds(lambda: a + b)
    table = Table("operation on 8 numbers", "NumPy, µs", "minires, µs")
    raw = microseconds(lambda: x + y)
    table.add_row("x + y", f"{raw:.2f}", f"{microseconds(lambda: a + b):.2f}")
    table.add_row("x + y, without a graph", f"{raw:.2f}", f"{without_graph:.2f}")
    table.add_row("x + y and its backward", f"{raw:.2f}", f"{microseconds(forward_and_backward):.2f}")
    table.add_row(
        "relu(x)", f"{microseconds(lambda: np.maximum(x, 0)):.2f}", f"{microseconds(lambda: F.relu(a)):.2f}"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
