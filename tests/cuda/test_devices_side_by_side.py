"""Arrays of the CPU and of the GPU in one operation: a line of error that names it and says what to type."""

import numpy as np
import pytest

from minires import nn
from minires.backend import to_device
from minires.engine import Tensor, no_grad
from minires.errors import DeviceError
from minires.nn import functional as F
from minires.ops.shape import concatenate
from minires.optim import SGD

TWO_DEVICES = [("cuda", "cpu"), ("cpu", "cuda")]


def tensor(device, *shape):
    return Tensor(to_device(np.ones(shape, np.float32), device), requires_grad=True)


class InEvaluation(nn.Module):
    """A convolution and a batch norm, which evaluation computes as one convolution."""

    def __init__(self, device, running):
        self.running, self.weight, self.factors = running, tensor(device, 4, 4, 3, 3), tensor(device, 4)

    def forward(self, x):
        with no_grad():
            return F.batch_norm(
                F.conv2d(x, self.weight), self.running, self.running, self.factors, self.factors
            )


MIXTURES = {
    "add": lambda a, b: tensor(a, 3) + tensor(b, 3),
    "eq": lambda a, b: tensor(a, 3) == tensor(b, 3),
    "matmul": lambda a, b: tensor(a, 3, 3) @ tensor(b, 3, 3),
    "conv2d": lambda a, b: F.conv2d(tensor(a, 2, 4, 5, 5), tensor(b, 4, 4, 3, 3)),
    "linear": lambda a, b: F.linear(tensor(a, 2, 4), tensor(b, 3, 4)),
    "batch_norm": lambda a, b: F.batch_norm(
        tensor(a, 2, 4, 5, 5), tensor(b, 4), tensor(b, 4), tensor(b, 4), tensor(b, 4), training=True
    ),
    "batch_norm, weight and statistics": lambda a, b: F.batch_norm(
        tensor(a, 2, 4, 5, 5), tensor(b, 4), tensor(b, 4), tensor(a, 4), tensor(a, 4), training=True
    ),
    "batch_norm, weight and": lambda a, b: InEvaluation(a, tensor(b, 4))(tensor(a, 2, 4, 5, 5)),
    "add: ": lambda a, b: F.conv2d(tensor(a, 2, 4, 5, 5), tensor(a, 4, 4, 5, 5), add=tensor(b, 2, 4, 1, 1)),
    "cross_entropy": lambda a, b: F.cross_entropy(tensor(a, 2, 3), to_device(np.array([0, 1]), b)),
    "concatenate": lambda a, b: concatenate([tensor(a, 3), tensor(b, 3)]),
    "backward": lambda a, b: (2 * tensor(a, 3)).backward(tensor(b, 3)),
    "SGD": lambda a, b: update(tensor(a, 3), tensor(b, 3)),
}


def update(parameter, gradient):
    parameter.grad = gradient
    SGD([parameter], lr=0.1).step()


@pytest.mark.parametrize(("a", "b"), TWO_DEVICES)
@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_refused(cupy, name, a, b):
    with pytest.raises(DeviceError, match=rf"^{name}.* on '{a}' but .* '{b}'; move .*with .*\.to\("):
        MIXTURES[name](a, b)
