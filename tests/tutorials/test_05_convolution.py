"""Page 5: loops, columns and gradients agree with the library, and a convolutional net bears shifts."""

import numpy as np
import pytest

from minires import Tensor
from minires.nn import functional as F

SMALL = {"epochs": 1, "shifts": (0, 2)}


def check_the_formulas(page):
    assert max(page["errors"]) < 1e-6
    assert page["memory_ratio"] == 9
    assert page["counts"].tolist()[:2] == [[4, 6, 6, 6, 4], [6, 9, 9, 9, 6]]
    assert page["slow"] > 10 * page["fast"]
    assert page["inside"] < 1e-12 < 0.01 < page["at_border"]
    generator = np.random.default_rng(1)
    x, W, b = (generator.standard_normal(shape) for shape in ((1, 2, 6, 7), (3, 2, 3, 2), 3))
    expected = F.conv2d(Tensor(x), Tensor(W), Tensor(b), stride=2, padding=1).numpy()
    np.testing.assert_allclose(page["conv"](x, W, b, 2, 1), expected, atol=1e-12)
    np.testing.assert_allclose(page["conv_loops"](x, W, b, 2, 1), expected, atol=1e-12)


def check_the_solutions(page):
    assert page["error"] < 1e-6
    assert page["after_two"] < 1e-12
    assert page["after_one"] > 1


def test_the_page(run_page):
    page = run_page("05_convolution", **SMALL)
    check_the_formulas(page)
    assert page["change"][2] < 1e-5  # invariant for any weights


def test_the_solutions(run_page):
    check_the_solutions(run_page("solutions/05_convolution_solutions", epochs=1))


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("05_convolution")
    check_the_formulas(page)
    mlp, convnet = (page["test_errors"][name] for name in ("MLP", "convolutional net"))
    assert mlp[0] < 20  # it has learned the digits,
    assert mlp[1] > 35  # "fails from the first pixel on"
    assert min(mlp[2:]) > 70
    assert convnet[0] < 12
    assert convnet[0] == convnet[1] == convnet[2]  # "the very same errors"
    assert max(convnet) < convnet[0] + 10  # "not many more"
    parameters = [sum(p.numel() for p in net.parameters()) for net in page["nets"].values()]
    assert parameters[0] > 2 * parameters[1]  # "half as many parameters"
    change = page["change"]
    assert max(change[1], change[2]) < 1e-5
    assert change[5] > 1e-3
    assert page.seconds < 90


@pytest.mark.slow
def test_the_solutions_at_full_length(run_page):
    page = run_page("solutions/05_convolution_solutions")
    check_the_solutions(page)
    assert page["flat_errors"][0] < 20 < 50 < page["flat_errors"][2]
