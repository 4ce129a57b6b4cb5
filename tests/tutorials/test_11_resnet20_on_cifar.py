"""Page 11 runs, and its statements are true."""

import numpy as np
import pytest


def check_what_holds_at_any_length(page, solutions):
    assert "269,722 parameters" in page.output
    assert "8,192,000 images: 163.8 times" in page.output  # "more than a hundred times"
    assert page["small"].drops == (8, 12)  # "to half and three quarters of the way"
    assert "batch 100, to the bit: True" in page.output
    assert "each image once an epoch: True" in page.output
    assert page["largest_difference"](page["complete"], page["resumed"]) == 0
    assert page["largest_difference"](page["complete"], page["forgetful"]) > 1e-2
    assert "           write leaves b'weights o'" in page.output
    assert "write_atomically leaves b'weights of step 100'" in page.output
    assert (page["on_digits"].crop_padding, page["on_digits"].flip) == (0, False)
    assert page["speed"] > 0
    assert len(set(page["errors"])) > 1
    assert solutions["difference"] == 0
    assert 0.9**40 < 0.02  # "about 1 %"


@pytest.mark.slow
def test_the_page_and_its_solutions(run_page):
    short = {"seeds": (0, 1), "digits_steps": 3, "cpu_steps": 1, "gpu_steps": 1}
    page = run_page("11_resnet20_on_cifar", length=4, rows=2, training_images=100, **short)
    solutions = run_page("solutions/11_resnet20_on_cifar_solutions", seeds=(0, 1), steps=2, stop_at=2)
    check_what_holds_at_any_length(page, solutions)


@pytest.mark.slow
def test_at_full_length(run_page):
    page = run_page("11_resnet20_on_cifar")
    assert page.seconds < 120
    steps, test = page["history"].series("test_error")
    drop = steps.index(page["short_recipe"].drops[0])
    assert test[0] > 80  # "near 90 %"
    assert np.ptp(np.diff(test[: drop + 1])) > 8  # "unevenly"
    first_fall = np.mean(test[drop - 2 : drop + 1]) - np.mean(test[drop + 1 : drop + 4])
    assert first_fall > 5  # "falls at once"
    assert abs(np.mean(test[15:]) - np.mean(test[12:15])) < 3  # "little is left to settle"
    assert page["at_the_end"] + 0.5 < page["augmented"] < page["own_statistics"] - 0.5
    assert abs(page["own_statistics"] - page["on_the_way"]) < 5  # "close"
    assert 0.3 < page["spread"]

    solutions = run_page("solutions/11_resnet20_on_cifar_solutions")
    check_what_holds_at_any_length(page, solutions)
    assert all(np.ptp(errors) > 0.5 for errors in solutions["errors"].values())  # "either of them is enough"
    assert solutions["error_after"] > 4 * solutions["error_before"]
    assert abs(solutions["error_at_end"] - solutions["undisturbed"].history.last("test_error")) < 1
