"""The equations of Identity Mappings (He et al. 2016, sections 2 and 3), on small stacks of its units.

The two sides of an equation are computed independently: one by the package's own units in a stack, the other
from F alone, by the equation with its recursion unrolled. All values are float64. They are compared up to
rounding, or bit for bit where a test says so.

Not tested: that d/dx_l sum F "cannot be always -1 for all samples in a mini-batch". That is a matter of
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
FACTORS = (0.5, 1.25, 2.0, 0.75, 1.5, 0.25)  # short binary fractions, so that their products are exact


@pytest.fixture
def units(rng):
    """Full pre-activation units with different weights, batch norm in training mode."""
    return make_units("full", rng)


def make_units(order, rng):
    units = [Unit(CHANNELS, CHANNELS, order=order).to("float64") for _ in range(COUNT)]
    for unit in units:
        for p in unit.parameters():
            p.data[...] = rng.normal(0, 0.5, p.shape)
    return units


def leaf(rng, scale=1.0):
    return Tensor(scale * rng.standard_normal(SHAPE), requires_grad=True)


def F(unit, x):  # noqa: N802, the equations' letter
    """The residual function F(x_i, W_i): the unit without its addition and without the layers after it."""
    return unit.residual(unit.before(x))


def silence(units):
    """Set the last weight of each branch to zero, so that F = 0."""
    for unit in units:
        list(unit.residual)[-1].weight.data[...] = 0


def states(x, units):
    """[x_0, x_1, ..., x_L] by equation 3, one unit after the other."""
    sequence = [x]
    for unit in units:
        sequence.append(unit(sequence[-1]))
    return sequence


def sum_of_branches(x, units, factors):
    """Sum of F^_i, F^_i = (product of lambda_j for j > i) F(x_i), with each x_i computed by equation 7.

    With factors of 1 this is equation 4's sum of F(x_i).
    """
    branches = []
    for i, unit in enumerate(units):
        x_i = math.prod(factors[:i]) * x + weighted_sum(branches, factors[:i])
        branches.append(F(unit, x_i))
    return weighted_sum(branches, factors)


def weighted_sum(branches, factors):
    return sum(math.prod(factors[i + 1 :]) * branch for i, branch in enumerate(branches))


# ---- identity shortcuts, equations 4 and 5


@pytest.mark.parametrize("l", range(COUNT))
def test_a_state_is_any_earlier_state_plus_the_sum_of_the_branches(rng, units, agree, l):
    """Equation 4: x_L = x_l + sum of F(x_i) for l <= i < L."""
    x = states(leaf(rng), units)
    branches = [F(unit, Tensor(x_i.numpy())).numpy() for unit, x_i in zip(units[l:], x[l:-1], strict=True)]
    agree(x[-1], x[l].numpy() + sum(branches))
    agree(x[-1], (x[l] + sum_of_branches(x[l], units[l:], [1] * (COUNT - l))).numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_the_gradient_is_the_upstream_gradient_plus_that_of_the_sum(rng, units, agree, l):
    """Equation 5: dE/dx_l = dE/dx_L (1 + d/dx_l sum of F(x_i))."""
    x, upstream = leaf(rng), rng.standard_normal(SHAPE)
    states(x, units[l:])[-1].backward(upstream)
    unrolled_x = Tensor(x.numpy(), requires_grad=True)
    sum_of_branches(unrolled_x, units[l:], [1] * (COUNT - l)).backward(upstream)
    assert np.abs(unrolled_x.grad.numpy()).max() > 0.1
    agree(x.grad, upstream + unrolled_x.grad.numpy())


def test_without_branches_the_upstream_gradient_arrives_unchanged(rng, units):
    """Bit for bit."""
    silence(units)
    x, upstream = leaf(rng), rng.standard_normal(SHAPE)
    states(x, units)[-1].backward(upstream)
    np.testing.assert_array_equal(x.grad.numpy(), upstream)


def test_a_relu_after_the_addition_breaks_the_sum(rng, agree):
    """With original units equation 4 fails. Without their ReLU after the addition it holds again."""
    units, start = make_units("original", rng), leaf(rng)
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
def test_the_factors_of_scaled_shortcuts_multiply(rng, units, agree, l):
    """Equation 7: x_L = (product of lambda_i) x_l + sum of F^_i."""
    x, factors = leaf(rng), FACTORS[l:]
    unrolled = math.prod(factors) * x + sum_of_branches(x, units[l:], factors)
    agree(scaled(x, units[l:], factors), unrolled.numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_the_gradient_through_scaled_shortcuts_has_two_terms(rng, units, agree, l):
    """Equation 8: dE/dx_l = dE/dx_L ((product of lambda_i) + d/dx_l sum of F^_i)."""
    x, upstream, factors = leaf(rng), rng.standard_normal(SHAPE), FACTORS[l:]
    scaled(x, units[l:], factors).backward(upstream)
    unrolled_x = Tensor(x.numpy(), requires_grad=True)
    sum_of_branches(unrolled_x, units[l:], factors).backward(upstream)
    assert np.abs(unrolled_x.grad.numpy()).max() > 0.1
    agree(x.grad, math.prod(factors) * upstream + unrolled_x.grad.numpy())


@pytest.mark.parametrize("l", range(COUNT))
def test_without_branches_the_gradient_is_the_product_of_the_factors(rng, units, l):
    """Bit for bit, with an upstream gradient of whole numbers."""
    silence(units)
    x, upstream = leaf(rng), rng.integers(-9, 10, SHAPE).astype("float64")
    scaled(x, units[l:], FACTORS[l:]).backward(upstream)
    np.testing.assert_array_equal(x.grad.numpy(), math.prod(FACTORS[l:]) * upstream)


# ---- deep stacks of scaled and gated shortcuts, with F = 0


def propagate(depth, name, **options):
    """(x_L, dE/dx_0) of `depth` additions in a row, for x_0 = 1 and dE/dx_L = 1. Gates have zero weights."""
    shortcut, addition = connection(name, 1, 1, 1, **options)
    addition = addition.to("float64")
    if hasattr(addition, "gate"):
        addition.gate.weight.data[...] = 0
    x = start = Tensor(np.ones((1, 1, 1, 1)), requires_grad=True)
    zero = Tensor(np.zeros((1, 1, 1, 1)))
    for _ in range(depth):
        x = addition(shortcut(x), zero)
    x.backward(np.ones((1, 1, 1, 1)))
    return x.item(), start.grad.item()


@pytest.mark.parametrize(
    ("factor", "depth", "expected"), [(0.5, 54, 5.6e-17), (0.99, 1000, 4.3e-5), (1.01, 1000, 2.1e4)]
)
def test_factors_shrink_or_grow_exponentially(factor, depth, expected):
    for value in propagate(depth, "constant_scaling", factors=(factor, 1)):
        assert value == pytest.approx(factor**depth, rel=1e-12)
        assert value == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["shortcut_gating", "exclusive_gating"])
@pytest.mark.parametrize(
    ("bias", "expected"), [(0, 5.6e-17), (-3, 0.0725), (-5, 0.696), (-6, 0.875), (-7, 0.952)]
)
def test_the_bias_of_a_gate_decides_how_much_it_passes(name, bias, expected):
    """54 units, as in ResNet-110, multiply the signal and the gradient by (1 - sigmoid(b))^54."""
    for value in propagate(54, name, gate_bias=bias):
        assert value == pytest.approx((1 - 1 / (1 + math.exp(-bias))) ** 54, rel=1e-12)
        assert value == pytest.approx(expected, rel=0.01 if bias == 0 else 1e-3)
