"""The hot kernels in their plain versions, one formula each: the fast ones are checked against these.

Every function takes arrays of NumPy or CuPy. Maps are (N, C, H, W), in any order in memory; elementwise
results and padded maps have the order of their inputs.
"""

from minires.backend.reference.batch_norm import (
    batch_norm_gradient,
    batch_normalization,
    batch_statistics,
    channel_sum,
    folded_weights,
    per_channel,
    scale_and_shift,
)
from minires.backend.reference.convolution import (
    col2im,
    convolution,
    convolution_and_statistics,
    convolution_input_gradient,
    convolution_weight_gradient,
    cropped,
    im2col,
    normalized_convolution,
    normalized_convolution_input_gradient,
    normalized_convolution_weight_gradient,
    padded,
)
from minires.backend.reference.cross_entropy import (
    count_batch,
    cross_entropy,
    cross_entropy_gradient,
    log_softmax,
)
from minires.backend.reference.elementwise import add, relu, relu_gradient, select
from minires.backend.reference.matmul import matmul
from minires.backend.reference.pooling import (
    global_mean,
    global_mean_gradient,
    max_pool,
    max_pool_gradient,
    sum_pool,
    sum_pool_gradient,
)
from minires.backend.reference.sgd import sgd_update
from minires.backend.reference.sums import precise_mean, precise_sum

__all__ = [
    "add",
    "batch_norm_gradient",
    "batch_normalization",
    "batch_statistics",
    "channel_sum",
    "col2im",
    "convolution",
    "convolution_and_statistics",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "count_batch",
    "cropped",
    "cross_entropy",
    "cross_entropy_gradient",
    "folded_weights",
    "global_mean",
    "global_mean_gradient",
    "im2col",
    "log_softmax",
    "matmul",
    "max_pool",
    "max_pool_gradient",
    "normalized_convolution",
    "normalized_convolution_input_gradient",
    "normalized_convolution_weight_gradient",
    "padded",
    "per_channel",
    "precise_mean",
    "precise_sum",
    "relu",
    "relu_gradient",
    "scale_and_shift",
    "select",
    "sgd_update",
    "sum_pool",
    "sum_pool_gradient",
]
