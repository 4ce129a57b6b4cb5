"""How much memory training takes: measured in a process of its own, which nothing else has used before."""

import json
import os
import subprocess
import sys
from pathlib import Path

STEPS = 3


def peak_bytes(library, model, batch_size, threads):
    """By how many bytes a process grows at most while it trains for a few steps; None where none can tell.

    library: "minires" or "pytorch". What the process held before, Python, the library, the weights and the
    images, does not count.
    """
    if not hasattr(os, "fork"):  # the system's count of a process's memory comes with Unix
        return None
    code = f"from minires.bench.memory import train; train{(library, model, batch_size, threads)!r}"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(child.stdout)


def resident():
    """The bytes of this process that are in memory now; where the system does not say, the most so far."""
    return status("VmRSS") or most_resident()


def most_resident():
    """The most bytes of this process that have ever been in memory."""
    # Linux's getrusage would count the process that started this one.
    if peak := status("VmHWM"):
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def status(field):
    """A size from Linux's /proc/self/status in bytes, None elsewhere."""
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def train(library, model, batch_size, threads):
    """Train for a few steps and print the growth: what the process of its own does."""
    if library == "pytorch":
        from minires.bench.pytorch import PyTorchStep

        step = PyTorchStep(model, batch_size, threads)
    else:
        from minires.backend import set_num_threads
        from minires.bench.step import MiniresStep

        set_num_threads(threads)
        step = MiniresStep(model, batch_size)
    before = resident()
    for _ in range(STEPS):
        step.train()
    print(json.dumps(most_resident() - before))
