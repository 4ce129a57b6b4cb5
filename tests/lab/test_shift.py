"""The experiment on shifted digits: its shifts, its results, its files."""

import json
from functools import cache

import numpy as np
import pytest
from PIL import Image

from minires import Tensor, data, no_grad
from minires.errors import OptionError
from minires.lab import shift_experiment
from minires.lab.shift import DIRECTIONS, bordered, build_nets, describe_errors, shifted, verdict
from minires.plot import shift as figure_of_shift


@cache
def experiment(folder, seed):
    """With 8 epochs instead of 15: (folder, results, [(name, steps, reports)])."""
    out, followed = folder / f"seed{seed}" / "new" / "folder", []

    def follow(name, steps):
        followed.append((name, steps, []))
        return followed[-1][2].append

    return out, shift_experiment(out, seed, epochs=8, follow=follow), followed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shift")


@pytest.fixture
def finished(folder):
    return experiment(folder, 0)


SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2)))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flat_vector_is_brittle_and_a_convolution_is_not(folder, seed):
    _, results, _ = experiment(folder, seed)
    nets = results["nets"]
    mlp, convnet = (np.array(nets[name]["test_error"]) for name in ("mlp", "convnet"))
    assert max(mlp[0], convnet[0]) < 15
    assert mlp[1] - mlp[0] > 35
    assert mlp[2] - mlp[0] > 65
    assert convnet[1] - convnet[0] < 8
    assert convnet[2] - convnet[0] < 20
    assert results["verdict"] == {"mlp_brittle": True, "convnet_brittle": False}


@pytest.mark.parametrize("seed", SEEDS)
def test_both_nets_are_as_large_and_learn_the_digits(folder, seed):
    _, results, _ = experiment(folder, seed)
    mlp, convnet = results["nets"]["mlp"], results["nets"]["convnet"]
    assert (mlp["parameters"], convnet["parameters"]) == (4970, 4975)
    assert max(mlp["train_error"], convnet["train_error"]) < 5


def test_files_are_written(finished):
    out, results, _ = finished
    assert json.loads((out / "results.json").read_text()) == results
    assert (results["data"], results["seed"], results["shifts"]) == ("digits", 0, [0, 1, 2])
    with Image.open(out / "shift.png") as figure:
        assert figure.format == "PNG"
        assert figure.width > 900


def test_both_nets_are_followed(finished):
    for name, steps, reports in finished[2]:
        assert name in ("mlp", "convnet")
        assert steps == 8 * 23
        assert [report.step for report in reports] == list(range(23, steps + 1, 23))
        assert reports[-1].loss < reports[0].loss
        assert reports[-1].train_error == finished[1]["nets"][name]["train_error"]


def test_the_same_seed_gives_the_same_and_another_one_does_not(tmp_path):
    first, again, other = (shift_experiment(tmp_path, seed, epochs=1) for seed in (3, 3, 4))
    assert first == again
    assert first["nets"] != other["nets"]


def test_the_figure_shows_a_line_for_each_net(finished, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figure_of_shift, "save", lambda figure, path: drawn.append(figure))
    results = finished[1]
    figure_of_shift.plot_shift(results, tmp_path / "shift.png")
    (axes,) = drawn[0].axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["MLP, 4,970 parameters", "convolutional net, 4,975 parameters"]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for label, net in zip(labels, results["nets"].values(), strict=True):
        assert list(lines[label].get_xdata()) == [0, 1, 2]
        assert list(lines[label].get_ydata()) == net["test_error"]


@pytest.mark.parametrize(
    ("down", "right", "expected"),
    [
        (0, 0, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (1, 0, [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
        (-2, 0, [[7, 8, 9], [0, 0, 0], [0, 0, 0]]),
        (0, 1, [[0, 1, 2], [0, 4, 5], [0, 7, 8]]),
        (0, -2, [[3, 0, 0], [6, 0, 0], [9, 0, 0]]),
        (1, -1, [[0, 0, 0], [2, 3, 0], [5, 6, 0]]),
    ],
)
def test_zeros_move_in(down, right, expected):
    image = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3)
    moved = shifted(image, down, right)
    assert moved.dtype == np.uint8
    assert moved[0, 0].tolist() == expected


def test_no_pixel_of_a_digit_is_lost():
    split = data.digits().test
    larger = bordered(split)
    assert larger.images.shape == (360, 1, 12, 12)
    for down, right in DIRECTIONS:
        moved = shifted(larger.images, 2 * down, 2 * right)
        back = moved[:, :, 2 + 2 * down : 10 + 2 * down, 2 + 2 * right : 10 + 2 * right]
        np.testing.assert_array_equal(back, split.images)
        assert moved.sum(dtype=int) == split.images.sum(dtype=int)


def test_away_from_the_border_a_shift_changes_nothing_for_the_convolutional_net(rng):
    """Its errors in the experiment come from the border, also with biases. The MLP changes everywhere."""
    nets = build_nets(18, seed=0)
    image = np.pad(data.digits().test.images[:20], ((0, 0), (0, 0), (5, 5), (5, 5))) / 255
    changes = {}
    for name, net in nets.items():
        for p in net.to("float64").parameters():
            p.data += rng.normal(0, 0.1, p.shape)
        with no_grad():
            y, moved = (net(Tensor(x)).numpy() for x in (image, shifted(image, 2, -2)))
        changes[name] = np.abs(y - moved).max() / np.abs(y).max()
    assert changes["convnet"] < 1e-12
    assert changes["mlp"] > 0.1


def test_the_verdict_and_the_sentence_follow_the_errors():
    nets = {"mlp": {"test_error": [9.0, 55.04, 90.0]}, "convnet": {"test_error": [5.0, 15.0, 20.0]}}
    assert verdict(nets) == {"mlp_brittle": True, "convnet_brittle": False}
    assert verdict({"mlp": nets["convnet"], "convnet": nets["mlp"]}) == {
        "mlp_brittle": False,
        "convnet_brittle": True,
    }
    assert describe_errors(nets) == (
        "A shift by 1 or 2 pixels takes an MLP's error from 9.0 % to 55.0 or 90.0 %, "
        "a convolutional net's from 5.0 % to 15.0 or 20.0 %."
    )


def test_no_epoch_is_refused(tmp_path):
    with pytest.raises(OptionError, match="at least 1"):
        shift_experiment(tmp_path, epochs=0)
