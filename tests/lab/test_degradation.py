"""The degradation experiment: its files, its verdict, its errors."""

import json
import os
import shutil
import signal

import pytest
from PIL import Image

from minires import data
from minires.errors import CheckpointError, OptionError, TrainingInterrupted, UnknownNameError
from minires.lab import degradation
from minires.lab.degradation import verdict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Depths 8 and 14 for two epochs: (folder, results, {net: (steps, reported steps)})."""
    out, steps = tmp_path_factory.mktemp("lab") / "out", {}

    def follow(name, total):
        steps[name] = (total, [])
        return lambda report: steps[name][1].append(report.step)

    results = degradation(depths=(14, 8), out=out, epochs=2, seed=4, follow=follow)
    return out, results, steps


def test_results_are_written_as_promised(finished):
    out, results, _ = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert (results["data"], results["seed"]) == ("digits", 4)
    assert list(results["nets"]) == ["plain8", "plain14", "resnet8", "resnet14"]
    for net in results["nets"].values():
        assert len(net["train_error"]) == len(net["test_error"]) == 2
        assert all(0 <= error <= 100 for error in net["train_error"] + net["test_error"])
        assert net["seconds"] > 0
    assert results["nets"]["plain8"]["parameters"] == results["nets"]["resnet8"]["parameters"]
    assert set(results["verdict"]) == {"plain_degrades", "residual_degrades"}


def test_all_nets_are_followed_to_the_end(finished):
    _, _, steps = finished
    for total, seen in steps.values():
        assert seen == list(range(1, total + 1))
    assert {total for total, _ in steps.values()} == {2 * 23}


def test_the_figure_is_wide_enough_for_two_panels(finished):
    with Image.open(finished[0] / "degradation.png") as figure:
        assert figure.width > 1.5 * figure.height
        assert figure.width > 1000


def test_the_nets_differ_by_their_shortcuts_alone(finished):
    out, _, _ = finished
    recipes = [
        json.loads((out / name / "recipe.json").read_text())["recipe"] for name in ("plain14", "resnet14")
    ]
    assert [recipe.pop("model") for recipe in recipes] == ["plain14", "resnet14"]
    assert recipes[0] == recipes[1]


def test_a_second_run_is_refused(finished):
    with pytest.raises(CheckpointError, match=r"already holds runs \(plain14, plain8"):
        degradation(depths=(8, 20), out=finished[0], epochs=2)


@pytest.mark.slow
def test_a_resumed_run_gives_the_same(finished):
    out, results, _ = finished
    assert degradation(depths=(8, 14), out=out, epochs=2, seed=4, resume=True) == results


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished experiment, for one test."""
    return shutil.copytree(finished[0], tmp_path / "out")


@pytest.mark.slow
def test_overwriting_starts_all_nets_anew_and_an_interrupted_one_can_be_resumed(copied):

    def follow(name, total):
        def interrupt(report):
            if (name, report.step) == ("plain14", 7):
                os.kill(os.getpid(), signal.SIGINT)

        return interrupt

    with pytest.raises(TrainingInterrupted, match="the run is saved"):
        degradation(depths=(8, 14), out=copied, epochs=2, overwrite=True, follow=follow)
    assert not (copied / "results.json").exists()
    results = degradation(depths=(8, 14), out=copied, epochs=2, resume=True)
    assert {len(net["train_error"]) for net in results["nets"].values()} == {2}


def test_a_wrong_depth_leaves_what_is_there(copied):
    with pytest.raises(OptionError, match="6n"):
        degradation(depths=(8, 15), out=copied, overwrite=True)
    assert (copied / "results.json").exists()


def nets(plain, residual):
    errors = {"plain20": plain[0], "plain56": plain[1], "resnet20": residual[0], "resnet56": residual[1]}
    return {name: {"train_error": [90.0, error]} for name, error in errors.items()}


@pytest.mark.parametrize(
    ("plain", "residual", "expected"),
    [
        ((6.8, 63.0), (0.3, 0.1), (True, False)),
        ((1.0, 1.9), (0.0, 0.0), (False, False)),
        ((5.0, 2.0), (0.1, 9.0), (False, True)),
    ],
)
def test_the_verdict_follows_the_final_training_errors(plain, residual, expected):
    found = verdict(nets(plain, residual))
    assert (found["plain_degrades"], found["residual_degrades"]) == expected


@pytest.mark.parametrize(
    ("depths", "message"),
    [
        ((18, 34), r"depth 18 is not 6n \+ 2 .*nearest are 14 and 20"),
        ((20, 0), r"depth must be a positive whole number"),
        # The next depths are 6n + 2, but the networks of these names have other layers.
        ((20, 50), "resnet50 is the name of another network .*take 44 or 56"),
        ((20, 152), "resnet152 is the name of another network"),
        ((20, 164), "resnet164 is the name of another network"),
        ((20, 200), "resnet200 is the name of another network"),
    ],
)
def test_depths_without_a_pair_of_cifar_nets_are_refused(tmp_path, depths, message):
    with pytest.raises(OptionError, match=message):
        degradation(depths=depths, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_bad_input(tmp_path):
    with pytest.raises(OptionError, match="6n"):
        degradation(depths=(8, 21), out=tmp_path)
    with pytest.raises(OptionError, match="two or more different"):
        degradation(depths=(8, 8), out=tmp_path)
    with pytest.raises(UnknownNameError, match="digits"):
        degradation("digts", out=tmp_path)
    assert not list(tmp_path.iterdir())
    assert data.DATASETS.keys() >= {"digits", "shapes", "cifar10"}
