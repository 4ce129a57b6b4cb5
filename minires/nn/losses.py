"""The losses as layers. See ops/loss.py."""

from minires.nn import functional as F
from minires.nn.module import Module
from minires.options import check_choice, refuse_unless_default


class Loss(Module):
    """A loss with a reduction: "mean", "sum", or "none"."""

    def __init__(self, size_average, reduce, reduction):
        refuse_unless_default(type(self).__name__, size_average=(size_average, None), reduce=(reduce, None))
        check_choice("reduction", reduction, ("mean", "sum", "none"))
        self.reduction = reduction


class CrossEntropyLoss(Loss):
    """-log softmax(logits)[label]; reduction "mean", "sum" or "none"."""

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction="mean",
        label_smoothing=0.0,
    ):
        refuse_unless_default(
            "CrossEntropyLoss",
            weight=(weight, None),
            ignore_index=(ignore_index, -100),
            label_smoothing=(label_smoothing, 0.0),
        )
        super().__init__(size_average, reduce, reduction)

    def forward(self, input, target):
        return F.cross_entropy(input, target, reduction=self.reduction)


class MSELoss(Loss):
    """(x - target)^2; reduction "mean", "sum" or "none"."""

    def __init__(self, size_average=None, reduce=None, reduction="mean"):
        super().__init__(size_average, reduce, reduction)

    def forward(self, input, target):
        return F.mse_loss(input, target, reduction=self.reduction)
