"""The operations under the names that PyTorch users know: `import minires.nn.functional as F`."""

from minires.ops import (
    avg_pool2d,
    batch_norm,
    conv2d,
    cross_entropy,
    dropout,
    global_avg_pool2d,
    linear,
    local_response_norm,
    log_softmax,
    max_pool2d,
    mse_loss,
    pad,
    relu,
    sigmoid,
    softmax,
    tanh,
)

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "global_avg_pool2d",
    "linear",
    "local_response_norm",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "pad",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
