"""What a network consists of: layers, output shapes, parameters, multiply-adds."""

import math
from dataclasses import dataclass

import numpy as np

from minires.engine import Tensor, no_grad
from minires.nn import Identity, Module


@dataclass(frozen=True)
class LayerRow:
    """One layer: its dotted name and kind, the shape that it makes of one image, and what it costs."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def summarize(model, input_shape=(3, 32, 32)):
    """Send one blank image (C, H, W) through the model and list its layers in the order of their use.

    Multiply-adds are those of convolutions and matrix products, as the papers count them: each weight is used
    once at every position of the output.
    """
    rows, removers = [], []

    def watch(name, layer):
        def record(_, inputs, y):
            own = [p for _, p in layer.named_members(Tensor) if p.requires_grad]
            weights = [p.numel() for p in own if p.ndim > 1]
            positions = math.prod(y.shape[2:])
            rows.append(
                LayerRow(
                    name,
                    type(layer).__name__,
                    y.shape[1:],
                    sum(p.numel() for p in own),
                    sum(weights) * positions,
                )
            )

        removers.append(layer.register_forward_hook(record))

    for name, layer in model.named_modules():
        if not layer.named_members(Module) and not isinstance(layer, Identity):
            watch(name, layer)
    try:
        with no_grad(), model.evaluating():
            model(Tensor(np.zeros((1, *input_shape), model.parameters()[0].dtype)))
    finally:
        for remove in removers:
            remove()
    return rows
