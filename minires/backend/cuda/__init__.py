"""The hot kernels on a GPU: CUDA sources in the .cu files, and beside each the Python that starts it.

Each function computes what its namesake in backend/reference.py says, for float32. Importing them does not
import CuPy: an array of CuPy brings its library along.
"""

from minires.backend.reference import (
    add,
    batch_norm_gradient,
    batch_statistics,
    convolution,
    convolution_and_statistics,
    convolution_input_gradient,
    convolution_weight_gradient,
    matmul,
    max_pool,
    max_pool_gradient,
    normalized_convolution,
    normalized_convolution_input_gradient,
    normalized_convolution_weight_gradient,
    relu,
    relu_gradient,
    scale_and_shift,
    sum_pool,
    sum_pool_gradient,
)

__all__ = [
    "add",
    "batch_norm_gradient",
    "batch_statistics",
    "convolution",
    "convolution_and_statistics",
    "convolution_input_gradient",
    "convolution_weight_gradient",
    "matmul",
    "max_pool",
    "max_pool_gradient",
    "normalized_convolution",
    "normalized_convolution_input_gradient",
    "normalized_convolution_weight_gradient",
    "relu",
    "relu_gradient",
    "scale_and_shift",
    "sum_pool",
    "sum_pool_gradient",
]
