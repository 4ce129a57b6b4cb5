"""What is done to whole networks."""

from collections import Counter
from copy import deepcopy

from minires.engine import no_grad
from minires.nn.layers import BatchNorm2d, Conv2d, Identity
from minires.nn.module import Module, Parameter
from minires.nn.sequential import is_plain


@no_grad()
def fuse_conv_bn_eval(model):
    """A copy of the model for evaluation, each batch norm folded into the convolution that it follows.

    With given statistics, batch norm is a factor and a shift for each channel,

        gamma (W col(x) + b - mean) / s + beta = W' col(x) + b',    s = sqrt(var + eps)
        W' = gamma / s W        b' = gamma / s (b - mean) + beta

    so that a convolution with other weights does both. In the copy an Identity has the place of each folded
    batch norm, and the logits are the model's up to rounding. The model itself stays as it is.

    Which batch norm follows which convolution is what `Module.conv_bn_pairs` says. Left as they are: pairs of
    which one part is used elsewhere too, has a hook, or is of a class derived from ours; and the pairs of a
    class that redefines more than how it is built.
    """
    gradients = {id(parameter.grad): None for parameter in model.parameters()}
    fused = deepcopy(model, memo=gradients)  # without its gradients
    modules = fused.modules()
    uses = Counter(id(child) for module in modules for _, child in module.named_members(Module))
    for module in modules:
        for conv_name, bn_name in trusted_pairs(module):
            conv, bn = getattr(module, conv_name), getattr(module, bn_name)
            once = uses[id(conv)] == uses[id(bn)] == 1
            if once and is_plain(conv, Conv2d) and is_plain(bn, BatchNorm2d):
                fold(conv, bn)
                setattr(module, bn_name, Identity())
    return fused.eval()


def fold(conv, bn):
    """Give the convolution the weights with which it does what the batch norm does, too; in place."""
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    shift = bn.bias - bn.running_mean * scale
    conv.weight = Parameter(conv.weight * scale.reshape(-1, 1, 1, 1))
    conv.bias = Parameter(shift if conv.bias is None else conv.bias * scale + shift)


def trusted_pairs(module):
    """The module's conv_bn_pairs; none where its forward may do something else by now."""
    kinds = type(module).__mro__
    said_by = next(i for i, kind in enumerate(kinds) if "conv_bn_pairs" in vars(kind))
    since = {name for kind in kinds[:said_by] for name, value in vars(kind).items() if callable(value)}
    own = {name for name, value in vars(module).items() if callable(value) and not isinstance(value, Module)}
    return [] if own or since - {"__init__"} else module.conv_bn_pairs()
