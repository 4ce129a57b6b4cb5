"""The command line as users see it: output, files, exit codes, one line for an error."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import minires, minires_process
from PIL import Image

from minires import __version__, models, ops
from minires.lab import gradients
from minires.lab.gradients import BLOCKS, OPERATIONS

RESULTS = Path(__file__).parents[2] / "results" / "degradation"
SMALL = ("--iterations", 6, "--batch-size", 16, "--lr", 0.05, "--option", "widths=2,4,8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of six steps: its folder, and the result of the command."""
    out = tmp_path_factory.mktemp("runs") / "resnet8"
    return out, minires_process("train", "resnet8", *SMALL, "--out", out)


def test_train_reports_and_leaves_a_run(run):
    out, result = run
    assert result.returncode == 0, result.stderr
    assert "resnet8 after 6 steps: training error" in result.stdout
    assert {p.name for p in out.iterdir()} == {
        *("recipe.json", "input.safetensors", "metrics.jsonl", "curves.png", "checkpoints")
    }
    recipe = json.loads((out / "recipe.json").read_text())["recipe"]
    assert recipe["model_options"] == {"widths": [2, 4, 8]}
    assert recipe["learning_rate"] == 0.05


def test_train_takes_the_recipe_of_another_paper(tmp_path):
    result = minires("train", "resnet8", *SMALL, "--recipe", "preact-cifar", "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]
    assert (recipe["iterations"], recipe["warm_up_rate"], recipe["warm_up_steps"]) == (6, 0.01, 1)


def test_evaluate_agrees_with_the_history(run):
    out, _ = run
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    result = minires("evaluate", out)
    assert result.returncode == 0, result.stderr
    assert f"test error {rows[-1]['test_error']:.2f} %" in result.stdout
    assert "after step 6" in result.stdout


def test_plot_draws_the_runs(run, tmp_path):
    result = minires("plot", run[0], run[0], "--out", tmp_path / "both.png")
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "both.png") as picture:
        assert picture.format == "PNG"


def test_plot_finds_the_runs_in_a_folder(run, tmp_path):
    result = minires("plot", run[0].parent, "--out", tmp_path / "all.png")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "all.png").exists()


def test_the_same_folder_again_is_refused_then_resumed(run):
    out, _ = run
    second = minires("train", "resnet8", *SMALL, "--out", out)
    assert second.returncode == 2
    assert "--resume" in second.stderr
    assert minires("train", "resnet8", *SMALL, "--out", out, "--resume").returncode == 0


def test_summary_adds_up():
    result = minires("summary", "resnet20")
    assert result.returncode == 0, result.stderr
    assert "269,722" in result.stdout
    assert "40,551,040" in result.stdout
    rows = models.summarize(models.create("resnet20"))
    assert sum(row.parameters for row in rows) == 269_722
    assert all(row.name in result.stdout for row in rows)


@pytest.mark.slow
def test_gradcheck_checks_every_operation_and_block():
    assert_every_row_is_right(minires("gradcheck"))


def test_gradcheck_prints_a_row_for_every_operation_and_block(monkeypatch):
    """Without the checks themselves, which run in tests/lab/test_gradients.py."""

    def passing_check(name):
        kind = "operation" if name in OPERATIONS else "block" if name in BLOCKS else "network"
        return gradients.Result(kind, name, 1, "one by one", error=1e-9, tolerance=1e-6)

    monkeypatch.setattr(gradients, "check", passing_check)
    assert_every_row_is_right(minires("gradcheck"))


def assert_every_row_is_right(result):
    assert result.returncode == 0, result.stderr
    names = [*sorted(set(ops.__all__) - {"argmax", "argmin"}), *BLOCKS, "resnet20"]
    rows = [line.split()[1] for line in result.stdout.splitlines() if line.endswith("right    │")]
    assert sorted(rows) == sorted(names)
    assert "WRONG" not in result.stdout
    assert result.stdout.count("├") == 2, "a line between operations, blocks and the network"


def test_gradcheck_of_a_block_and_a_net():
    result = minires("gradcheck", "basic_shortcut_gating", "plain8")
    assert result.returncode == 0, result.stderr
    assert "basic_shortcut_gating" in result.stdout
    assert "plain8" in result.stdout


def test_bench_measures_prints_and_writes(tmp_path, monkeypatch):
    """Without PyTorch; tests/bench/test_bench.py measures with it."""
    monkeypatch.setattr("minires.bench.compare.find_spec", lambda name: None)
    file = tmp_path / "bench.json"
    arguments = ("--model", "resnet8", "--batch-size", 4, "--repeats", 1, "--threads", 1, "--json", file)
    result = minires("bench", *arguments)
    assert result.returncode == 0, result.stderr
    report = json.loads(file.read_text())
    assert (report["model"], report["batch_size"], report["threads"]) == ("resnet8", 4, 1)
    assert "resnet8, 4 images of 32 x 32, float32, 1 thread," in result.stdout
    assert f"{report['minires']['train_images_per_s']:,.0f}" in result.stdout
    assert " conv2d " in result.stdout


def test_threads_are_taken_from_the_option():
    assert minires("gradcheck", "relu", "--threads", 3).returncode == 0
    assert minires("gradcheck", "relu", "--threads", 0).returncode == 2


def test_doctor_reports_what_the_machine_offers():
    result = minires("doctor")
    assert result.returncode == 0, result.stderr
    for item in ("Python", "numpy", "threads", "GPU", "data cache"):
        assert item in result.stdout
    assert re.search(rf"\bminires\W+{re.escape(__version__)}\b", result.stdout)


def test_degradation_prints_the_results(monkeypatch):
    """With the recorded results in place of an experiment."""
    recorded = json.loads((RESULTS / "results.json").read_text())
    monkeypatch.setattr("minires.lab.degradation", lambda *arguments, **options: recorded)
    result = minires("degradation")
    assert result.returncode == 0, result.stderr
    for name, net in recorded["nets"].items():
        assert re.search(rf"{name} .* {net['parameters']:,} ", result.stdout)
        assert f" {net['test_error'][-1]:.2f} %" in result.stdout
    assert "The deeper plain nets train worse than the shallower ones." in result.stdout
    assert "The deeper residual nets do not train worse" in result.stdout
    assert "runs/degradation/degradation.png" in result.stdout


@pytest.mark.slow
def test_degradation_prints_table_verdict_and_figure(tmp_path):
    result = minires("degradation", "--depths", "8,14", "--epochs", 1, "--out", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    for name in ("plain8", "plain14", "resnet8", "resnet14"):
        assert name in result.stdout
    assert "The deeper plain nets" in result.stdout
    assert "degradation.png" in result.stdout
    assert (tmp_path / "out" / "degradation.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "resnt20"), "unknown model 'resnt20'; did you mean resnet20"),
        (("train", "resnet21"), "depth 21 is not 6n + 2"),
        (("train", "resnet8", "--data", "cifr10"), "unknown data set 'cifr10'; did you mean cifar10"),
        (("train", "resnet8", "--recipe", "papr"), "unknown recipe 'papr'; did you mean paper"),
        (
            ("train", "resnet8", "--recipe", "wide"),
            "unknown recipe 'wide'; did you mean wide-svhn, wide-cifar",
        ),
        (("train", "resnet8", "--option", "width=3"), "its options are shortcut, widths"),
        (
            ("train", "resnet8", "--option", "shortcut=D"),
            "shortcut must be one of A, B, C, none, constant_scaling",
        ),
        (("train", "resnet8", "--iterations", "0"), "iterations must be at least 1"),
        (("train", "resnet8", "--batch-size", "0"), "batch_size must be at least 1"),
        (
            ("train", "resnet8", "--option", "classes=abc"),
            "classes must be a positive whole number, not 'abc'",
        ),
        (("train", "resnet9", "--data", "cifar10"), "depth 9 is not 6n + 2"),
        (("train", "resnet8", "--resume", "--overwrite"), "not both"),
        (("train", "resnet8", "--data", "cifar10", "--data-dir", "nowhere"), "nowhere does not exist"),
        (("train", "resnet8", "--out", "{file}/run"), "cannot write to"),
        (("evaluate", "nowhere"), "nowhere holds no run"),
        (("plot", "nowhere"), "no history of a run"),
        (("gradcheck", "con2d"), "did you mean conv2d"),
        (("degradation", "--depths", "20,x"), "--depths must be whole numbers"),
        (("degradation", "--depths", "20"), "two or more different numbers"),
    ],
)
def test_expected_errors_are_one_line_and_exit_code_2(tmp_path, arguments, message):
    (tmp_path / "file").write_text("not a folder")
    result = minires(*(a.replace("{file}", str(tmp_path / "file")) for a in arguments), folder=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("minires: ")


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    arguments = ["train", "resnet8", "--iterations", "5000", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "minires.cli", *arguments, "--option", "widths=[2,4,8]"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()  # the first evaluation
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the run is saved" in stderr
    assert "minires train resnet8" in stderr
    assert stderr.strip().endswith("--resume")
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert int(checkpoint.name.removeprefix("step-")) > 0
