"""Page 6 runs, and its statements are true."""

import numpy as np
import pytest

from minires import Tensor
from minires.errors import ShapeError
from minires.nn import functional as F


def check_what_holds_at_any_length(page):
    """The exact statements about pooling, and the shares of the networks' parameters."""
    assert "backward() says" in page["tie_message"]
    np.testing.assert_array_equal(page["tie"].grad.numpy(), [[[[1, 0], [0, 0]]]])
    assert page["leaf"].grad.sum().item() == 9 > page["naive"].sum()
    assert page["counts"].tolist() == [3, 0, 1]
    assert page["wrong_counts"].tolist() == [1, 0, 1]
    assert page["shares"]["alexnet"] > 90
    assert "48 x 40: linear: input" in page.output
    np.testing.assert_array_equal(page["by_two"], np.roll(page["pooled"], 1, axis=3))
    assert (page["by_one"] == page["pooled"]).mean() < 0.6
    np.testing.assert_allclose(page["means"], page["x"].mean(axis=(2, 3)))
    assert page["difference"] < 1e-4


def sizes_agree(output_size):
    """The page's formula against the library, for all small windows."""
    for H in range(1, 10):
        x = Tensor(np.zeros((1, 1, H, H), np.float32))
        for size, stride, padding, ceil_mode in np.ndindex(4, 4, 3, 2):
            options = size + 1, stride + 1, min(padding, (size + 1) // 2), bool(ceil_mode)
            try:
                expected = F.max_pool2d(x, *options[:3], ceil_mode=options[3]).shape[2]
            except ShapeError:
                expected = 0
            assert max(output_size(H, *options), 0) == expected, (H, options)


def test_the_page_made_small(run_page):
    page = run_page("06_pooling", epochs=0, networks=("alexnet",))
    check_what_holds_at_any_length(page)
    sizes_agree(page["output_size"])


def test_the_solutions_made_small(run_page):
    page = run_page("solutions/06_pooling_solutions", epochs=0)
    assert "values and gradient agree" in page.output
    assert page["bounds"](7, 3) == [(0, 3), (2, 5), (4, 7)]
    below = page["below"]
    assert below == sorted(below, reverse=True)
    assert below[-1] < 0.05


@pytest.mark.slow
def test_the_page(run_page):
    page = run_page("06_pooling")
    check_what_holds_at_any_length(page)
    assert page["edges"].max() == page["max_pool"](page["edges"], 4, 4).max()  # "keeps the full strength"
    assert page["avg_pool"](page["edges"], 4, 4).max() < page["edges"].max() / 2  # "fades"
    assert page["shares"]["vgg16"] > 50
    assert page["shares"]["resnet50"] < 10
    errors = page["errors"]
    increase = {name: moved - unmoved for name, (unmoved, moved) in errors.items()}
    assert increase["no pool"] > 35
    assert increase["no pool"] > increase["maximum 2 x 2"] + 5 > increase["maximum 4 x 4"] + 10
    assert increase["average 4 x 4"] > increase["maximum 4 x 4"] + 5
    assert increase["maximum 4 x 4"] > 10
    assert max(increase["global maximum"], increase["global average"]) < 3
    assert errors["global average"][0] > errors["global maximum"][0] + 8
    assert page.seconds < 60


@pytest.mark.slow
def test_the_solutions(run_page):
    page = run_page("solutions/06_pooling_solutions")
    errors = page["errors"]
    for pool in ("global average", "global maximum"):
        steady, strided = errors[pool, False], errors[pool, True]
        assert steady[1] < steady[0] + 3
        assert strided[0] < 45  # "far better than guessing"
        assert strided[1] > 45  # "about half the time, or more"
    assert page["by_one"] > 1 > 1e-4 > page["by_two"]
