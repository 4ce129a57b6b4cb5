"""Every operation: a forward and a backward with their formulas, and beside them the function to call."""

from minires.ops import operators as operators
from minires.ops.activation import dropout, relu, sigmoid, tanh
from minires.ops.conv import conv2d
from minires.ops.elementwise import abs, add, clip, div, exp, log, maximum, minimum, mul, neg, pow, sqrt, sub
from minires.ops.indexing import getitem
from minires.ops.linear import linear, matmul
from minires.ops.loss import cross_entropy, log_softmax, mse_loss, softmax
from minires.ops.norm import batch_norm, local_response_norm
from minires.ops.pool import adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, max_pool2d
from minires.ops.reduce import amax, amin, argmax, argmin, max, mean, min, sum, var
from minires.ops.shape import (
    broadcast_to,
    concatenate,
    flatten,
    pad,
    permute,
    reshape,
    squeeze,
    to,
    transpose,
    unsqueeze,
)

__all__ = [
    "abs",
    "adaptive_avg_pool2d",
    "add",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "avg_pool2d",
    "batch_norm",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "cross_entropy",
    "div",
    "dropout",
    "exp",
    "flatten",
    "getitem",
    "global_avg_pool2d",
    "linear",
    "local_response_norm",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse_loss",
    "mul",
    "neg",
    "pad",
    "permute",
    "pow",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "sqrt",
    "squeeze",
    "sub",
    "sum",
    "tanh",
    "to",
    "transpose",
    "unsqueeze",
    "var",
]
