"""A convolution that applies batch norm and ReLU to its input while it reads it."""

from minires.backend import kernels
from minires.engine import Function
from minires.ops.conv import convolution_window
from minires.ops.norm import batch_norm_operation


class NormalizedConv2d(Function):
    """y = W col(a),    a = max(gamma uhat + beta, 0),    uhat = (u - mean) / sqrt(var + eps)

    ga = col^T(W^T gy)        gW = gy col(a)^T        gu, ggamma, gbeta: from ga where a > 0, as in BatchNorm

    Only u is stored: a is computed where it is read, in forward and in backward. That saves a write and three
    reads of a whole map, which on a GPU take longer than the arithmetic.

    u: (N, C, H, W), gamma, beta: (C,), W: (O, C/G, KH, KW), y: (N, O, OH, OW).
    norm: the BatchNorm that normalizes u.

    After the call, `statistics` are those of y's channels, computed while y is written: the next batch norm
    needs them.
    """

    fresh_gradients = True

    def __init__(self, norm, window, groups):
        self.norm, self.window, self.groups = norm, window, groups

    def forward(self, u, gamma, beta, W):
        norm = self.norm.normalization(u, gamma, beta)
        self.saved = u, gamma, norm, W  # gamma is in norm; here, its change is noticed
        y, self.statistics = kernels.normalized_convolution(u, norm, W, self.window, self.groups)
        return y

    def backward(self, gy):
        (u, _, norm, W), geometry = self.saved, (self.window, self.groups)
        gW = kernels.normalized_convolution_weight_gradient(gy, u, norm, W.shape, *geometry)
        gu, ggamma, gbeta = kernels.normalized_convolution_input_gradient(gy, W, u, norm, *geometry)
        return gu, ggamma, gbeta, gW


def normalized_conv2d(x, statistics, batch_norm, weight, stride=1, padding=0, dilation=1, groups=1):
    """conv2d(relu(batch_norm(x, training=True)), weight, ...) in one operation, and its statistics.

    statistics: those of x, or None to compute them. batch_norm: a dict of batch_norm's arguments
    running_mean, running_var, weight, bias, momentum and eps.
    Returns (y, statistics of y). Raises what batch_norm and conv2d raise.
    """
    norm = batch_norm_operation(x, training=True, statistics=statistics, **batch_norm)
    window = convolution_window(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    convolution = NormalizedConv2d(norm, window, groups)
    return convolution(x, batch_norm["weight"], batch_norm["bias"], weight), convolution.statistics
