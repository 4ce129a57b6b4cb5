"""The benchmark: speed and peak memory of minires and of PyTorch, and the time of minires' operations."""

from importlib.util import find_spec

import minires.models
from minires.backend import get_num_threads
from minires.bench.operations import operation_times
from minires.bench.peak_memory import peak_bytes
from minires.bench.record import date_and_machine
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved


def benchmark(model="resnet20", batch_size=128, repeats=10, follow=None):
    """Measure one net on random images of its input size, with the number of threads that is set.

    Returns {"model", "batch_size", "threads", "date", "machine", "minires", "operations"} and, where PyTorch
    is installed and has a twin of the net, "pytorch" and "ratio". "minires" and "pytorch" hold
    train_images_per_s, infer_images_per_s, peak_bytes; a ratio of speeds is above 1 where minires is faster,
    the ratio of memory where minires needs more.
    follow: called before each measurement with its name: training, inference, operations, memory.
    """
    announce = follow or (lambda name: None)
    threads = get_num_threads()
    minires.models.create(model, generator=0)  # raises UnknownNameError before anything is measured
    steps = {"minires": MiniresStep(model, batch_size)}
    setting = date_and_machine()
    if find_spec("torch"):
        from minires.bench import pytorch

        setting["machine"]["pytorch"] = pytorch.version()
        if pytorch.supports(model):
            steps["pytorch"] = pytorch.PyTorchStep(model, batch_size, threads)
    announce("training")
    train = interleaved({name: step.train for name, step in steps.items()}, repeats)
    announce("inference")
    infer = interleaved({name: step.infer for name, step in steps.items()}, repeats)
    announce("operations")
    operations = operation_times(steps["minires"])
    announce("memory")
    report = {
        "model": model,
        "batch_size": batch_size,
        "threads": threads,
        **setting,
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
        own, other = report["minires"], report["pytorch"]
        report["ratio"] = {
            "train": own["train_images_per_s"] / other["train_images_per_s"],
            "infer": own["infer_images_per_s"] / other["infer_images_per_s"],
            "memory": own["peak_bytes"] and own["peak_bytes"] / other["peak_bytes"],
        }
    return report
