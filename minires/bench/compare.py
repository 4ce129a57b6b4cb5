"""The benchmark: images per second, peak memory, the time of each operation, here and in PyTorch."""

import platform
from datetime import date
from importlib.util import find_spec

import numpy as np

import minires.models
from minires.backend import get_num_threads
from minires.backend.cpu.threads import available_cores
from minires.bench.memory import peak_bytes
from minires.bench.operations import operation_times
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved


def benchmark(model="resnet20", batch_size=128, repeats=10, follow=None):
    """Measure one net, on random 32 x 32 images, with as many threads as are set.

    Returns {"model", "batch_size", "threads", "date", "machine", "minires", "operations"} and, where PyTorch
    is installed and has a twin of the net, "pytorch" and "ratio". "minires" and "pytorch" hold
    train_images_per_s, infer_images_per_s, peak_bytes; the ratios of speed are above 1 where minires is
    faster, that of memory where it needs more.
    follow: called with a word on what is measured now.
    """
    say = follow or (lambda what: None)
    threads = get_num_threads()
    minires.models.create(model, generator=0)  # a wrong name is said at once
    steps = {"minires": MiniresStep(model, batch_size)}
    libraries = {"numpy": np.__version__}
    if find_spec("torch"):
        from minires.bench import pytorch

        libraries["pytorch"] = pytorch.version()
        if pytorch.supports(model):
            steps["pytorch"] = pytorch.PyTorchStep(model, batch_size, threads)
    say("training")
    train = interleaved({name: step.train for name, step in steps.items()}, repeats)
    say("inference")
    infer = interleaved({name: step.infer for name, step in steps.items()}, repeats)
    say("operations")
    operations = operation_times(steps["minires"])
    say("memory")
    report = {
        "model": model,
        "batch_size": batch_size,
        "threads": threads,
        "date": date.today().isoformat(),
        "machine": machine() | libraries,
        **{
            name: {
                "train_images_per_s": batch_size / train[name],
                "infer_images_per_s": batch_size / infer[name],
                "peak_bytes": peak_bytes(name, model, batch_size, threads),
            }
            for name in steps
        },
        "operations": operations,
    }
    if "pytorch" in steps:
        ours, theirs = report["minires"], report["pytorch"]
        report["ratio"] = {
            "train": ours["train_images_per_s"] / theirs["train_images_per_s"],
            "infer": ours["infer_images_per_s"] / theirs["infer_images_per_s"],
            "memory": ours["peak_bytes"] and ours["peak_bytes"] / theirs["peak_bytes"],
        }
    return report


def machine():
    """What was measured on: processor, cores, system, Python."""
    return {
        "processor": processor(),
        "cores": available_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def processor():
    """The processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
