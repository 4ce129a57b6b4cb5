"""Page 8 runs, and its statements are true."""

import math

import numpy as np
import pytest

SMALL = {
    "depth": 4,
    "steps": 5,
    "rates": (0.001, 0.01),
    "decay_steps": 5,
    "draws": 2,
    "sweep": (0.001, 0.003, 0.01, 0.03, 0.1),
    "sweep_steps": 3,
    "drop_at": 4,
    "drop_steps": 10,
    "warm_steps": 2,
    "late_steps": 4,
}


def check_the_sizes(page, within):
    for name, gain in page["gains"].items():
        activations, gradients = page["measured"][name]
        layers = np.arange(page["depth"])
        factor = (gain / 2) ** (layers / 2)
        np.testing.assert_allclose(activations[:-1], math.sqrt(gain) * factor, rtol=within)
        np.testing.assert_allclose(gradients[:-1], gradients[-2] * factor[::-1], rtol=within)


def check_momentum_in_the_valley(page):
    distance = {name: np.hypot(*path[-1]) for name, path in page["paths"].items()}
    slow, zigzag, momentum = distance.values()
    assert momentum < zigzag / 3 < slow / 9


def test_the_page_made_small(run_page):
    page = run_page("08_training", **SMALL)
    assert page["before"] == pytest.approx(2, rel=0.05)
    assert page["behind"] == pytest.approx(1, rel=0.05)
    check_the_sizes(page, within=0.5)
    check_momentum_in_the_valley(page)
    assert "the same weights as the library's" in page.output
    assert "step 48,000: 0.0010" in page.output


def test_the_solutions(run_page):
    page = run_page("solutions/08_training_solutions", channels=32, nets=2, layers=4)
    assert page["after_drop"][True] > 3 * page["after_drop"][False]
    assert page["expected"][1] == pytest.approx((22 / 24) ** 2)
    assert page["measured"][1] == pytest.approx(page["expected"][1], rel=0.2)


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("08_training")
    assert page.seconds < 60
    check_the_sizes(page, within=1.0)
    check_momentum_in_the_valley(page)
    check_training_from_each_start(page)
    check_decay_and_noise(page)
    check_the_sweep(page)
    check_the_drop(page)
    assert not math.isfinite(page["cold"][-1]) or page["at_the_end"](page["cold"]) > 2
    assert np.mean(page["warm"][: page["warm_steps"]][-20:]) < 0.6
    assert page["at_the_end"](page["warm"]) > 2  # lost again


def check_training_from_each_start(page):
    ends = {key: page["at_the_end"](losses) for key, losses in page["runs"].items()}
    for rate in page["rates"]:
        assert ends["too small", rate] == pytest.approx(math.log(10), abs=0.02)
        assert ends["Xavier", rate] > 2
        assert len(page["runs"]["too large", rate]) < 10
    assert ends["He", page["rates"][1]] < 1


def check_decay_and_noise(page):
    lengths = page["lengths"]
    none, little, much = (lengths[decay][-1] for decay in page["decays"])
    assert none > lengths[0][0]  # the loss pulls the other way
    assert none > little > much > page["decay_alone"][-1]
    assert page["noise"] == pytest.approx([page["noise"][0] / 2**k for k in range(4)], rel=0.25)


def check_the_sweep(page):
    for losses in page["ends"].values():
        lowest = int(np.argmin(losses))
        assert 2 < lowest < len(losses) - 2
        assert losses[lowest + 2] > 10 * losses[lowest]  # nine times the best rate
        assert losses[lowest] < 0.05
        assert losses[0] > 1
        assert losses[-1] > 2
    assert page["best"][0.9] < page["best"][0] / 2


def check_the_drop(page):
    drop = page["drop_at"] // 5
    without_drop, with_drop = np.array(page["without_drop"]), np.array(page["with_drop"])
    np.testing.assert_array_equal(without_drop[: drop + 1], with_drop[: drop + 1])
    before, after = with_drop[drop - 20 : drop + 1], with_drop[drop + 4 :]
    assert np.median(after) < np.median(before) / 2
    assert after.max() < before.mean()
    assert np.median(after) < np.median(without_drop[drop + 4 :]) / 1.3


@pytest.mark.slow
def test_the_solutions_at_full_length(run_page):
    page = run_page("solutions/08_training_solutions")
    assert page["measured"][-1] == pytest.approx(page["expected"][-1], rel=0.35)
    assert page["expected"][-1] < 0.5  # "most of its signal"
