"""Page 10 runs, and its statements are true: with shortcuts, 56 layers train as well as 20."""

import numpy as np
import pytest


def test_the_page_in_short(run_page):
    page = run_page("10_residual_block", epochs=1, batch_size=720, depths=(8, 14), further_epochs=1)
    assert "A: 269,722 + 0 = 269,722" in page.output
    assert "B: 269,722 + 2,752 = 272,474" in page.output
    assert "C: 269,722 + 14,240 = 283,962" in page.output
    assert page["difference"] == 0
    assert "convolution: 0.0" in page.output
    assert page["gradient_error"] > 0.1
    assert page["cost"]["second"] == 2 * page["cost"]["first"]
    assert len(page["change"]["residual", 14]) == 4  # of six blocks, two change the shape


def test_the_solutions_in_short(run_page):
    solutions = run_page(
        "solutions/10_residual_block_solutions", epochs=1, batch_size=720, deep_name="resnet8"
    )
    assert solutions["error_of_repaired"] == pytest.approx(solutions["error_of_net"], abs=0.3)  # one image


@pytest.mark.slow
def test_the_page(run_page):
    page = run_page("10_residual_block")
    assert page.seconds < 120
    final = {net: errors[-1] for net, errors in page["curves"].items()}
    assert final["plain", 20][0] < 3
    assert final["plain", 56][0] > 50  # "fails"
    assert final["residual", 20][0] < 1
    assert final["residual", 56][0] < 2  # "and learns"
    assert page["difference"] == 0
    assert page["error_of_built"] == final["residual", 20][0]
    assert page["training_error"] < 2  # trained on
    assert abs(page["new_block"].bn2.weight.numpy()).min() > 0  # the new blocks have moved

    assert page["growth"]["plain"] > 10 * page["growth"]["residual"]  # "grows far less"
    assert all(residual < plain for residual, plain in later(page["mixed"]))
    assert page["mixed"]["plain"][14] > 2 * page["mixed"]["residual"][14]  # "survives far longer"

    change = {net: np.median(values) for net, values in page["change"].items()}
    assert 0.7 < change["plain", 20] < 1.5  # "as large as the input itself"
    assert change["residual", 56] < 0.7 * change["residual", 20] < 0.5 * change["plain", 20]
    scale = np.concatenate(
        [p.numpy() for name, p in page["nets"]["residual", 56].named_parameters() if "bn2.weight" in name]
    )
    assert 0.8 < np.median(abs(scale)) < 1.2  # "it takes longer than our few epochs to move far from there"

    assert page["mean_before"] > 2 * page["mean_after"]
    assert page["gradient_error"] > 0.1
    assert page["error_of_moved"] > 30 + page["error_of_shallow"]


def later(mixed):
    """The two errors of each block behind the first ten."""
    return list(zip(mixed["residual"], mixed["plain"], strict=True))[10:]


@pytest.mark.slow
def test_the_solutions(run_page):
    solutions = run_page("solutions/10_residual_block_solutions")
    assert "1,704,154 and 1,704,154 parameters" in solutions.output
    assert solutions["curves"]["x / 2"][-1] > 20 + solutions["curves"]["x"][-1]
    assert solutions["error_of_moved"] > 30 + solutions["error_of_net"]
    assert solutions["error_of_repaired"] == pytest.approx(solutions["error_of_net"], abs=0.3)
