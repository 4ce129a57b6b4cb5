"""A training step of CIFAR ResNets on one NVIDIA GPU: on each rung of minires and in PyTorch, in turn.

    python benchmarks/gpu.py                      # the tests that need a GPU, then the table: some minutes
    python benchmarks/gpu.py --skip-tests --json results/gpu/bench.json

A whole step is measured: forward, backward, update. In minires the step also takes its batch from the images
in the GPU's memory, crops, flips and normalizes it. PyTorch does not: it trains on one batch that is already
on the GPU, in its fastest memory order (channels last), with convolutions in TF32, its default. In each round
all contenders run in turn; times are medians over the rounds, measured by the GPU's own clock (events).
Libraries that are missing are left out.
"""

import argparse
import json
import platform
import subprocess
import sys
from contextlib import nullcontext
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from minires.backend.cuda.card import card
from minires.backend.device import load_cupy
from minires.bench.step import SGD_OPTIONS, batch
from minires.data import Dataset, Split
from minires.models import create
from minires.tables import number_columns
from minires.train import Hardware, Recipe, Trainer

MINIRES_VARIANTS = (("explicit", "fp32"), ("explicit", "tf32"), ("implicit", "tf32"), ("fused", "tf32"))
PYTORCH_VARIANTS = ("eager", "torch.compile", "CUDA graph")
WARM_UP = 5  # steps that compile, record and fill the memory pools


def noise(count=4096):
    """A data set of random images of CIFAR's size, 32 x 32."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (count, 3, 32, 32), np.uint8), rng.integers(0, 10, count))
    return Dataset("noise", split, split.take(128), tuple("0123456789"))


class Minires:
    """A run of minires; `steps(n)` takes n steps and returns the mean milliseconds of a step."""

    def __init__(self, model, batch_size, dataset, rung, precision):
        recipe = Recipe(
            model,
            "noise",
            64_000,
            batch_size,
            crop_padding=4,
            flip=True,
            log_every=10**9,
            evaluate_every=10**9,
        )
        self.trainer = Trainer(recipe, dataset, Hardware.choose("cuda", rung, precision))
        self.cuda = load_cupy().cuda

    def train(self):
        """One step, without waiting for it."""
        self.trainer.step()

    def steps(self, n):
        with self.in_use():
            begin, end = self.cuda.Event(), self.cuda.Event()
            begin.record()
            for _ in range(n):
                self.train()
            end.record()
            end.synchronize()
            return self.cuda.get_elapsed_time(begin, end) / n

    def in_use(self):
        return self.trainer.working()

    def memory(self):
        """The most bytes that a step takes, without the weights: the final size of its own memory pool."""
        trainer, pool = self.trainer, self.cuda.MemoryPool()
        with self.in_use(), self.cuda.using_allocator(pool.malloc):
            trainer.step_runner.train_on_batch(*trainer.train_loader.batch(0))
            trainer.optimizer.zero_grad()
        return pool.total_bytes()


class PyTorch:
    """The same net in PyTorch: "eager", "torch.compile", or its step captured by hand in a "CUDA graph"."""

    def __init__(self, model, batch_size, variant):
        import torch

        from minires.bench.pytorch import twin

        self.torch = torch
        torch.backends.cudnn.benchmark = True
        torch.cuda.reset_peak_memory_stats()
        self.before = torch.cuda.memory_allocated()
        net = twin(create(model, generator=0)).cuda().to(memory_format=torch.channels_last)
        images, labels = batch(batch_size)
        self.images = torch.from_numpy(images).cuda().contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(labels).cuda()
        self.optimizer = torch.optim.SGD(net.parameters(), **SGD_OPTIONS, fused=True)
        self.net = torch.compile(net, mode="max-autotune") if variant == "torch.compile" else net
        self.train = self.captured() if variant == "CUDA graph" else self.step

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.torch.nn.functional.cross_entropy(self.net(self.images), self.labels)
        loss.backward()
        self.optimizer.step()

    def captured(self):
        """The step as a CUDA graph, as in PyTorch's documentation: warm up on a side stream, then record."""
        torch, stream = self.torch, self.torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay

    def steps(self, n):
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(n):
            self.train()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / n

    def in_use(self):
        return nullcontext()

    def memory(self):
        return self.torch.cuda.max_memory_allocated() - self.before


def contenders(model, batch_size, dataset, rungs):
    """{name: function that makes it}, in the order of the table."""
    makers = {
        f"minires {rung} {precision}": partial(Minires, model, batch_size, dataset, rung, precision)
        for rung, precision in MINIRES_VARIANTS
        if rung in rungs
    }
    if has_pytorch():
        makers |= {f"PyTorch {name}": partial(PyTorch, model, batch_size, name) for name in PYTORCH_VARIANTS}
    return makers


def has_pytorch():
    """Whether PyTorch is installed and sees the GPU, too."""
    if not find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def kernels_in_a_step(contender):
    """How many kernels, copies and fills a step consists of; None without PyTorch, whose profiler counts."""
    if not has_pytorch():
        return None
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with contender.in_use(), profile(activities=[ProfilerActivity.CUDA]) as profiler:
        contender.train()
        load_cupy().cuda.Device().synchronize()
    return sum(event.device_type == DeviceType.CUDA for event in profiler.events())


def measure(model, options, dataset, announce):
    """{contender: {"ms", "kernels", "MiB"}} of one net."""
    runs, results = {}, {}
    for name, make in contenders(model, options.batch_size, dataset, options.rungs).items():
        announce(f"{model}: preparing {name}")
        runs[name] = make()
        runs[name].steps(WARM_UP)
    times = {name: [] for name in runs}
    for turn in range(options.rounds):
        announce(f"{model}: round {turn + 1} of {options.rounds}")
        for name, contender in runs.items():
            times[name].append(contender.steps(options.steps))
    for name, contender in runs.items():
        results[name] = {
            "ms": median(times[name]),
            "kernels": kernels_in_a_step(contender),
            "MiB": contender.memory() / 2**20,
        }
    return results


def table_of(model, batch_size, results):
    """The table of one net. Speeds are relative to PyTorch eager."""
    table = Table(
        model,
        *number_columns("ms a step", "images/s", "times as fast", "kernels", "MiB"),
        title=f"batch {batch_size}",
    )
    eager = results.get("PyTorch eager", {}).get("ms")
    for name, result in results.items():
        faster = "" if eager is None else f"{eager / result['ms']:.2f}"
        kernels = "" if result["kernels"] is None else str(result["kernels"])
        speed = f"{1000 * batch_size / result['ms']:,.0f}"
        table.add_row(name, f"{result['ms']:.3f}", speed, faster, kernels, f"{result['MiB']:,.0f}")
    return table


def versions():
    """The date, the GPU and the versions of the measurement."""
    software = {"python": platform.python_version(), "numpy": np.__version__, "cupy": load_cupy().__version__}
    if has_pytorch():
        import torch

        software["torch"] = torch.__version__
    return {"date": date.today().isoformat(), "gpu": card().name, **software}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet20", "resnet56", "resnet110"])
    parser.add_argument("--rungs", nargs="+", default=["explicit", "implicit", "fused"])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100, help="steps in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--skip-tests", action="store_true")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    options = parser.parse_args(arguments)
    if not options.skip_tests:
        subprocess.run([sys.executable, "-m", "pytest", "-m", "gpu"], check=True)
    console, dataset, nets = Console(), noise(), {}
    with console.status("") as status:
        for model in options.models:
            nets[model] = measure(model, options, dataset, status.update)
            console.print(table_of(model, options.batch_size, nets[model]))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {**versions(), "batch_size": options.batch_size, "nets": nets}
        options.json.write_text(json.dumps(report, indent=2) + "\n")
        console.print(f"Written to {options.json}", soft_wrap=True)


if __name__ == "__main__":
    main()
