"""The layers of a network, with output shapes, parameters and multiply-adds."""

import math
from dataclasses import dataclass

import numpy as np

from minires.engine import Tensor, no_grad
from minires.nn import Identity, Module


@dataclass(frozen=True)
class LayerRow:
    """One layer: its dotted name and class, its output shape for one image, and its cost.

    The shape is empty and the cost 0 for a layer that only training uses, such as an auxiliary head's.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model, input_shape=None):
    """Send one blank image through the model, in evaluation, and list its layers in the order of their use.

    input_shape: (C, H, W); if left out, the size that the model names as its `input_size`, or else 32 x 32
    pixels, in as many channels as the first weight takes.

    Multiply-adds are those of convolutions and matrix products, as the papers count them: each weight is used
    once at every position of the output.
    """
    rows, hooks, layers = [], [], {}
    parameters = list(model.parameters())
    side = getattr(model, "input_size", 32)
    input_shape = input_shape or (parameters[0].shape[1], side, side)

    def row(layer, shape=()):
        own = [p for _, p in layer.named_members(Tensor) if p.requires_grad]
        weights = sum(p.numel() for p in own if p.ndim > 1)
        uses = math.prod(shape[1:]) if shape else 0
        kind, parameters = type(layer).__name__, sum(p.numel() for p in own)
        return LayerRow(layers[layer], kind, shape, parameters, weights * uses)

    for name, layer in model.named_modules():
        if not layer.named_members(Module) and not isinstance(layer, Identity):
            layers[layer] = name
            hooks.append(
                layer.register_forward_hook(lambda layer, _, y: rows.append(row(layer, y.shape[1:])))
            )
    try:
        with no_grad(), model.evaluating():
            model(Tensor(np.zeros((1, *input_shape), parameters[0].dtype)))
    finally:
        for hook in hooks:
            hook.remove()
    used = {row.name for row in rows}
    return rows + [row(layer) for layer, name in layers.items() if name not in used]
