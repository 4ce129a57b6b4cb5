"""The hot kernels made fast for a processor: blocks that stay in its cache, threads, and reused memory."""

from minires.backend.cpu.batch_norm import (
    batch_norm_gradient,
    batch_statistics,
    channel_sum,
    scale_and_shift,
)
from minires.backend.cpu.convolution_choice import (
    convolution,
    convolution_input_gradient,
    convolution_weight_gradient,
)
from minires.backend.cpu.elementwise import add, relu, relu_gradient, select
from minires.backend.cpu.pooling import max_pool, max_pool_gradient, sum_pool, sum_pool_gradient
from minires.backend.cpu.products import matmul

__all__ = [
    "add",
    "batch_norm_gradient",
    "batch_statistics",
    "channel_sum",
    "convolution",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "matmul",
    "max_pool",
    "max_pool_gradient",
    "relu",
    "relu_gradient",
    "scale_and_shift",
    "select",
    "sum_pool",
    "sum_pool_gradient",
]
