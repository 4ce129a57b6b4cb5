"""Page 1 runs, and its statements are true."""

import numpy as np


def test_the_page(run_page):
    page = run_page("01_arrays")
    np.testing.assert_array_equal(page["softmax"](np.array([[1000, 1000]], np.float32)), [[0.5, 0.5]])
    assert page["slow"] > 20 * page["fast"]
    assert "x * np.sqrt(2): float64" in page.output


def test_the_solutions(run_page):
    page = run_page("solutions/01_arrays_solutions")
    assert page["wrong"] < 6  # "that is good"
    assert page["wrong_if_moved"] > 4 * page["wrong"]
