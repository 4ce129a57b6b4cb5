"""The README is true: its code runs and prints what its comments say, its numbers are the recorded ones."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from minires import models
from minires.lab.degradation import MARGIN

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RESULTS = json.loads((ROOT / "results" / "degradation" / "results.json").read_text())


CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
IMPORTS = "".join(re.findall(r"^(?:import|from) .*\n", CODE[0], re.MULTILINE))


@pytest.mark.parametrize("code", CODE)
def test_code_runs_and_prints_what_its_comments_say(code):
    """The later blocks rely on the imports of the first one."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTS + code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    comments = re.findall(r"^\s*print\(.*\)  # (.+)$", code, re.MULTILINE)
    if comments:
        assert result.stdout.splitlines() == comments
    else:
        losses = [float(line) for line in result.stdout.split()]
        assert losses[-1] < losses[0]


NETWORKS = re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \|", README, re.MULTILINE)


@pytest.mark.parametrize(("name", "parameters", "multiply_adds"), NETWORKS)
def test_the_table_of_networks_is_what_is_counted(name, parameters, multiply_adds, summary):
    rows = summary(name)
    assert f"{sum(row.parameters for row in rows):,}" == parameters
    assert f"{sum(row.multiply_adds for row in rows):,}" == multiply_adds


def test_the_readme_shows_networks_of_every_family():
    assert len(NETWORKS) == 24
    sizes = [models.input_size(name) for name, *_ in NETWORKS]
    assert sizes == [32] * 11 + [224] * 13


@pytest.mark.parametrize("name", RESULTS["nets"])
def test_the_table_is_the_recorded_run(name):
    net = RESULTS["nets"][name]
    row = (
        f"| {name} | {net['parameters']:,} | {net['train_error'][-1]:.2f} % | {net['test_error'][-1]:.2f} % |"
    )
    assert row in README


def test_the_record_is_of_the_default_run_and_shows_the_problem():
    assert (RESULTS["data"], RESULTS["seed"]) == ("digits", 0)
    assert list(RESULTS["nets"]) == ["plain20", "plain56", "resnet20", "resnet56"]
    assert RESULTS["verdict"] == {"plain_degrades": True, "residual_degrades": False}
    shallow, deep = (RESULTS["nets"][name] for name in ("resnet20", "resnet56"))
    assert shallow["train_error"][-1] == deep["train_error"][-1] == 0
    assert shallow["test_error"][-1] <= deep["test_error"][-1]
    plain = {name: models.create(name, in_channels=1, widths=(8, 16, 32)) for name in ("plain20", "plain56")}
    for name, net in plain.items():
        assert sum(p.numel() for p in net.parameters()) == RESULTS["nets"][name]["parameters"]


@pytest.mark.parametrize("file", ["results.json", "results-seed1.json", "results-seed2.json"])
def test_the_margin_of_the_verdict_lies_between_what_was_recorded(file):
    nets = json.loads((ROOT / "results" / "degradation" / file).read_text())["nets"]
    final = {name: net["train_error"][-1] for name, net in nets.items()}
    assert final["plain56"] - final["plain20"] > 30 > MARGIN
    assert abs(final["resnet56"] - final["resnet20"]) < 0.1 < MARGIN


def speed(file):
    return json.loads((ROOT / "results" / "speed" / file).read_text())


def test_the_comparison_is_the_recorded_one():
    report = speed("bench.json")
    assert (report["model"], report["batch_size"], report["threads"]) == ("resnet20", 128, 2)
    minires, pytorch, ratio = report["minires"], report["pytorch"], report["ratio"]
    for title, key, ratio_key, unit in (
        ("training, images/s", "train_images_per_s", "train", 1),
        ("inference, images/s", "infer_images_per_s", "infer", 1),
        ("peak memory of training, MiB", "peak_bytes", "memory", 2**20),
    ):
        row = (
            f"| {title} | {minires[key] / unit:,.0f} | {pytorch[key] / unit:,.0f} | {ratio[ratio_key]:.2f} |"
        )
        assert row in README
    hours = 64_000 * 128 / minires["train_images_per_s"] / 3600
    assert (
        f"{minires['train_images_per_s']:,.0f} images per second measured below that is {hours:.0f} hours"
        in README
    )


def test_the_ladder_is_the_recorded_one():
    rungs = speed("ladder.json")["rungs"]
    assert [f"| {r['idea']} | {r['threads']} | {r['seconds']:.2f} |" in README for r in rungs] == [True] * 8
    for before, after in pairwise(rungs):
        assert f"| {after['seconds']:.2f} | {before['seconds'] / after['seconds']:.2f} |" in README
    *_, one_thread, _, two_threads = (rung["seconds"] for rung in rungs)
    text = f"{one_thread:.2f} s on one thread takes {two_threads:.2f} s on two, not {one_thread / 2:.2f} s"
    assert text in README


def test_the_share_of_batch_norm_is_the_recorded_one():
    times = {
        row["operation"]: row["forward_ms"] + row["backward_ms"] for row in speed("bench.json")["operations"]
    }
    share = 100 * times["batch_norm"] / sum(times.values())
    assert f"batch norm, with the addition and the ReLU, takes {share:.0f} % of the time" in README.replace(
        "\n", " "
    )


def test_the_cost_of_small_operations_is_the_recorded_one():
    for name, cost in speed("operations.json")["operations"].items():
        assert f"| {name} | {cost['numpy_us']:.1f} | {cost['minires_us']:.1f} |" in README


def test_the_recorded_costs_stay_within_their_limits():
    """How the cost of a step grows, and how it compares with PyTorch's."""
    batch = {(row["batch_size"], row["threads"]): row["seconds"] for row in speed("scaling.json")["batch"]}
    depth = {row["model"]: row["seconds"] for row in speed("scaling.json")["depth"]}
    for threads in (1, 2):
        seconds_per_image = batch[128, threads] / 128
        assert batch[32, threads] / 32 < 1.3 * seconds_per_image
    assert batch[512, 2] / 512 < 1.1 * batch[128, 2] / 128
    assert depth["resnet110"] < 6.5 * depth["resnet20"]
    ratio = speed("bench.json")["ratio"]
    assert min(ratio["train"], ratio["infer"]) > 0.7
    assert ratio["memory"] < 1.2


def test_the_scaling_is_the_recorded_one():
    rows = {(row["batch_size"], row["threads"]): row for row in speed("scaling.json")["batch"]}
    for size in (16, 32, 64, 128, 256, 512):
        times = (1e3 * rows[size, threads]["seconds"] / size for threads in (1, 2))
        peak = rows[size, 2]["peak_bytes"] / 2**20
        assert f"| {size} | {' | '.join(f'{time:.2f}' for time in times)} | {peak:,.0f} |" in README


def test_the_commands_exist():
    shown = set(re.findall(r"^\| `minires (\w+)", README, re.MULTILINE))
    listed = subprocess.run(
        [sys.executable, "-m", "minires.cli", "--help"], capture_output=True, text=True
    ).stdout
    assert shown == set(re.findall(r"^│ (\w+) ", listed, re.MULTILINE))


def test_files_and_folders_that_are_named_exist():
    for path in re.findall(r"`(minires/[\w/.]+)`", README) + re.findall(r"\]\((results/[^)]+)\)", README):
        assert (ROOT / path).exists(), path
    for folder in re.findall(r"^\| `(\w+)/` \|", README, re.MULTILINE):
        assert (ROOT / "minires" / folder).is_dir(), folder


def test_every_tutorial_is_listed_with_its_title():
    listed = re.findall(r"^\| \[(.+)\]\((tutorials/\d\d_\w+\.py)\) \|", README, re.MULTILINE)
    pages = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
    assert [(page.read_text().splitlines()[1], f"tutorials/{page.name}") for page in pages] == listed
