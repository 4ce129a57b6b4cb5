"""How much memory training takes: measured in a process of its own, which nothing else has used before."""

import os
import subprocess
import sys


def peak_bytes(library, model, batch_size, threads):
    """By how many bytes a process grows at most while it trains for a few steps; None where none can tell.

    library: "minires" or "pytorch". What the process held before, Python, the library, the weights and the
    images, does not count.
    """
    if not hasattr(os, "fork"):  # the system's count of a process's memory comes with Unix
        return None
    worker = [sys.executable, "-m", "minires.bench.memory_worker"]
    job = [library, model, str(batch_size), str(threads)]
    child = subprocess.run([*worker, *job], capture_output=True, text=True, check=True)
    return int(child.stdout)
