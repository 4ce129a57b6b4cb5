"""What is done to whole networks."""

from copy import copy
from itertools import pairwise

from minires.engine import no_grad
from minires.nn.folding import FoldedBatchNorm2d, can_be_folded
from minires.nn.module import Buffer, Module, Parameter


@no_grad()
def fuse_conv_bn_eval(model):
    """A copy of the model for evaluation in which convolutions do the batch norms that follow them, too.

    Logits are the model's up to rounding, and the model stays as it is. In the copy a FoldedBatchNorm2d has
    the place of each batch norm that was set right behind a convolution, as an attribute or in a Sequential;
    where a chain sends a map through both, one convolution with other weights takes their place. Forward
    functions that call the two in another way compute what they say.

    The copy is a snapshot: after a change of the weights fold the model again. Modules and their parameters
    and buffers are copied; whatever else the model holds is shared with it.
    """
    copies = {}
    with model.evaluating():
        for module in model.modules():
            children = [child for _, child in module.named_members(Module)]
            for conv, bn in pairwise(children):
                if can_be_folded(bn, conv) and id(bn) not in copies:
                    copies[id(bn)] = FoldedBatchNorm2d(copied(bn, copies), copied(conv, copies))
        return copied(model, copies)


def copied(value, copies):
    """A copy of a module, parameter or buffer, or of a list or dict with such in it; else the value itself.

    copies: {id of an original: its copy}, to which new ones are added.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, Module):
        twin = copies[id(value)] = object.__new__(type(value))
        vars(twin).update(copied(vars(value), copies))
    elif isinstance(value, (Parameter, Buffer)):
        twin = copies[id(value)] = copy(value)
        twin.data, twin.grad = value.data.copy(), None
    elif type(value) is dict:
        twin = {key: copied(item, copies) for key, item in value.items()}
        twin = value if all(twin[key] is value[key] for key in value) else twin
    elif type(value) in (list, tuple):
        twin = type(value)(copied(item, copies) for item in value)
        twin = value if all(a is b for a, b in zip(twin, value, strict=True)) else twin
    else:
        twin = value
    return twin
