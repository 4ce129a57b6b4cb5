"""The benchmark: images per second, peak memory, the time of each operation, here and in PyTorch."""

from importlib.util import find_spec

import minires.models
from minires.backend import get_num_threads
from minires.bench.operations import operation_times
from minires.bench.peak_memory import peak_bytes
from minires.bench.record import circumstances
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved


def benchmark(model="resnet20", batch_size=128, repeats=10, follow=None):
    """Measure one net, on random images of its size, with as many threads as are set.

    Returns {"model", "batch_size", "threads", "date", "machine", "minires", "operations"} and, where PyTorch
    is installed and has a twin of the net, "pytorch" and "ratio". "minires" and "pytorch" hold
    train_images_per_s, infer_images_per_s, peak_bytes; the ratios of speed are above 1 where minires is
    faster, that of memory where it needs more.
    follow: called with a word on what is measured now.
    """
    announce = follow or (lambda what: None)
    threads = get_num_threads()
    minires.models.create(model, generator=0)  # a wrong name is said at once
    steps = {"minires": MiniresStep(model, batch_size)}
    when_and_where = circumstances()
    if find_spec("torch"):
        from minires.bench import pytorch

        when_and_where["machine"]["pytorch"] = pytorch.version()
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
        **when_and_where,
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
