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


SHAPES = {"a": (3, 2), "b": (4,), "c": (5, 1), "d": ()}


def twins(rng):
    """{name: parameter} of minires, and the same of PyTorch, in float32."""
    own = {
        name: Parameter(np.asarray(rng.standard_normal(shape), np.float32)) for name, shape in SHAPES.items()
    }
    return own, {name: torch.nn.Parameter(torch.tensor(p.numpy())) for name, p in own.items()}


def grouped(params):
    """Groups that differ in every option, one of them of a single tensor and one of named ones."""
    return [
        {"params": [params["a"]], "lr": 0.02, "weight_decay": 0.1},
        {"params": params["b"], "momentum": 0.0},
        {"params": [(name, params[name]) for name in "cd"], "momentum": 0.5, "nesterov": True},
    ]


def assert_twenty_steps_agree(optimizer, torch_optimizer, own, others, rng):
    """The rates of all groups drop by half at step 10."""
    for step in range(20):
        for p, q in zip(own.values(), others.values(), strict=True):
            gradient = np.asarray(rng.standard_normal(p.shape), np.float32)
            p.grad, q.grad = Tensor(gradient), torch.tensor(gradient)
        if step == 10:
            for group in (*optimizer.param_groups, *torch_optimizer.param_groups):
                group["lr"] *= 0.5
        optimizer.step()
        torch_optimizer.step()
    for name, p in own.items():
        np.testing.assert_allclose(p.numpy(), others[name].detach().numpy(), rtol=2e-6, atol=2e-6)


def test_twenty_steps_of_groups_as_in_torch(rng):
    own, others = twins(rng)
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}
    groups, torch_groups = grouped(own), grouped(others)
    torch_groups[2] = {**torch_groups[2], "params": [q for _, q in torch_groups[2]["params"]]}
    optimizer, torch_optimizer = SGD(groups, **options), torch.optim.SGD(torch_groups, **options)
    for group, torch_group in zip(optimizer.param_groups, torch_optimizer.param_groups, strict=True):
        same = set(torch_group) - {"params"}
        assert {name: group[name] for name in same} == {name: torch_group[name] for name in same}
    assert_twenty_steps_agree(optimizer, torch_optimizer, own, others, rng)


@pytest.mark.parametrize(
    "arguments", [(), (0.1,), (0.1, 0.9), (0.1, 0.9, 0, 5e-4), (0.1, 0.9, 0, 5e-4, True)]
)
def test_twenty_steps_with_positional_arguments_and_names_as_in_torch(rng, arguments):
    own, others = twins(rng)
    optimizer, torch_optimizer = SGD(own.items(), *arguments), torch.optim.SGD(others.items(), *arguments)
    assert optimizer.param_groups[0]["param_names"] == torch_optimizer.param_groups[0]["param_names"]
    assert_twenty_steps_agree(optimizer, torch_optimizer, own, others, rng)


def test_the_rate_of_groups_is_scaled_as_by_torchs_schedules(rng):
    own, others = twins(rng)
    torch_groups = grouped(others)
    torch_groups[2] = {**torch_groups[2], "params": [q for _, q in torch_groups[2]["params"]]}
    optimizer = SGD(grouped(own), lr=0.1, momentum=0.9)
    torch_optimizer = torch.optim.SGD(torch_groups, lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(torch_optimizer, milestones=[1, 2])
    for rate in (0.02, 0.002, 0.0002):
        optimizer.lr = rate
        rates = [group["lr"] for group in torch_optimizer.param_groups]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates, rel=1e-12)
        torch_optimizer.step()
        schedule.step()


def test_the_bad_options_of_a_group_are_refused_as_by_torch(rng):
    own, others = twins(rng)
    for module, w in ((SGD, own["a"]), (torch.optim.SGD, others["a"])):
        for params in (w, [w * 2], [], [{"params": [w]}, {"params": [w]}], [{"params": {w}}], [{"lr": 1}]):
            with pytest.raises((ValueError, TypeError, KeyError)):
                module(params, lr=0.1)
