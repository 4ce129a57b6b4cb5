"""Several runs at a time: the same results as one by one, and no run outlives the process that started it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from minires import data, get_num_threads, set_num_threads
from minires.errors import DivergenceError, TrainingInterrupted, UnknownNameError
from minires.train import Recipe, RunFolder, train, train_side_by_side
from minires.train.side_by_side import rebuilt_error

RECIPE = Recipe(
    model="resnet8",
    data="digits",
    iterations=24,
    batch_size=32,
    model_options={"widths": [4, 8, 16]},
    drops=(12, 18),
    log_every=5,
    evaluate_every=10,
)
ENDLESS = replace(RECIPE, iterations=100_000)


@pytest.fixture(autouse=True)
def two_threads():
    """Two runs at a time, on any machine."""
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


def processes_with(text):
    """The numbers of the processes whose command line contains `text`."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("there is no /proc to look for processes in")
    numbers = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            if text.encode() in file.read_bytes():
                numbers.append(int(file.parent.name))
    return numbers


def weights_of(folder):
    return load_file(RunFolder(folder).latest() / "weights.safetensors")


def test_runs_side_by_side_end_as_runs_one_by_one(tmp_path):
    recipes = {f"seed{seed}": replace(RECIPE, seed=seed) for seed in range(3)}
    reports = {}

    def follow(name, steps):
        assert steps == 24
        return reports.setdefault(name, []).append

    train_side_by_side(recipes, tmp_path / "both", follow=follow)
    set_num_threads(1)
    for name, recipe in recipes.items():
        alone = train(recipe, tmp_path / name, dataset=data.digits())
        weights, expected = weights_of(tmp_path / "both" / name), weights_of(tmp_path / name)
        assert weights.keys() == expected.keys()
        for key in weights:
            np.testing.assert_array_equal(weights[key], expected[key], err_msg=key)
        assert [report.step for report in reports[name]] == list(range(1, 25))
        assert [r.step for r in reports[name] if r.evaluated] == [10, 20, 24]
        assert reports[name][-1].test_error == alone.history.last("test_error")
        assert reports[name][-1].loss == alone.history.last("loss")


@pytest.mark.slow
def test_runs_train_at_the_same_time(tmp_path):
    started, stopped = set(), []

    def follow(name, steps):
        def show(report):
            started.add(name)
            if len(started) == 2 and not stopped:
                stopped.append(True)
                os.kill(os.getpid(), signal.SIGINT)

        return show

    with pytest.raises(TrainingInterrupted):  # one by one, the second would start only after hours
        train_side_by_side({"one": ENDLESS, "two": ENDLESS}, tmp_path, follow=follow)
    for name in ("one", "two"):
        assert RunFolder(tmp_path / name).latest() is not None, "it was saved"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    recipes = {"one": replace(RECIPE, iterations=200), "two": replace(RECIPE, iterations=200, seed=1)}

    def follow(name, steps):
        def show(report):
            if (name, report.step) == ("one", 9):
                os.kill(os.getpid(), signal.SIGINT)

        return show

    with pytest.raises(TrainingInterrupted, match="the run is saved") as stop:
        train_side_by_side(recipes, tmp_path / "resumed", follow=follow)
    assert 9 <= stop.value.step < 200
    first_step = {}
    train_side_by_side(
        recipes,
        tmp_path / "resumed",
        resume=True,
        follow=lambda name, steps: lambda report: first_step.setdefault(name, report.step),
    )
    assert first_step["one"] >= 9
    train_side_by_side(recipes, tmp_path / "uninterrupted")
    for name in recipes:
        weights = weights_of(tmp_path / "resumed" / name)
        for key, array in weights_of(tmp_path / "uninterrupted" / name).items():
            np.testing.assert_array_equal(weights[key], array, err_msg=key)


def test_no_runs_at_all(tmp_path):
    train_side_by_side({}, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_error_in_one_run_stops_the_others(tmp_path):
    ruined = replace(ENDLESS, learning_rate=1e30)
    with pytest.raises(DivergenceError, match="learning rate 1e\\+30"):
        train_side_by_side({"fine": ENDLESS, "ruined": ruined, "later": ENDLESS}, tmp_path)
    assert not (tmp_path / "later").exists()


def test_a_follower_that_fails_ends_the_run(tmp_path):
    def follow(name, steps):
        def show(report):
            raise LookupError("no such bar")

        return show

    with pytest.raises(LookupError, match="no such bar"):
        train_side_by_side({"one": ENDLESS, "two": ENDLESS}, tmp_path, follow=follow)


def test_a_process_that_is_killed_is_reported(tmp_path):
    def follow(name, steps):
        def show(report):
            if report.step == 3:
                (process,) = processes_with(str(tmp_path / "one"))
                os.kill(process, signal.SIGKILL)

        return show

    with pytest.raises(RuntimeError, match=r"trains one failed \(exit code -9\)"):
        train_side_by_side({"one": ENDLESS}, tmp_path, follow=follow)


STARTER = """
import json, sys
from minires import set_num_threads
from minires.train import Recipe, train_side_by_side
set_num_threads(2)
recipe = Recipe.from_json(json.loads(sys.argv[1]))
train_side_by_side({"one": recipe, "two": recipe}, sys.argv[2],
                   follow=lambda name, steps: lambda report: print(name, report.step, flush=True))
"""


@pytest.mark.slow
def test_no_run_outlives_the_process_that_started_it(tmp_path):
    command = [sys.executable, "-c", STARTER, json.dumps(ENDLESS.to_json()), str(tmp_path)]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    names = set()
    while len(names) < 2:
        names.add(starter.stdout.readline().split()[0])
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 10  # seconds
    while processes_with(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_with(str(tmp_path)) == []


def test_errors_are_the_same_in_another_process():
    for error in (UnknownNameError("model", "resent", ["resnet"]), TrainingInterrupted(7, saved=True)):
        rebuilt = rebuilt_error(type(error).__name__, str(error), vars(error))
        assert (type(rebuilt), str(rebuilt), vars(rebuilt)) == (type(error), str(error), vars(error))


def worker_for(folder, device="cpu"):
    """A worker, started by hand. Its standard input stays open: when it is closed, the worker ends."""
    job = {"recipe": RECIPE.to_json(), "folder": str(folder), "resume": False, "threads": 1, "device": device}
    command = [sys.executable, "-m", "minires.train.worker", json.dumps(job)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_worker_can_be_run_by_hand(tmp_path):
    with worker_for(tmp_path / "run") as worker:
        reports = [json.loads(line)["report"] for line in worker.stdout]
        worker.wait()
    assert worker.returncode == 0
    assert [report["step"] for report in reports] == list(range(1, 25))
    set_num_threads(1)
    train(RECIPE, tmp_path / "direct", dataset=data.digits())
    for key, array in weights_of(tmp_path / "direct").items():
        np.testing.assert_array_equal(weights_of(tmp_path / "run")[key], array, err_msg=key)


def test_an_error_in_a_worker_is_a_line_of_its_output(tmp_path):
    with worker_for(tmp_path, device="gpu") as worker:
        error = json.loads(worker.stdout.readline())["error"]
    assert error["class_name"] == "DeviceError"
    assert error["message"] == "unknown device 'gpu'; use 'cpu' or 'cuda'"


def test_a_worker_imports_modules_from_where_its_starter_does(tmp_path, monkeypatch):
    """Not from the folder in which it is started."""
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong json')")
    monkeypatch.chdir(tmp_path)
    train_side_by_side({"one": replace(RECIPE, iterations=1)}, tmp_path / "runs")
    assert RunFolder(tmp_path / "runs" / "one").latest().name == "step-00000001"
