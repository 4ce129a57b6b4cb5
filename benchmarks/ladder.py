"""From the naive step to the fast one: how much faster each idea makes it, all rungs measured in turn.

    python benchmarks/ladder.py --out results/speed/ladder.json

Each rung keeps the ideas of those before it.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from minires import set_num_threads
from minires.backend import kernels
from minires.backend.cpu import buffers, direct_convolution, winograd
from minires.bench import record
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved
from minires.nn import sequential


def without_memory_reuse():
    return patch.object(buffers, "REUSED_FROM_BYTES", 1 << 62)


def without_winograd():
    return patch.object(winograd, "is_fastest_for", lambda *shapes: False)


def without_rows():
    return patch.object(direct_convolution, "is_fastest_for", lambda *shapes: False)


def without_fusion():
    return patch.object(sequential, "is_plain", lambda step, kind: False)


ALL_IDEAS = (without_memory_reuse, without_winograd, without_rows, without_fusion)

# name, threads, ideas that are still switched off
RUNGS = [
    (
        "the formulas as they are written: columns of the whole batch",
        1,
        (kernels.reference_kernels, *ALL_IDEAS),
    ),
    ("columns block by block, maps pixel by pixel in memory", 1, ALL_IDEAS),
    ("memory used again", 1, ALL_IDEAS[1:]),
    ("no columns: the pixels beside each other are columns already", 1, (without_winograd, without_fusion)),
    ("Winograd: 6 multiplications instead of 9", 1, (without_fusion,)),
    ("batch norm, addition and ReLU in one sweep", 1, ()),
    ("two threads share every kernel", 2, (kernels.nothing_in_background,)),
    ("one thread computes the weights' gradients in the background", 2, ()),
]


def on_rung(step, threads, switched_off):
    """A function that takes one step with some of the ideas switched off."""

    def run():
        set_num_threads(threads)
        with ExitStack() as stack:
            for switch in switched_off:
                stack.enter_context(switch())
            step.train()

    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/speed/ladder.json"))
    options = parser.parse_args()
    step = MiniresStep(options.model, options.batch_size)
    seconds = interleaved({name: on_rung(step, *rung) for name, *rung in RUNGS}, options.repeats, warmup=1)
    results = {
        **record.date_and_machine(),
        "model": options.model,
        "batch_size": options.batch_size,
        "rungs": [{"idea": name, "threads": threads, "seconds": seconds[name]} for name, threads, _ in RUNGS],
    }
    record.write(results, options.out)
    before = None
    for rung in results["rungs"]:
        gain = "" if before is None else f", {before / rung['seconds']:.2f} times as fast as before"
        print(f"{rung['seconds']:.3f} s  {rung['idea']}{gain}")
        before = rung["seconds"]


if __name__ == "__main__":
    main()
