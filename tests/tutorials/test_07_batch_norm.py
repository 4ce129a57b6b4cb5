"""Page 7 runs, and its statements are true."""

import numpy as np
import pytest

SMALL = {"early_steps": 3, "settling_steps": 1, "steps": 20, "width": 4, "rates": (0.1,), "depth": 3}


def mean_of_the_end(losses):
    return np.mean(losses[-20:])


def check_the_operation(page):
    errors = page["errors"]
    for name in ("BatchNorm", "ForgetsTheVariance", "ReturnsZero"):
        assert errors[name, "ones"] < 1e-7
    assert errors["BatchNorm", "random"] < 1e-7
    assert errors["ForgetsTheVariance", "random"] > 0.01
    assert errors["ReturnsZero", "random"] > 0.1
    assert abs(page["gx"].sum(page["AXES"])).max() < 1e-12
    remainder = abs((page["gx"] * page["xhat"]).sum(page["AXES"])).max()
    assert 1e-12 < remainder < 1e-4  # "not quite 0"


def check_the_running_variance(page):
    assert page["norm_of_four"].running_var.item() == pytest.approx(0.9 + 0.1 * page["unbiased"])
    assert page["normalized"].var() == pytest.approx(1, abs=1e-3)
    assert abs(page["unbiased"] - page["biased"]) > 0.1


def check_that_bias_and_scale_do_not_matter(page):
    assert abs(page["conv"].bias.grad.numpy()).max() < 1e-10
    length = {k: np.linalg.norm(g) for k, g in page["gradients"].items()}
    assert length[0.1] / length[1] == pytest.approx(10, rel=1e-2)
    assert length[10] / length[1] == pytest.approx(0.1, rel=1e-2)
    assert abs(page["outputs"][10] - page["outputs"][1]).max() < 1e-3
    assert abs(page["cosine"]) < 1e-4


def largest_effect_of_companions(page):
    """On probabilities, in training mode; in evaluation mode there is none."""
    p = page["probabilities"]
    companions = list(page["companions"])
    for name in companions:
        np.testing.assert_allclose(p["evaluation", name], p["evaluation", companions[0]], atol=1e-4)
    return max(abs(p["training", name] - p["training", companions[0]]).max() for name in companions)


def test_the_page_made_small(run_page):
    page = run_page("07_batch_norm", **SMALL)
    check_the_operation(page)
    check_the_running_variance(page)
    check_that_bias_and_scale_do_not_matter(page)
    assert largest_effect_of_companions(page) > 1e-3
    assert "needs more than one value" in page.output
    np.testing.assert_allclose(page["from_folded"], page["logits"], rtol=1e-3, atol=1e-3)


def test_the_solutions_made_small(run_page):
    page = run_page("solutions/07_batch_norm_solutions", early_steps=2, more_steps=2)
    np.testing.assert_allclose(page["noise"], page["noise"][0] * np.sqrt([1, 1 / 2, 1 / 8, 1 / 32]), rtol=0.3)


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("07_batch_norm")
    assert page.seconds < 90
    check_the_operation(page)
    check_the_running_variance(page)
    check_that_bias_and_scale_do_not_matter(page)
    assert largest_effect_of_companions(page) > 0.3
    gap = np.subtract(page["two_errors"].running, page["two_errors"].of_the_batch)
    assert gap[:50].mean() > 5  # an evaluation after a few steps says little
    assert page["settled_error"] < 10
    assert page["mixed_error"] < page["settled_error"] + 3  # "looks all right"
    assert page["sorted_error"] > 50
    assert page["later_error"] > page["settled_error"] + 10
    assert page["single_error"] > 50
    assert len(page["net"]) == 26
    assert len(page["folded_net"]) == 18
    ends = {key: mean_of_the_end(losses) for key, losses in page["losses"].items()}
    rates = page["rates"]
    assert ends[False, 1.0] > 2.2  # guessing
    assert all(ends[True, rate] < ends[False, rate] for rate in rates)
    assert all(ends[True, rate] < page["losses"][True, rate][0] - 0.2 for rate in rates)  # "learns"
    assert min(ends[True, rate] for rate in rates) < min(ends[False, rate] for rate in rates) / 5


@pytest.mark.slow
def test_the_solutions_at_full_length(run_page):
    page = run_page("solutions/07_batch_norm_solutions")
    assert page["exact_error"] < page["running_error"] - 5
    errors = page["errors"]
    assert errors[2] > errors[4] > errors[16] - 2 > errors[64] - 4
    assert errors[2] > errors[64] + 20
