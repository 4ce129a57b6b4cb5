"""Page 3 runs, and its statements are true."""

import numpy as np
import pytest

from minires import models


@pytest.fixture
def page(run_page):
    return run_page("03_gradient_check", steps=20)


def test_the_nudges(page):
    """Which difference is how good, and where its error comes from."""
    nudges, errors = page["nudges"], page["errors"]
    r = {np.float64: 2.0**-53, np.float32: 2.0**-24}
    for (dtype, central), curve in errors.items():
        truncation = nudges**2 / 6 if central else nudges / 2
        large = (truncation > 100 * r[dtype] / nudges) & (nudges < 0.1)
        np.testing.assert_allclose(curve[large], truncation[large], rtol=0.05)
        small = (truncation < 0.01 * r[dtype] / nudges) & (nudges > 10 * r[dtype])
        assert small.sum() > 10
        ratio = curve[small] / (r[dtype] / nudges[small])
        assert ratio.min() > 0.1
        assert ratio.max() < 3
    np.testing.assert_array_equal(errors[np.float32, True][nudges < 1e-9], 1)  # the flat part
    best = min(errors, key=lambda case: errors[case].min())
    assert best == (np.float64, True)
    others = [curve.min() for case, curve in errors.items() if case != best]
    assert min(others) > 100 * errors[best].min()  # "by far"
    assert nudges[errors[best].argmin()] > page["eps"]
    # relative errors
    exact, differences = np.array([1, 1e-8]), np.array([1, 2e-8])
    assert page["relative_error"](exact, differences) < 1e-7
    assert "close? True" in page.output
    assert page["check"](page["F"].tanh, [0.1, 1.0, 10.0]) < 1e-9


def test_five_ways_to_be_fooled(page):
    differs = page["differs"]  # ones, y itself, random
    assert max(differs["Normalize"]) < 1e-7
    assert [d > 0.1 for d in differs["ForgetsMean"]] == [True, False, True]
    assert [d > 0.1 for d in differs["ForgetsDeviation"]] == [False, True, True]

    x = np.random.default_rng(0).standard_normal((6, 3))
    ((gx, _),) = page["compare"](page["Normalize"](), x, upstream=x)
    assert np.abs(gx).max() < 1e-3  # the weights of the inputs' own seed: "nearly vanishes"

    for right, wrong in page["in_float32"][:2]:
        assert wrong < 1.5 * right  # cannot be told apart
    assert any(wrong > 10 * right for right, wrong in page["in_float32"])
    right, wrong = page["in_float64"]
    assert wrong > 1e5 * right  # "far apart"

    assert "backward(): [1.] differences: [0.65]" in page.output
    assert "[[0.33333333 0.33333333 0.33333333 0.        ]] differences: [[0.5 0.5 0.5 0. ]]" in page.output
    assert page["one_side_error"] < 1e-8
    assert page["both_sides_error"] > 0.1

    cases = list(page["cases"].values())
    assert max(cases[::2]) < 1e-7
    assert min(cases[1::2]) > 0.1

    assert page["error_alone"] < 1e-8
    assert page["error_with_shortcut"] > 0.1
    # without the copy the upstream gradient would change, too
    x = page["Tensor"](page["both_sides"], requires_grad=True)
    upstream = np.ones(x.shape)
    page["in_residual"](x).backward(upstream)
    np.testing.assert_array_equal(upstream, page["both_sides"] > 0)


def test_directions(page):
    assert page["network_error"] < 1e-6
    expected = page["mistake"] / np.linalg.norm(page["norms"])
    assert expected / 5 < np.median(page["nine_errors"]) < 5 * expected
    assert max(page["nine_errors"]) < 1e-6  # all nine pass
    np.testing.assert_allclose(page["first_layer_error"], 0.5, atol=1e-3)
    assert sum(p.numel() for p in models.create("resnet20", generator=0).parameters()) == 269_722
    assert page["norms"][0] < 1e-5 * page["norms"][-1]
    # the library
    assert "gradcheck, input 0 at" in page.output
    assert page["error"] < 1e-6
    assert page["check"](page["Normalize"](), page["x"]) < 1e-8


@pytest.mark.slow
def test_a_wrong_gradient_learns_too(run_page):
    page = run_page("03_gradient_check")
    right, wrong = np.array(page["losses"]), np.array(page["wrong_losses"])
    assert wrong[-1] < 0.02 * wrong[0]
    assert (np.diff(wrong) < 0).mean() > 0.95
    assert wrong[-1] > 1.5 * right[-1]  # "only less far"
    assert page.seconds < 20


def test_the_solutions(run_page):
    page = run_page("solutions/03_gradient_check_solutions")
    assert page["found_wrong"] == {"Softmax": False, "OwnInputOnly": True, "EqualWeights": True}
    assert page["with_ones"]["EqualWeights"] < 1e-12
    assert page["with_ones"]["OwnInputOnly"] > 0.1
    tiny = page["steps"] < 1e-9
    assert max(np.array(page["complex_step"])[tiny]) < 1e-15
    assert "wrong is layer 7" in page.output
    errors = sorted(page["errors"])
    assert errors[-1] > 1e3 * errors[-2]
