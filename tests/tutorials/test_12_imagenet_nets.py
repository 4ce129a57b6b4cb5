"""Page 12 runs, and its statements are true."""

import numpy as np
import pytest


def check_what_holds_at_any_length(page, solutions):
    assert page["sizes"] == [56, 28, 14, 7]
    assert page["stem"] == 112
    assert set(page["PAPER"]) == set(page["TABLE"])
    for depth, figure in page["PAPER"].items():  # "cut or rounded to one decimal"
        _, multiply_adds = sum(page["count"](depth).values())
        assert figure / 1e9 in (int(multiply_adds / 1e8) / 10, round(multiply_adds / 1e9, 1))

    assert page["bottleneck_256"] < page["basic_64"]
    assert round(page["basic_256"] / page["bottleneck_256"]) == 17
    assert 1.9 < (256 * 256 + page["bottleneck_256"]) / page["bottleneck_256"] < 2  # "nearly double"
    for depth in (18, 50):  # "parameters gather at the end, computation does not"
        costs = page["count"](depth)
        parameters, multiply_adds = costs["layer4"] / sum(costs.values())
        assert parameters > 0.5
        assert multiply_adds < 0.25
    blocks = [
        page["bottleneck_block"](4 * width, width, H, 1)[0][1]
        for width, H in zip(page["WIDTHS"], page["sizes"], strict=True)
    ]
    assert len(set(blocks)) == 1  # "what a block costs to compute stays the same"

    assert page["used_pixels"](True).mean() == 0.25
    assert page["used_pixels"](False).all()
    assert "loaded: True" in page.output
    assert "missing fc.weight; missing fc.bias; unexpected linear.bias" in page.output
    assert "fc.weight has shape (10, 64), not (100, 64)" in page.output
    assert (page["stored"].size, page["photo"].size) == ((640, 480), (480, 640))
    assert page["difference"] <= 1  # "by a level"
    assert page["shapes"]["layer4"] == (1, 2048, 7, 7)
    np.testing.assert_allclose(page["p"], page["p_by_hand"], atol=1e-6)
    assert "as in the library" in solutions.output


@pytest.mark.slow
def test_the_page_and_its_solutions(run_page):
    page = run_page("12_imagenet_nets", steps=2)
    solutions = run_page("solutions/12_imagenet_nets_solutions", steps=2, forward_steps=2)
    check_what_holds_at_any_length(page, solutions)


@pytest.mark.slow
def test_at_full_length(run_page):
    page = run_page("12_imagenet_nets")
    assert page.seconds < 60
    assert page["right_error"] < 10
    assert 30 < page["wrong_error"] < 80  # "far worse, and still better than guessing"
    assert page["best"][0].label == page["digits"].test.labels[page["test_index"]]

    solutions = run_page("solutions/12_imagenet_nets_solutions")
    check_what_holds_at_any_length(page, solutions)
    assert solutions["as_trained"] + 20 < solutions["measured_anew"] < solutions["as_loaded"] - 3
