"""The equations of Identity Mappings (He et al. 2016, sections 2 and 3), on small stacks of its units.

Both sides of an equation are computed apart from each other: one by the units as the package stacks them, the
other by F alone, from the form of the equation in which the recursion is unrolled. Everything is float64, and
equal means up to rounding.

Not here: that 1 + d/dx_l sum F "cannot be always -1 for all samples of a mini-batch". That is a matter of
likelihood, not an equation.
"""

import math

import numpy as np
import pytest

from minires import Tensor
from minires.models.preact import Unit
from minires.models.shortcuts import connection

CHANNELS, COUNT = 4, 6
SHAPE = (3, CHANNELS, 5, 5)
FACTORS = (0.5, 1.25, 2.0, 0.75, 1.5, 0.25)  # with so few binary digits that their products are exact


@pytest.fixture
def units(rng):
    """Full pre-activation units that all differ, batch norm in training mode."""
    return stack("full", rng)


def stack(order, rng):
    made = [Unit(CHANNELS, CHANNELS, order=order).to("float64") for _ in range(COUNT)]
    for unit in made:
        for p in unit.parameters():
            p.data[...] = rng.normal(0, 0.5, p.shape)
    return made


def leaf(rng, scale=1.0):
    return Tensor(scale * rng.standard_normal(SHAPE), requires_grad=True)


def F(unit, x):  # noqa: N802, the equations' letter
    """The residual function F(x_i, W_i): the unit without its addition, and what comes after that."""
    return unit.residual(unit.before(x))


def silence(units):
    """F = 0."""
    for unit in units:
        list(unit.residual)[-1].weight.data[...] = 0


def states(x, units):
    """[x_0, x_1, ..., x_L] by equation 3, unit for unit."""
    found = [x]
    for unit in units:
        found.append(unit(found[-1]))
    return found


def sum_of_branches(x, units, factors):
    """Sum of F^_i, F^_i = (product of lambda_j for j > i) F(x_i), where each x_i comes by equation 7 itself.

    With factors of 1 this is equation 4's sum of F(x_i).
    """
    branches = []
    for i, unit in enumerate(units):
        x_i = math.prod(factors[:i]) * x + weighted(branches, factors[:i])
        branches.append(F(unit, x_i))
    return weighted(branches, factors)


def weighted(branches, factors):
    return sum(math.prod(factors[i + 1 :]) * branch for i, branch in enumerate(branches))


# ---- identity shortcuts, equations 4 and 5


@pytest.mark.parametrize("l", range(COUNT))
def test_a_state_is_any_earlier_one_and_the_sum_of_the_branches(rng, units, agree, l):
    """Equation 4: x_L = x_l + sum of F(x_i) for l <= i < L."""
    x = states(leaf(rng), units)
    branches = [F(unit, Tensor(x_i.numpy())).numpy() for unit, x_i in zip(units[l:], x[l:-1], strict=True)]
    agree(x[-1], x[l].numpy() + sum(branches))
    agree(x[-1], (x[l] + sum_of_branches(x[l], units[l:], [1] * (COUNT - l))).numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_the_gradient_is_the_upstream_gradient_and_one_through_the_sum(rng, units, agree, l):
    """Equation 5: dE/dx_l = dE/dx_L (1 + d/dx_l sum of F(x_i))."""
    x, upstream = leaf(rng), rng.standard_normal(SHAPE)
    states(x, units[l:])[-1].backward(upstream)
    again = Tensor(x.numpy(), requires_grad=True)
    sum_of_branches(again, units[l:], [1] * (COUNT - l)).backward(upstream)
    assert np.abs(again.grad.numpy()).max() > 0.1
    agree(x.grad, upstream + again.grad.numpy())


def test_without_branches_the_upstream_gradient_arrives_as_it_is(rng, units):
    silence(units)
    x, upstream = leaf(rng), rng.standard_normal(SHAPE)
    states(x, units)[-1].backward(upstream)
    np.testing.assert_array_equal(x.grad.numpy(), upstream)


def test_a_relu_after_the_addition_breaks_the_sum(rng, agree):
    """The original unit: equation 4 fails, and holds again once nothing but the ReLU is taken away."""
    units, start = stack("original", rng), leaf(rng)
    x = states(start, units)
    total = start.numpy() + sum(F(unit, x_i).numpy() for unit, x_i in zip(units, x[:-1], strict=True))
    assert np.abs(x[-1].numpy() - total).max() > 0.1 * np.abs(total).max()
    for unit in units:
        unit.after = type(unit.after)()
    x = states(start, units)
    agree(x[-1], start.numpy() + sum(F(unit, x_i).numpy() for unit, x_i in zip(units, x[:-1], strict=True)))


# ---- scaled shortcuts, equations 6 to 8


def scaled(x, units, factors):
    """x_L by equation 6, x_{i+1} = lambda_i x_i + F(x_i), with the package's own additions."""
    for unit, factor in zip(units, factors, strict=True):
        shortcut, addition = connection("constant_scaling", CHANNELS, CHANNELS, 1, factors=(factor, 1))
        x = addition(shortcut(x), F(unit, x))
    return x


@pytest.mark.parametrize("l", range(COUNT))
def test_scaled_shortcuts_multiply_up(rng, units, agree, l):
    """Equation 7: x_L = (product of lambda_i) x_l + sum of F^_i."""
    x, factors = leaf(rng), FACTORS[l:]
    unrolled = math.prod(factors) * x + sum_of_branches(x, units[l:], factors)
    agree(scaled(x, units[l:], factors), unrolled.numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_the_gradient_through_scaled_shortcuts_splits(rng, units, agree, l):
    """Equation 8: dE/dx_l = dE/dx_L ((product of lambda_i) + d/dx_l sum of F^_i)."""
    x, upstream, factors = leaf(rng), rng.standard_normal(SHAPE), FACTORS[l:]
    scaled(x, units[l:], factors).backward(upstream)
    again = Tensor(x.numpy(), requires_grad=True)
    sum_of_branches(again, units[l:], factors).backward(upstream)
    assert np.abs(again.grad.numpy()).max() > 0.1
    agree(x.grad, math.prod(factors) * upstream + again.grad.numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_without_branches_the_gradient_is_the_product_of_the_factors(rng, units, l):
    """Bit for bit, with an upstream gradient of whole numbers."""
    silence(units)
    x, upstream = leaf(rng), rng.integers(-9, 10, SHAPE).astype("float64")
    scaled(x, units[l:], FACTORS[l:]).backward(upstream)
    np.testing.assert_array_equal(x.grad.numpy(), math.prod(FACTORS[l:]) * upstream)


# ---- what that means in depth, with F = 0


def through(depth, name, **options):
    """(x_L, dE/dx_0) of `depth` additions in a row, for x_0 = 1 and dE/dx_L = 1. Gates have zero weights."""
    shortcut, addition = connection(name, 1, 1, 1, **options)
    addition = addition.to("float64")
    if hasattr(addition, "gate"):
        addition.gate.weight.data[...] = 0
    x = start = Tensor(np.ones((1, 1, 1, 1)), requires_grad=True)
    nothing = Tensor(np.zeros((1, 1, 1, 1)))
    for _ in range(depth):
        x = addition(shortcut(x), nothing)
    x.backward(np.ones((1, 1, 1, 1)))
    return x.item(), start.grad.item()


@pytest.mark.parametrize(
    ("factor", "depth", "expected"), [(0.5, 54, 5.6e-17), (0.99, 1000, 4.3e-5), (1.01, 1000, 2.1e4)]
)
def test_factors_shrink_or_grow_exponentially(factor, depth, expected):
    for value in through(depth, "constant_scaling", factors=(factor, 1)):
        assert value == pytest.approx(factor**depth, rel=1e-12)
        assert value == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["shortcut_gating", "exclusive_gating"])
@pytest.mark.parametrize(
    ("bias", "expected"), [(0, 5.6e-17), (-3, 0.0725), (-5, 0.696), (-6, 0.875), (-7, 0.952)]
)
def test_gates_let_through_what_their_bias_says(name, bias, expected):
    """ResNet-110's 54 units: (1 - sigmoid(b))^54 is left of the signal, and of the gradient."""
    for value in through(54, name, gate_bias=bias):
        assert value == pytest.approx((1 - 1 / (1 + math.exp(-bias))) ** 54, rel=1e-12)
        assert value == pytest.approx(expected, rel=0.01 if bias == 0 else 1e-3)
