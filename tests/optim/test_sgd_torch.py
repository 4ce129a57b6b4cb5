import numpy as np
import pytest

from minires import Tensor
from minires.nn import Parameter
from minires.optim import SGD

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("weight_decay", [0.0, 1e-4, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.9, True)])
def test_ten_steps_as_in_torch(rng, momentum, weight_decay, nesterov):
    shapes = [(3, 2), (4,), ()]
    parameters = [Parameter(rng.standard_normal(shape)) for shape in shapes]
    torch_parameters = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in parameters]
    options = {"lr": 0.1, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    optimizer, torch_optimizer = SGD(parameters, **options), torch.optim.SGD(torch_parameters, **options)
    for step in range(10):
        for p, q in zip(parameters, torch_parameters, strict=True):
            gradient = rng.standard_normal(p.shape)
            p.grad, q.grad = Tensor(gradient), torch.tensor(gradient)
        if step == 5:  # a drop of the learning rate leaves the velocities as they are
            optimizer.lr = torch_optimizer.param_groups[0]["lr"] = 0.01
        optimizer.step()
        torch_optimizer.step()
        for p, q in zip(parameters, torch_parameters, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-14)
