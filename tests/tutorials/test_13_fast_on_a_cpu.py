"""Page 13: every rung computes the same convolution, and the times differ as the page says."""

import numpy as np
import pytest

from minires import Tensor
from minires.nn import functional as F

SMALL = {"N": 8, "side": 300, "largest": 14, "large": 2**20, "images": 4, "rounds": 1}


def check_the_rungs(page):
    """Each version against the library, with other inputs and weights than those of the page."""
    generator = np.random.default_rng(3)
    x = generator.standard_normal(page["x"].shape, dtype=np.float32)
    w = generator.standard_normal(page["w"].shape, dtype=np.float32)
    expected = F.conv2d(Tensor(x), Tensor(w), padding=1).numpy()
    pixels = page["to_pixel_order"](x)
    for name in ("columns_at_once", "shifted"):
        np.testing.assert_allclose(page[name](x, w), expected, rtol=1e-3, atol=1e-3)
    for name in ("without_columns", "in_kept_memory", "winograd"):
        y = page["to_image_order"](page[name](pixels, w))
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


def check_the_solutions(page):
    assert page["difference"] < 1e-12
    assert page["error"] < 1e-10


def test_the_page(run_page):
    page = run_page("13_fast_on_a_cpu", **SMALL)
    check_the_rungs(page)
    assert page["ladder"]["loops"] > 10 * page["ladder"]["columns of the batch"]


def test_the_solutions(run_page):
    check_the_solutions(run_page("solutions/13_fast_on_a_cpu_solutions", numbers=2**16))


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("13_fast_on_a_cpu")
    check_the_rungs(page)
    ladder = page["ladder"]
    assert ladder["loops"] > 60  # "minutes for the batch"
    assert ladder["loops"] > 100 * ladder["columns of the batch"]
    assert ladder["columns of the batch"] > 2 * ladder["memory used again"]
    assert ladder["one weight, whole map"] > 1.2 * ladder["columns of the batch"]
    assert ladder["columns in blocks"] > 1.5 * ladder["no columns"]  # "most of what is left"
    assert page["faults"]["fresh memory"] >= page["faults"]["used again"]
    assert page["gain"]["in Python"] < 1.6
    assert max(page["speeds"]) > 1.5 * page["speeds"][-1]  # "the speed falls"
    assert page["columns_bytes"] == 9 * page["x"].nbytes
    assert page.seconds < 100


@pytest.mark.slow
def test_the_solutions_at_full_length(run_page):
    page = run_page("solutions/13_fast_on_a_cpu_solutions")
    check_the_solutions(page)
    assert page["milliseconds"][0] > 1.5 * min(page["milliseconds"])  # "many calls"
