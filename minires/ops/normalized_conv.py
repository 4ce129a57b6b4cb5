"""A convolution that reads its input through batch norm and ReLU."""

from minires.backend import kernels
from minires.engine import Function


class NormalizedConv2d(Function):
    """y = W col(a),    a = max(gamma uhat + beta, 0),    uhat = (u - mean) / sqrt(var + eps)

    ga = col^T(W^T gy)        gW = gy col(a)^T        and ga goes back to u, gamma, beta as in BatchNorm,
    where a > 0

    Only u lies in memory: a is computed where it is read, on the way there and on the way back. That saves a
    write and three reads of a whole map, which on a GPU take longer than the arithmetic.

    u: (N, C, H, W), gamma, beta: (C,), W: (O, C/G, KH, KW), y: (N, O, OH, OW).
    normalization: the BatchNorm that was called on u, gamma and beta. `output_statistics` are those of y's
    channels, taken while y is written: the next batch norm needs them.
    """

    fresh_gradients = True

    def __init__(self, window, groups, normalization):
        self.window, self.groups, self.normalization = window, groups, normalization

    def forward(self, u, gamma, beta, W):
        norm = self.normalization
        self.saved = u, gamma, W
        y, self.output_statistics = kernels.normalized_convolution(
            u, norm.scale, norm.shift, W, self.window, self.groups
        )
        return y

    def backward(self, gy):
        (u, gamma, W), norm, where = self.saved, self.normalization, (self.window, self.groups)
        gW = kernels.normalized_convolution_weight_gradient(gy, u, norm.scale, norm.shift, W.shape, *where)
        gu, ggamma, gbeta = kernels.normalized_convolution_input_gradient(
            gy, W, u, gamma, norm.mean, norm.var, norm.eps, norm.scale, norm.shift, *where
        )
        return gu, ggamma, gbeta, gW
