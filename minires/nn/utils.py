"""Functions that transform whole networks."""

from copy import copy
from itertools import pairwise
from types import MethodType

from minires.engine import no_grad
from minires.errors import OptionError
from minires.nn.folding import FoldedBatchNorm2d, can_be_folded, folded_weights
from minires.nn.members import values_in
from minires.nn.module import Module
from minires.nn.parameter import Buffer, Parameter


@no_grad()
def fuse_conv_bn_eval(model, bn=None):
    """A copy of the model for evaluation, whose convolutions also compute the batch norms behind them.

    The logits are equal to the model's up to rounding, and the model stays as it is. In the copy a
    FoldedBatchNorm2d replaces each batch norm that was set right behind a convolution, as an attribute or in
    a Sequential. Where a chain sends a map through both, it calls one convolution instead, whose weights are
    computed from those of the two layers at every call. A forward that calls the two layers in another way
    gets the result of the two layers.

    The copy is not for training: its parameters require no gradients. Modules and their parameters and
    buffers are copied, so that training the model further does not change the copy. All other attributes are
    shared with the model; a lambda, for example, still calls the layers of the model.

    Called as in PyTorch, fuse_conv_bn_eval(conv, bn) with two layers in evaluation, it returns the one
    convolution that computes both.

    Raises OptionError for a `forward` that was set on a module and not defined in its class, since it may
    call the model's own layers; and for two layers that cannot be folded.
    """
    if bn is not None:
        if not can_be_folded(bn, model):
            raise OptionError(
                f"fuse_conv_bn_eval: {bn!r} does not fold into {model!r}; it takes a Conv2d and a "
                "BatchNorm2d of its channels and dtype, without hooks and in evaluation: call .eval() first"
            )
        fused = copy(model)
        fused.weight, fused.bias = map(Parameter, folded_weights(bn, model))
        return fused
    for name, module in model.named_modules():
        if "forward" in vars(module) and not is_method(module.forward):
            raise OptionError(
                f"fuse_conv_bn_eval: {name or 'the model'} has a forward of its own, which may call the "
                "model's layers instead of the copy's; define forward in a class"
            )
    copies = {}
    with model.evaluating():
        for module in model.modules():
            children = [child for _, child in module.named_members(Module)]
            for conv, bn in pairwise(children):
                if can_be_folded(bn, conv) and id(bn) not in copies:
                    copies[id(bn)] = FoldedBatchNorm2d(copied(bn, copies), copied(conv, copies))
        return copied(model, copies)


def copied(value, copies):
    """A copy of a module, parameter or buffer, or of a list, tuple, dict or bound method that holds one.

    Any other value is returned itself. copies: {id of an original: its copy}, to which new copies are added.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, Module):
        twin = copies[id(value)] = object.__new__(type(value))
        vars(twin).update(copied(vars(value), copies))
        return twin
    if isinstance(value, (Parameter, Buffer)):
        twin = copies[id(value)] = copy(value)
        twin.data, twin.grad, twin.creator, twin.requires_grad = value.data.copy(), None, None, False
        return twin
    if is_method(value):
        return MethodType(value.__func__, copied(value.__self__, copies))
    return copied_items(value, copies) if is_copied(value) else value


def is_copied(value):
    """Whether this is a dict, list or tuple that holds what is copied."""
    return isinstance(value, (dict, list, tuple)) and any(
        isinstance(item, (Module, Parameter, Buffer)) or is_method(item) for _, item in values_in(value)
    )


def copied_items(value, copies):
    """A dict, list or tuple with copies of its items."""
    if isinstance(value, tuple):
        items = [copied(item, copies) for item in value]
        twin = copies[id(value)] = value._make(items) if hasattr(value, "_make") else type(value)(items)
        return twin
    twin = copies[id(value)] = copy(value)  # known before its items are copied: it may hold itself
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        twin[key] = copied(value[key], copies)
    return twin


def is_method(value):
    """Whether this is a method that is bound to a module."""
    return isinstance(value, MethodType) and isinstance(value.__self__, Module)
