"""The loss of networks with one output and of those with auxiliary heads."""

import numpy as np
import pytest

from minires import Tensor
from minires.nn.functional import cross_entropy
from minires.train import classification_loss

LABELS = np.array([0, 2, 1])


def logits(rng):
    return Tensor(rng.standard_normal((3, 4)), requires_grad=True)


def test_one_output_is_plain_cross_entropy(rng):
    x = logits(rng)
    loss, evaluated = classification_loss(x, LABELS)
    assert evaluated is x
    assert loss.item() == cross_entropy(x, LABELS).item()


@pytest.mark.parametrize("heads", [1, 2])
def test_heads_count_three_tenths(rng, heads):
    outputs = tuple(logits(rng) for _ in range(1 + heads))
    loss, evaluated = classification_loss(outputs, LABELS)
    losses = [cross_entropy(output.detach(), LABELS).item() for output in outputs]
    assert evaluated is outputs[0]
    assert loss.item() == pytest.approx(losses[0] + 0.3 * sum(losses[1:]), rel=1e-14)


def test_every_head_gets_its_share_of_the_gradient(rng):
    outputs = tuple(logits(rng) for _ in range(3))
    classification_loss(outputs, LABELS)[0].backward()
    for output, weight in zip(outputs, (1.0, 0.3, 0.3), strict=True):
        alone = Tensor(output.numpy().copy(), requires_grad=True)
        cross_entropy(alone, LABELS).backward()
        np.testing.assert_allclose(output.grad.numpy(), weight * alone.grad.numpy(), rtol=1e-13, atol=1e-16)
