"""The hot kernels on a GPU: CUDA sources in the .cu files, and beside them the Python that starts them.

Each function computes what the function of the same name in backend/reference/ does, for maps in float32 or
bfloat16. One thing differs: batch_statistics returns partial results, which `batch_normalization` combines.
Importing this package does not import CuPy: a function takes the library from the arrays that it is given.

Matrix products: matmul.py has them on tensor cores, cublas.py on any GPU. kernel_settings.py says which
kernels are in use, and which ones need no tensor cores.
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
