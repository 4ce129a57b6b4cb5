"""Measure the memory of a few training steps in a separate process: python -m minires.bench.memory_worker.

Its arguments are a library, "minires" or "pytorch", a model, a batch size and a number of threads. It prints
by how many bytes its memory grew. peak_memory.py starts it.
"""

import sys
from pathlib import Path

STEPS = 3


def resident_bytes():
    """The bytes of this process that are in memory now; where the system does not say, the most so far."""
    return proc_status_bytes("VmRSS") or peak_resident_bytes()


def peak_resident_bytes():
    """The most bytes of this process that have ever been in memory."""
    # Linux's getrusage would count the process that started this one.
    if peak := proc_status_bytes("VmHWM"):
        return peak
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def proc_status_bytes(field):
    """A size from Linux's /proc/self/status in bytes, None elsewhere."""
    file = Path("/proc/self/status")
    lines = file.read_text().splitlines() if file.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def growth(library, model, batch_size, threads):
    """By how many bytes this process grows at most while it trains for a few steps."""
    if library == "pytorch":
        from minires.bench.pytorch import PyTorchStep

        step = PyTorchStep(model, batch_size, threads)
    else:
        from minires.backend import set_num_threads
        from minires.bench.step import MiniresStep

        set_num_threads(threads)
        step = MiniresStep(model, batch_size)
    before = resident_bytes()
    for _ in range(STEPS):
        step.train()
    return peak_resident_bytes() - before


if __name__ == "__main__":
    library, model, batch_size, threads = sys.argv[1:]
    print(growth(library, model, int(batch_size), int(threads)))
