"""A batch without images goes through networks and back, as in PyTorch."""

import numpy as np
import pytest

from minires import Tensor, models
from minires.ops import cross_entropy


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["resnet8", "preact_resnet8", "resnext11_4x8d"])
def test_forward_and_backward(name, training):
    net = models.create(name, generator=0).train(training)
    before = {key: array.copy() for key, array in net.state_dict().items()}
    y = net(Tensor(np.zeros((0, 3, 32, 32), np.float32)))
    assert y.shape == (0, 10)
    y.sum().backward()
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
    assert np.isnan(cross_entropy(y.detach(), np.zeros(0, int)).item())
