"""How the cost of a training step grows with the batch, the depth and the threads.

    python benchmarks/scaling.py --out results/speed

Writes OUT/scaling.json and OUT/scaling.png. All sizes are measured in turn. A turn has the same number of
images for each size, so that small batches take several steps one after the other, as in training.
"""

import argparse
from pathlib import Path

from minires import set_num_threads
from minires.backend.cpu import buffers
from minires.bench import record
from minires.bench.peak_memory import peak_bytes
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved
from minires.plot.scaling import plot_scaling

BATCHES = (16, 32, 64, 128, 256, 512)
DEPTHS = (20, 32, 44, 56, 110)


def measure(cases, threads, repeats):
    """[{"model", "batch_size", "threads", "seconds", "peak_bytes"}] for (model, batch size) pairs."""
    set_num_threads(threads)
    images = max(batch_size for _, batch_size in cases)
    turns = {case: several_steps(MiniresStep(*case), images // case[1]) for case in cases}
    seconds = interleaved(turns, repeats, warmup=1)
    del turns
    buffers.release_unused()
    return [
        {
            "model": model,
            "batch_size": batch_size,
            "threads": threads,
            "seconds": seconds[model, batch_size] / (images // batch_size),
            "peak_bytes": peak_bytes("minires", model, batch_size, threads),
        }
        for model, batch_size in cases
    ]


def several_steps(step, count):
    """A function that takes `count` training steps."""

    def train():
        for _ in range(count):
            step.train()

    return train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/speed"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    results = {
        **record.date_and_machine(),
        "batch": [
            row
            for threads in (1, 2)
            for row in measure([("resnet20", n) for n in BATCHES], threads, options.repeats)
        ],
        "depth": measure([(f"resnet{depth}", 128) for depth in DEPTHS], 2, options.repeats),
    }
    record.write(results, options.out / "scaling.json")
    plot_scaling(results, options.out / "scaling.png")
    for row in results["batch"] + results["depth"]:
        per_image = 1e3 * row["seconds"] / row["batch_size"]
        print(
            f"{row['model']:<10} batch {row['batch_size']:>3}, {row['threads']} threads: "
            f"{row['seconds']:.3f} s, {per_image:.2f} ms an image, {row['peak_bytes'] / 2**20:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
