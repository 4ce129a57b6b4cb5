"""Page 7 runs, and what its prose says is so."""

import numpy as np
import pytest

SMALL = {"early_steps": 3, "settling_steps": 1, "steps": 20, "width": 4, "rates": (0.1,), "depth": 3}


def mean_of_the_end(losses):
    return np.mean(losses[-20:])


def the_operation_is_right(page):
    errors = page["errors"]
    for name in ("BatchNorm", "ForgetsTheVariance", "ReturnsZero"):
        assert errors[name, "ones"] < 1e-7
    assert errors["BatchNorm", "random"] < 1e-7
    assert errors["ForgetsTheVariance", "random"] > 0.01
    assert errors["ReturnsZero", "random"] > 0.1
    assert abs(page["gx"].sum(page["AXES"])).max() < 1e-12
    left = abs((page["gx"] * page["xhat"]).sum(page["AXES"])).max()
    assert 1e-12 < left < 1e-4  # "not quite 0"


def the_running_variance_is_unbiased(page):
    assert page["of_few"].running_var.item() == pytest.approx(0.9 + 0.1 * page["unbiased"])
    assert page["normalized"].var() == pytest.approx(1, abs=1e-3)
    assert abs(page["unbiased"] - page["biased"]) > 0.1


def bias_and_scale_do_not_matter(page):
    assert abs(page["conv"].bias.grad.numpy()).max() < 1e-10
    length = {s: np.linalg.norm(g) for s, g in page["gradients"].items()}
    assert length[0.1] / length[1] == pytest.approx(10, rel=1e-2)
    assert length[10] / length[1] == pytest.approx(0.1, rel=1e-2)
    assert abs(page["outputs"][10] - page["outputs"][1]).max() < 1e-3
    assert abs(page["cosine"]) < 1e-4


def a_prediction_depends_on_its_company_in_training_mode_only(page):
    p = page["probabilities"]
    companies = list(page["companies"])
    for company in companies:
        np.testing.assert_allclose(p["evaluation", company], p["evaluation", companies[0]], atol=1e-4)
    return max(abs(p["training", company] - p["training", companies[0]]).max() for company in companies)


def test_the_page_made_small(run_page):
    page = run_page("07_batch_norm", **SMALL)
    the_operation_is_right(page)
    the_running_variance_is_unbiased(page)
    bias_and_scale_do_not_matter(page)
    assert a_prediction_depends_on_its_company_in_training_mode_only(page) > 1e-3
    assert "needs more than one value" in page.output
    np.testing.assert_allclose(page["from_folded"], page["logits"], rtol=1e-3, atol=1e-3)


def test_the_solutions_made_small(run_page):
    page = run_page("solutions/07_batch_norm_solutions", early_steps=2, more_steps=2)
    np.testing.assert_allclose(page["noise"], page["noise"][0] * np.sqrt([1, 1 / 2, 1 / 8, 1 / 32]), rtol=0.3)


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("07_batch_norm")
    assert page.seconds < 90
    the_operation_is_right(page)
    the_running_variance_is_unbiased(page)
    bias_and_scale_do_not_matter(page)
    assert a_prediction_depends_on_its_company_in_training_mode_only(page) > 0.3
    gap = np.subtract(page["two"].running, page["two"].of_the_batch)
    assert gap[:50].mean() > 5  # an evaluation after a few steps says little
    assert page["settled"] < 10
    assert page["mixed"] < page["settled"] + 3  # "looks all right"
    assert page["wrong"] > 50
    assert page["afterwards"] > page["settled"] + 10
    assert page["alone"] > 50
    assert len(page["net"]) == 26
    assert len(page["short"]) == 18
    ends = {key: mean_of_the_end(losses) for key, losses in page["losses"].items()}
    rates = page["rates"]
    assert ends[False, 1.0] > 2.2  # guessing
    assert all(ends[True, rate] < ends[False, rate] for rate in rates)
    assert all(ends[True, rate] < page["losses"][True, rate][0] - 0.2 for rate in rates)  # "learns"
    assert min(ends[True, rate] for rate in rates) < min(ends[False, rate] for rate in rates) / 5


@pytest.mark.slow
def test_the_solutions_at_full_length(run_page):
    page = run_page("solutions/07_batch_norm_solutions")
    assert page["exact"] < page["late"] - 5
    errors = page["errors"]
    assert errors[2] > errors[4] > errors[16] - 2 > errors[64] - 4
    assert errors[2] > errors[64] + 20
