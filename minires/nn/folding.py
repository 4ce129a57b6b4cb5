"""Batch norm folded into the convolution before it, for evaluation."""

from minires.backend import kernels
from minires.engine import Tensor
from minires.nn.batch_norm import BatchNorm2d
from minires.nn.functional import batch_norm, conv2d
from minires.nn.layers import Conv2d
from minires.nn.module import Module, is_plain


class FoldedBatchNorm2d(Module):
    """A batch norm in evaluation that knows the convolution before it.

    bn: the BatchNorm2d; conv: the Conv2d. A call of this module computes the batch norm alone, in evaluation
    even if `training` is True. A chain that has it behind `conv` calls `convolve_and_normalize` instead of
    both.
    """

    def __init__(self, bn, conv):
        vars(self).update(vars(bn))
        self.conv = conv

    def forward(self, x, *, add=None, relu=False):
        statistics = self.running_mean, self.running_var
        options = {"weight": self.weight, "bias": self.bias, "eps": self.eps, "add": add, "relu": relu}
        return batch_norm(x, *statistics, **options)

    def convolve_and_normalize(self, x, *, add=None, relu=False):
        """The batch norm of conv(x), by one convolution; with `add` and `relu` as in Conv2d.

        The weights of that convolution are computed at each call from the tensors of the two layers, and get
        no gradients.
        """
        weights = folded_weights(self, self.conv)
        return conv2d(x, *map(Tensor, weights), *self.conv.geometry, add=add, relu=relu)

    def __repr__(self):
        return f"{type(self).__name__}({self.weight.shape[0]})"


def folded_weights(bn, conv):
    """The weights and the bias, arrays, of the one convolution that equals conv and then bn in evaluation."""
    bias = None if conv.bias is None else conv.bias.data
    statistics = bn.running_mean.data, bn.running_var.data
    return kernels.folded_weights(conv.weight.data, bias, bn.weight.data, bn.bias.data, statistics, bn.eps)


def can_be_folded(bn, conv):
    """Whether they are a plain BatchNorm2d in evaluation and a plain Conv2d of its channels and dtype.

    A batch norm without a weight, a bias or running statistics is not folded.
    """
    if not (is_plain(bn, BatchNorm2d) and is_plain(conv, Conv2d)) or bn.training:
        return False
    vectors = bn.weight, bn.bias, bn.running_mean, bn.running_var
    expected = conv.weight.shape[:1], conv.weight.dtype
    return all(v is not None and (v.shape, v.dtype) == expected for v in vectors)
