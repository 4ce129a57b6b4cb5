"""Page 4 runs, and its statements are true."""

import numpy as np
import pytest

from minires import data

SMALL = {"epochs": 2, "steps": 60, "counts": (50, 1437), "shift_epochs": 1}
SMALL_SOLUTIONS = {"epochs": 2, "epochs_by_heart": 5, "steps": 20, "seeds": 2, "passes": 1}


def check_what_holds_at_any_length(page):
    """Derivations, and what follows from them exactly."""
    assert "images: 0.0" in page.output  # the likelihood underflows
    np.testing.assert_allclose(page["losses"][0], np.log(10), rtol=1e-6)
    assert max(page["loss_gaps"]) < 1e-5
    W, never_inked = page["W"], (page["x"] == 0).all(axis=0)
    assert never_inked.any()
    assert not W[:, never_inked].any()
    assert abs(W.sum(axis=0)).max() < 1e-4 * page["limit"]
    np.testing.assert_array_equal((page["h"] @ page["w2"] + page["b2"]) > 0, page["exactly_one"])
    gradients = {name: abs(p.grad.numpy()).max() for name, p in page["stuck"].named_parameters()}
    assert gradients.pop("3.bias") > 0
    assert set(gradients.values()) == {0}
    assert page["confusion"].sum() == 360


def test_the_page_made_small(run_page):
    page = run_page("04_linear_and_mlp", **SMALL)
    check_what_holds_at_any_length(page)
    assert page["xor_errors"][0] > 20  # at least one corner in four
    assert page["test_error"] < 40


def test_the_solutions_made_small(run_page):
    page = run_page("solutions/04_linear_and_mlp_solutions", **SMALL_SOLUTIONS)
    assert "loss and four gradients agree" in page.output
    assert page["by_hand"] < 40


@pytest.mark.slow
def test_the_page(run_page):
    page = run_page("04_linear_and_mlp")
    check_what_holds_at_any_length(page)
    template = page["W"][0].reshape(8, 8)
    assert template[3:5, 3:5].mean() < 0 < template[2:6, 2].mean()  # 0: no ink in the middle, ink around

    linear, with_hidden_units = page["xor_errors"]
    assert linear > 35
    assert with_hidden_units < 2
    probabilities = page["F"].softmax(page["linear_net"](page["Tensor"](page["points"]))).numpy()
    assert abs(probabilities - 0.5).max() < 0.1

    (_, linear_test), (mlp_training, mlp_test) = (errors[-1] for errors in page["curves"].values())
    assert mlp_training < 0.2  # "to zero"
    assert linear_test > 5  # "well above it"
    assert mlp_test > 5
    few_errors = page["few_errors"]
    assert few_errors[:, 0].max() < 0.5
    assert few_errors[0, 1] > 2 * few_errors[-1, 1]

    table = page["table"]
    assert abs(table[2, 2] - mlp_test) < 3  # "as before"
    by_one, by_two = (
        np.mean([table[2 - n, 2], table[2 + n, 2], table[2, 2 - n], table[2, 2 + n]]) for n in (1, 2)
    )
    assert 40 < by_one < 70  # "about half"
    assert by_two > 80  # "nine times in ten"
    assert page["farther"] > 95
    assert page["wrong_shifts"].max() == 4

    nets = page["results"]["nets"]
    assert abs(nets["mlp"]["parameters"] - nets["convnet"]["parameters"]) < 10
    assert nets["mlp"]["test_error"][1] > 4 * nets["convnet"]["test_error"][1]
    assert page.seconds < 60


@pytest.mark.slow
def test_an_mlp_learns_as_well_from_shuffled_pixels(run_page):
    page = run_page("04_linear_and_mlp", **SMALL)
    order = np.random.default_rng(0).permutation(64)

    def shuffled(split):
        images = split.images.reshape(-1, 64)[:, order].reshape(split.images.shape)
        return data.Split(images, split.labels)

    train, test = (shuffled(part) for part in (page["digits"].train, page["digits"].test))
    in_order, shuffled_error = (
        page["fit"](page["mlp"](64), split, 20, test=part)[-1, 1]
        for split, part in ((page["digits"].train, page["digits"].test), (train, test))
    )
    assert abs(in_order - shuffled_error) < 3


@pytest.mark.slow
def test_the_solutions(run_page):
    page = run_page("solutions/04_linear_and_mlp_solutions")
    assert page["by_hand"] < 12
    assert page["heart_error"] == 0
    assert page["heart_test"] > 75
    successes = page["successes"]
    assert successes[2] < successes[4] < successes[8] == 20
    assert successes[2] < 15
    (middle, by_one, _), (shown_middle, shown_by_one, shown_by_two) = page["errors"].values()
    assert shown_middle < middle + 2
    assert shown_by_one < by_one / 3
    assert shown_by_two > 3 * shown_by_one
