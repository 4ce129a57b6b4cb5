"""Batch norm folded into the convolution before it, for evaluation."""

from copy import copy

from minires.nn.functional import batch_norm
from minires.nn.layers import BatchNorm2d, Conv2d
from minires.nn.module import Buffer, Module, is_plain


class FoldedBatchNorm2d(Module):
    """A batch norm in evaluation, and the convolution that computes what it makes of another one's result.

    With given statistics, batch norm is a factor and a shift for each channel:

        gamma (W col(x) + b - mean) / s + beta = W' col(x) + b',    s = sqrt(var + eps)
        W' = gamma / s W        b' = gamma / s (b - mean) + beta

    bn: the BatchNorm2d; conv: the Conv2d with W and b. `both` is a Conv2d with W' and b', which are computed
    once, here. A chain calls `both` where `conv` and this module follow each other; called by itself, this is
    the batch norm alone.
    """

    def __init__(self, bn, conv):
        vars(self).update(vars(bn))
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        shift = bn.bias - bn.running_mean * scale
        self.conv, self.both = conv, copy(conv)
        self.both.weight = Buffer(conv.weight * scale.reshape(-1, 1, 1, 1))
        self.both.bias = Buffer(shift if conv.bias is None else conv.bias * scale + shift)

    def forward(self, x, add=None, relu=False):
        state = self.running_mean, self.running_var, self.weight, self.bias
        return batch_norm(x, *state, eps=self.eps, add=add, relu=relu)


def can_be_folded(bn, conv):
    """Whether the two are a batch norm in evaluation and a convolution that fit, with nothing unusual."""
    return (
        is_plain(bn, BatchNorm2d)
        and is_plain(conv, Conv2d)
        and not bn.training
        and bn.weight.shape == conv.weight.shape[:1]
        and len({tensor.dtype for tensor in (conv.weight, bn.weight, bn.running_mean)}) == 1
    )
