import importlib
from contextlib import nullcontext
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import ACROSS_TILES, LIMIT, VARIANTS, double, error, layer, layers, same_twice
from on_device import Maps, with_examples

from minires.backend import cuda, reference
from minires.backend.cuda import implicit_gemm, kernel_settings
from minires.backend.cuda.gather import BUSY_CARD_BLOCKS, MOST_SHARED_BYTES, forward_axes
from minires.backend.window import Window

planning = importlib.import_module("minires.backend.cuda.weight_gradient")

PLANS = st.tuples(st.sampled_from([16, 32, 64]), st.sampled_from([1, 2, 3, 5]))


def forced_plan(plan):
    """A context in which blocks have `plan` = (output channels, splits) in place of what plan_for chooses.

    The output channels are those of plan_for if these do not fit into shared memory.
    """
    if plan is None:
        return nullcontext()
    width, splits = plan
    chosen_plan = planning.plan_for.__wrapped__

    def plan_for(*layer):
        forced = planning._plan(*layer, width)
        forced = forced if forced.shared <= MOST_SHARED_BYTES else chosen_plan(*layer)
        return forced._replace(blocks=(*forced.blocks[:2], splits))

    return mock.patch.object(planning, "plan_for", plan_for)


def check_weight_gradient(cupy, layer, plan, variant, with_prologue, channels_last):
    precision, storage = variant
    maps, C = Maps(cupy, storage, channels_last), layer.shape[1]
    geometry = layer.filters, layer.window, layer.groups
    gy, x, scale, shift = layer.draw(layer.output, layer.shape, C, C)
    gy, x = maps.rounded(gy), maps.rounded(x)
    scale_shift = tuple(map(cupy.asarray, (scale, shift))) if with_prologue else None
    with kernel_settings.using("fused", precision), forced_plan(plan):
        gW = implicit_gemm.convolution_weight_gradient(
            maps.to_gpu(gy), maps.to_gpu(x), *geometry, prologue=scale_shift
        )
    a = reference.scale_and_shift(*double(x, scale, shift), relu=True) if with_prologue else x
    expected = reference.convolution_weight_gradient(
        *double(gy, a), layer.filters, layer.window, layer.groups
    )
    assert gW.dtype == np.float32
    assert error(gW.get(), expected) <= LIMIT[precision]


RANDOM_LAYERS = given(layers(), st.none() | PLANS, VARIANTS, st.booleans(), st.booleans())
test_weight_gradient = with_examples(20)(RANDOM_LAYERS(check_weight_gradient))
test_weight_gradient_of_more_layers = pytest.mark.slow(
    with_examples(80)(RANDOM_LAYERS(check_weight_gradient))
)


# More than nine tasks, because of many channels or many taps; and many tiles, so that there are splits.
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
    geometry = layer.filters, layer.window, layer.groups
    with kernel_settings.using("fused", precision):
        (gW,) = same_twice(
            lambda: [cuda.convolution_weight_gradient(maps.to_gpu(gy), maps.to_gpu(x), *geometry)]
        )
    largest_error = error(gW, reference.convolution_weight_gradient(*double(gy, x), *geometry))
    assert largest_error <= LIMIT[precision]
    assert (largest_error > 1e-6) == (precision == "tf32")


def test_factors_are_rounded_to_the_nearest(cupy):
    """If their last bits were cut off, all factors would be too small, and so would their sums."""
    case = layer(4, 4, 1, (16, 16))
    gy, x = (np.abs(array) + 0.1 for array in case.draw(case.output, case.shape))
    geometry = case.filters, case.window, case.groups
    with kernel_settings.using("fused", "tf32"):
        gW = cuda.convolution_weight_gradient(cupy.asarray(gy), cupy.asarray(x), *geometry)
    assert (
        abs(np.mean(gW.get() / reference.convolution_weight_gradient(*double(gy, x), *geometry) - 1)) < 1e-4
    )


def test_empty_batch(cupy):
    maps = (cupy.asarray(np.empty((0, 4, size, size), np.float32)) for size in (4, 6))
    with kernel_settings.using("fused"):
        gW = cuda.convolution_weight_gradient(*maps, (4, 4, 3, 3), Window((3, 3)), 1)
    assert (gW.get() == 0).all()


@pytest.mark.parametrize(
    ("shape", "O"), [((128, 16, 32, 32), 16), ((128, 32, 16, 16), 32), ((128, 64, 8, 8), 64)]
)
def test_a_batch_keeps_a_large_card_busy(shape, O):
    """And its splits write no more partial sums than the limit allows."""
    axes = forward_axes(shape, Window((3, 3), (1, 1), (1, 1)))
    plan = planning.plan_for(*axes, shape[0], 1, shape[1], O)
    assert np.prod(plan.blocks) >= BUSY_CARD_BLOCKS
    assert plan.blocks[2] * plan.partial_count <= planning.MOST_PARTIALS
    assert plan.shared <= MOST_SHARED_BYTES
