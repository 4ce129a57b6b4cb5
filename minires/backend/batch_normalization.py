"""BatchNormalization: the numbers of a batch norm, which its kernels take as one argument."""

from typing import Any, NamedTuple


class BatchNormalization(NamedTuple):
    """y = gamma xhat + beta = scale x + shift,    xhat = (x - mean) / sqrt(var + eps)

    mean, var, scale = gamma / sqrt(var + eps), shift = beta - mean scale, gamma: arrays (C,); eps: a float.
    """

    mean: Any
    var: Any
    scale: Any
    shift: Any
    gamma: Any
    eps: float
