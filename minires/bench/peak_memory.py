"""The peak memory of training, measured in a new process that has done nothing else before."""

import os
import subprocess
import sys


def peak_bytes(library, model, batch_size, threads):
    """By how many bytes a process grows at most while it trains for a few steps; None on Windows.

    library: "minires" or "pytorch". Memory that the process had before (Python, the library, the weights
    and the images) does not count.
    """
    if not hasattr(os, "fork"):  # Windows, which has neither of the sources that memory_worker.py reads
        return None
    worker = [sys.executable, "-m", "minires.bench.memory_worker"]
    job = [library, model, str(batch_size), str(threads)]
    child = subprocess.run([*worker, *job], capture_output=True, text=True, check=True)
    return int(child.stdout)
