"""The hot kernels on a GPU: CUDA sources in the .cu files, and beside each the Python that starts it.

Each function computes what its namesake in backend/reference.py says, for float32; only that statistics are
left in pieces, which `batch_normalization` puts together on the way. Importing them does not import CuPy: an
array of CuPy brings its library along.
"""

from minires.backend.cuda.batch_norm import (
    batch_norm_gradient,
    batch_norm_input_gradient,
    batch_normalization,
    batch_statistics,
    folded_weights,
    scale_and_shift,
)
from minires.backend.cuda.convolution_choice import (
    convolution,
    convolution_and_statistics,
    convolution_input_gradient,
    convolution_weight_gradient,
    normalized_convolution,
    normalized_convolution_input_gradient,
    normalized_convolution_weight_gradient,
)
from minires.backend.cuda.cross_entropy import count_batch, cross_entropy, cross_entropy_gradient
from minires.backend.cuda.elementwise import add, relu, relu_gradient
from minires.backend.cuda.matmul import matmul
from minires.backend.cuda.pooling import (
    global_mean,
    global_mean_gradient,
    max_pool,
    max_pool_gradient,
    sum_pool,
    sum_pool_gradient,
)
from minires.backend.cuda.sgd import sgd_update

__all__ = [
    "add",
    "batch_norm_gradient",
    "batch_norm_input_gradient",
    "batch_normalization",
    "batch_statistics",
    "convolution",
    "convolution_and_statistics",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "count_batch",
    "cross_entropy",
    "cross_entropy_gradient",
    "folded_weights",
    "global_mean",
    "global_mean_gradient",
    "matmul",
    "max_pool",
    "max_pool_gradient",
    "normalized_convolution",
    "normalized_convolution_input_gradient",
    "normalized_convolution_weight_gradient",
    "relu",
    "relu_gradient",
    "scale_and_shift",
    "sgd_update",
    "sum_pool",
    "sum_pool_gradient",
]
