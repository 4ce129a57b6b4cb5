"""Convolution and pooling against PyTorch, forward and backward, in both memory orders."""

from functools import partial

import numpy as np
import pytest

from minires import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional


def conv(name, x, weight, bias=False, **options):
    return pytest.param(x, weight, bias, options, id=name)


CONVOLUTIONS = [
    conv("3x3", (2, 3, 6, 6), (4, 3, 3, 3), padding=1),
    conv("bias", (2, 3, 6, 6), (4, 3, 3, 3), bias=True),
    conv("1x1", (2, 3, 5, 5), (4, 3, 1, 1)),
    conv("1x1_stride", (2, 3, 6, 6), (4, 3, 1, 1), stride=2),
    conv("stride", (2, 3, 8, 8), (4, 3, 3, 3), stride=2, padding=1),
    conv("stride_leaves_a_remainder", (2, 3, 8, 7), (4, 3, 3, 3), stride=3),
    conv("stride_above_kernel", (2, 2, 9, 9), (3, 2, 2, 2), stride=4),
    conv("even_kernel", (2, 2, 7, 7), (3, 2, 4, 4), padding=2),
    conv("oblong", (2, 2, 5, 8), (3, 2, 1, 5), stride=(2, 1), padding=(0, 2)),
    conv("whole_map", (2, 2, 4, 4), (3, 2, 4, 4), bias=True),
    conv("padding_above_kernel", (1, 2, 3, 3), (2, 2, 2, 2), padding=3),
    conv("dilation", (2, 2, 9, 9), (3, 2, 3, 3), padding=2, dilation=2),
    conv("dilation_oblong", (2, 2, 9, 8), (3, 2, 2, 3), dilation=(3, 2), stride=(1, 2), padding=(1, 0)),
    conv("groups", (2, 4, 6, 6), (6, 2, 3, 3), padding=1, groups=2, bias=True),
    conv("depthwise", (2, 4, 6, 6), (4, 1, 3, 3), padding=1, groups=4),
    conv("depthwise_multiplier", (2, 3, 6, 6), (6, 1, 3, 3), stride=2, groups=3),
    conv(
        "all_options",
        (3, 4, 11, 9),
        (6, 2, 3, 2),
        True,
        stride=(2, 3),
        padding=(2, 1),
        dilation=(2, 3),
        groups=2,
    ),
    conv("one_image", (1, 3, 6, 6), (4, 3, 3, 3), padding=1),
    conv("stem", (1, 3, 18, 18), (4, 3, 7, 7), stride=2, padding=3),
]


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize(("x", "weight", "bias", "options"), CONVOLUTIONS)
def test_conv2d(same_as_torch, in_memory_order, rng, dtype, order, x, weight, bias, options):
    shapes = [x, weight, weight[:1]] if bias else [x, weight]
    same_as_torch(
        partial(ops.conv2d, **options),
        partial(F.conv2d, **options),
        [rng.standard_normal(shape).astype(dtype) for shape in shapes],
        reorder=lambda array: in_memory_order(array, order),
    )


def pool(name, shape, **options):
    return pytest.param(shape, options, id=name)


POOLS = [
    pool("2x2", (2, 3, 6, 6), kernel_size=2),
    pool("overlap", (2, 3, 7, 7), kernel_size=3, stride=2),
    pool("overlap_by_much", (2, 2, 6, 6), kernel_size=4, stride=1),
    pool("padding", (2, 3, 8, 8), kernel_size=3, stride=2, padding=1),
    pool("oblong", (2, 2, 7, 9), kernel_size=(2, 3), stride=(1, 2), padding=(0, 1)),
    pool("stride_above_kernel", (2, 2, 9, 9), kernel_size=2, stride=3),
    pool("remainder_left_out", (2, 2, 7, 8), kernel_size=3),
    pool("ceil", (2, 2, 7, 8), kernel_size=3, ceil_mode=True),
    pool("ceil_overlap", (2, 2, 6, 6), kernel_size=3, stride=2, ceil_mode=True),
    pool("ceil_padding", (2, 2, 8, 6), kernel_size=3, stride=2, padding=1, ceil_mode=True),
    pool(
        "ceil_skips_a_window_in_the_padding", (2, 2, 5, 5), kernel_size=2, stride=2, padding=1, ceil_mode=True
    ),
    pool("ceil_wider_than_map", (1, 2, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    pool("whole_map", (2, 2, 4, 5), kernel_size=(4, 5)),
]


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_max_pool2d(same_as_torch, in_memory_order, rng, dtype, order, shape, options):
    same_as_torch(
        partial(ops.max_pool2d, **options),
        partial(F.max_pool2d, **options),
        [rng.standard_normal(shape).astype(dtype)],
        reorder=lambda array: in_memory_order(array, order),
    )


@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_max_pool2d_of_equal_pixels_takes_the_first(same_as_torch, rng, shape, options):
    x = rng.integers(0, 2, shape).astype(np.float64)
    same_as_torch(partial(ops.max_pool2d, **options), partial(F.max_pool2d, **options), [x])


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_avg_pool2d(same_as_torch, in_memory_order, rng, dtype, order, count_include_pad, shape, options):
    same_as_torch(
        partial(ops.avg_pool2d, **options, count_include_pad=count_include_pad),
        partial(F.avg_pool2d, **options, count_include_pad=count_include_pad),
        [rng.standard_normal(shape).astype(dtype)],
        reorder=lambda array: in_memory_order(array, order),
    )


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
def test_global_avg_pool2d(same_as_torch, in_memory_order, rng, dtype, order):
    same_as_torch(
        ops.global_avg_pool2d,
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        [rng.standard_normal((2, 3, 4, 5)).astype(dtype)],
        reorder=lambda array: in_memory_order(array, order),
    )


@pytest.mark.parametrize("order", ["NCHW", "HWCN"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((2, 3, 6, 8), (2, 4), id="divides"),
        pytest.param((2, 3, 7, 5), (3, 2), id="windows_overlap"),
        pytest.param((2, 3, 13, 10), 6, id="alexnets"),
        pytest.param((2, 3, 4, 5), 1, id="to_one"),
        pytest.param((2, 3, 4, 5), (1, 3), id="to_one_row"),
        pytest.param((2, 3, 4, 5), (4, 5), id="same_size"),
        pytest.param((2, 3, 3, 2), 7, id="larger"),
        pytest.param((2, 3, 1, 1), (3, 2), id="from_one"),
        pytest.param((2, 3, 2, 9), (5, 4), id="larger_in_height_only"),
    ],
)
def test_adaptive_avg_pool2d(same_as_torch, in_memory_order, rng, dtype, order, shape, size):
    same_as_torch(
        partial(ops.adaptive_avg_pool2d, output_size=size),
        partial(F.adaptive_avg_pool2d, output_size=size),
        [rng.standard_normal(shape).astype(dtype)],
        reorder=lambda array: in_memory_order(array, order),
    )
