import importlib
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import ACROSS_TILES, KINDS, LIMIT, double, error, layer, layers, same_twice
from on_device import Maps, few

from minires.backend import cuda, reference
from minires.backend.cuda import implicit, ladder
from minires.backend.cuda.gather import BLOCKS_WANTED, MOST_SHARED, forward_axes
from minires.backend.window import Window

planning = importlib.import_module("minires.backend.cuda.weight_gradient")

PLANS = st.tuples(st.sampled_from([16, 32, 64]), st.sampled_from([1, 2, 3, 5]))


def cut(plan):
    """So many output channels in a block, if it can take them, and splits, instead of what is planned."""
    if plan is None:
        return nullcontext()
    width, splits = plan
    planned = planning.plan_for.__wrapped__

    def otherwise(*layer):
        mine = planning._plan(*layer, width)
        mine = mine if mine.shared <= MOST_SHARED else planned(*layer)
        return mine._replace(blocks=(*mine.blocks[:2], splits))

    return mock.patch.object(planning, "plan_for", otherwise)


def check_weight_gradient(cupy, layer, plan, kind, with_prologue, channels_last):
    precision, storage = kind
    maps, C = Maps(cupy, storage, channels_last), layer.shape[1]
    where = layer.filters, layer.window, layer.groups
    gy, x, scale, shift = layer.draw(layer.output, layer.shape, C, C)
    gy, x = maps.rounded(gy), maps.rounded(x)
    scale_shift = tuple(map(cupy.asarray, (scale, shift))) if with_prologue else None
    with ladder.using("fused", precision), cut(plan):
        gW = implicit.convolution_weight_gradient(maps.there(gy), maps.there(x), *where, prologue=scale_shift)
    a = reference.scale_and_shift(*double(x, scale, shift), relu=True) if with_prologue else x
    expected = reference.convolution_weight_gradient(
        *double(gy, a), layer.filters, layer.window, layer.groups
    )
    assert gW.dtype == np.float32
    assert error(gW.get(), expected) <= LIMIT[precision]


DRAWN = given(layers(), st.none() | PLANS, KINDS, st.booleans(), st.booleans())
test_weight_gradient = few(20)(DRAWN(check_weight_gradient))
test_weight_gradient_of_more_layers = pytest.mark.slow(few(80)(DRAWN(check_weight_gradient)))


# More than nine tasks, for many channels or many taps; many tiles, so that there are splits.
MANY_TASKS = {
    "channels": layer(170, 5, 1, (3, 9)),
    "taps": layer(20, 5, 7, (9, 9), padding=3),
    "both": layer(36, 20, 2, (4, 9), N=3),
    "splits": layer(3, 4, 3, (9, 17), N=3, padding=1),
}


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("name", [*ACROSS_TILES, *MANY_TASKS])
def test_across_tiles(cupy, name, precision):
    layer, maps = (ACROSS_TILES | MANY_TASKS)[name], Maps(cupy)
    gy, x = layer.draw(layer.output, layer.shape)
    where = layer.filters, layer.window, layer.groups
    with ladder.using("fused", precision):
        (gW,) = same_twice(lambda: [cuda.convolution_weight_gradient(maps.there(gy), maps.there(x), *where)])
    off = error(gW, reference.convolution_weight_gradient(*double(gy, x), *where))
    assert off <= LIMIT[precision]
    assert (off > 1e-6) == (precision == "tf32")


def test_factors_are_rounded_to_the_nearest(cupy):
    """Cut off, they would all be too small, and so would be their sums."""
    case = layer(4, 4, 1, (16, 16))
    gy, x = (np.abs(array) + 0.1 for array in case.draw(case.output, case.shape))
    where = case.filters, case.window, case.groups
    with ladder.using("fused", "tf32"):
        gW = cuda.convolution_weight_gradient(cupy.asarray(gy), cupy.asarray(x), *where)
    assert abs(np.mean(gW.get() / reference.convolution_weight_gradient(*double(gy, x), *where) - 1)) < 1e-4


def test_empty_batch(cupy):
    maps = (cupy.asarray(np.empty((0, 4, size, size), np.float32)) for size in (4, 6))
    with ladder.using("fused"):
        gW = cuda.convolution_weight_gradient(*maps, (4, 4, 3, 3), Window((3, 3)), 1)
    assert (gW.get() == 0).all()


@pytest.mark.parametrize(
    ("shape", "O"), [((128, 16, 32, 32), 16), ((128, 32, 16, 16), 32), ((128, 64, 8, 8), 64)]
)
def test_a_batch_keeps_a_large_card_busy(shape, O):
    """And its splits leave no more behind than they should."""
    axes = forward_axes(shape, Window((3, 3), (1, 1), (1, 1)))
    plan = planning.plan_for(*axes, shape[0], 1, shape[1], O)
    assert np.prod(plan.blocks) >= BLOCKS_WANTED
    assert plan.blocks[2] * plan.numbers <= planning.MOST_PARTIALS
    assert plan.shared <= MOST_SHARED
