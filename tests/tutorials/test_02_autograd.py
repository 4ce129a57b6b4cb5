"""Page 2 runs, and its statements are true."""

import numpy as np
import pytest

from minires import Tensor, models, no_grad


def test_the_page(run_page):
    page = run_page("02_autograd", doublings=8, steps=60)
    output = page.output
    assert "L = 8.0, da = -2.0, db = 4.0, dc = 2.0" in output
    assert "gradients of a, b, c: [-2.0, 4.0, 2.0]" in output
    for n in (1, 2, 3, 4, 8):
        assert f"{n:9} {2 ** (n + 1) - 1:7,}" in output
    assert "RecursionError: maximum recursion depth" in output
    assert "y = b + c: the derivative for a is 12\ny = c + b: the derivative for a is 2\n" in output
    a = next(node for node, place in page["places"].items() if place == (0, 0))
    right, wrong = page["right"], page["wrong"]
    assert (right[a], wrong[a]) == (12, 2)  # as drawn
    assert "1,000 doublings: 1,001 visits\nthe gradient is 2 to the power of 1000.0\n" in output
    assert "a, b, c: -2.0 4.0 2.0\nafter a second walk: -4.0 8.0 4.0" in output
    assert "x -= y" in output
    assert "the graph was freed" in output
    assert "mul: backward() needs an array that has changed" in output
    assert "[5.e+20] gradients: [0.6] [0.8]\n[inf] gradients: [0.] [0.]" in output


def test_the_page_differentiates_a_network_of_its_own(run_page, rng):
    """Other shapes than those of the page, one broadcast along each kind of axis."""
    page = run_page("02_autograd", doublings=2, steps=1)
    values = [rng.standard_normal(shape) for shape in [(5, 3), (3, 4), (5, 1), (4,), ()]]
    gradients = []
    for make in (page["Array"], lambda value: Tensor(value, requires_grad=True)):
        x, W, a, b, c = inputs = [make(value) for value in values]
        y = ((x @ W * a + b).relu() * c + a).sum()
        if make is page["Array"]:
            gradient_of = page["array_backward"](y)
            gradients.append([gradient_of[array] for array in inputs])
        else:
            y.backward()
            gradients.append([tensor.grad for tensor in inputs])
    for gradient, expected, value in zip(*gradients, values, strict=True):
        assert np.shape(gradient) == value.shape
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


def test_the_solutions(run_page):
    page = run_page("solutions/02_autograd_solutions", steps=60)
    assert "[0.5 0.5 0. ]" in page.output
    assert "gradients: [0.  0.5 1. ]" in page.output


def chain_length(tensor):
    """The length of the longest chain of operations that leads to a tensor."""
    length, waiting = {None: 0}, [tensor.creator]
    while waiting:
        node = waiting[-1]
        missing = [x.creator for x in node.inputs if x.creator not in length]
        if missing:
            waiting.extend(missing)
        else:
            length[waiting.pop()] = 1 + max(length[x.creator] for x in node.inputs)
    return length[tensor.creator]


@pytest.mark.slow
def test_the_page_at_full_length(run_page):
    page = run_page("02_autograd")
    assert "571 years" in page.output
    assert page["losses"][0] > 1
    assert 0.01 < page["losses"][-1] < 0.013  # about as close as the noise allows
    np.testing.assert_allclose(np.mean((page["targets"] - np.sin(1.5 * page["points"])) ** 2), 0.01, rtol=0.3)
    assert page.seconds < 20
    page = run_page("solutions/02_autograd_solutions")
    cleared, forgotten = page["cleared"], page["forgotten"]
    assert (np.diff(cleared) < 0).mean() > 0.95
    assert (np.diff(forgotten) > 0).mean() > 0.3  # it does not settle
    assert min(forgotten[-200:]) > 5 * cleared[-1]
    assert page.seconds < 20


@pytest.mark.slow
def test_what_the_page_says_of_deep_networks():
    with no_grad():
        model = models.create("resnet110", generator=0)
    assert sum(type(module).__name__ == "BasicBlock" for module in model.modules()) == 54
    model = models.create("resnet1202", generator=0)
    assert chain_length(model(Tensor(np.zeros((2, 3, 8, 8), np.float32)))) > 2_000
