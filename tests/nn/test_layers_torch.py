"""Each layer against PyTorch's of the same name, with the weights loaded from PyTorch's state_dict."""

import copy

import numpy as np
import pytest

from minires import Tensor, nn

torch = pytest.importorskip("torch")

IMAGE = (4, 6, 7, 7)


def layer(name, shape, *args, **options):
    return pytest.param(name, shape, args, options, id=f"{name}{args}")


LAYERS = [
    layer("Conv2d", IMAGE, 6, 4, 3),
    layer("Conv2d", IMAGE, 6, 4, 3, 2, 1, bias=False),
    layer("Conv2d", IMAGE, 6, 4, (1, 3), (2, 1), (0, 1), (1, 2), 2),
    layer("Linear", (5, 6), 6, 3),
    layer("Linear", (2, 5, 6), 6, 3, bias=False),
    layer("BatchNorm2d", IMAGE, 6),
    layer("BatchNorm2d", IMAGE, 6, 1e-3, 0.3),
    layer("BatchNorm1d", (5, 6), 6),
    layer("Identity", (5, 6)),
    layer("ReLU", (5, 6)),
    layer("Sigmoid", (5, 6)),
    layer("Tanh", (5, 6)),
    layer("MaxPool2d", IMAGE, 3),
    layer("MaxPool2d", IMAGE, 3, 2, 1),
    layer("MaxPool2d", IMAGE, 2, ceil_mode=True),
    layer("AvgPool2d", IMAGE, 2),
    layer("AvgPool2d", IMAGE, 3, 2, 1, count_include_pad=False),
    layer("Flatten", IMAGE),
    layer("Flatten", IMAGE, 0, 2),
    layer("LocalResponseNorm", IMAGE, 5),
    layer("LocalResponseNorm", IMAGE, 4, 0.1, 0.5, 2.0),
]


def assert_same_state(agree, module, torch_module):
    expected = {k: v for k, v in torch_module.state_dict().items() if not k.endswith("num_batches_tracked")}
    state = module.state_dict()
    assert list(state) == list(expected)
    for name, array in state.items():
        agree(array, expected[name])


@pytest.mark.parametrize(("name", "shape", "args", "options"), LAYERS)
def test_layer(same_as_torch, agree, rng, dtype, name, shape, args, options):
    torch_module = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype))
    with torch.no_grad():
        for p in torch_module.parameters():  # batch norm's initial gamma = 1 and beta = 0 would hide errors
            p.copy_(torch.tensor(rng.uniform(0.5, 2, p.shape)))
    module = getattr(nn, name)(*args, **options).to(dtype)
    module.load_state_dict(torch_module.state_dict() if list(torch_module.parameters()) else {})
    for mode in (True, False):
        module.train(mode)
        torch_module.train(mode)
        module.zero_grad()
        torch_module.zero_grad()
        same_as_torch(module, torch_module, [rng.standard_normal(shape).astype(dtype)])
        for p, (_, q) in zip(module.parameters(), torch_module.named_parameters(), strict=True):
            agree(p.grad, q.grad)
        assert_same_state(agree, module, torch_module)


def test_global_average_pooling(same_as_torch, rng):
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    same_as_torch(nn.GlobalAvgPool2d(), pooled, [rng.standard_normal(IMAGE)])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses(same_as_torch, rng, reduction):
    x, target, labels = rng.standard_normal((5, 4)), rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    options = {"reduction": reduction}
    loss, torch_loss = nn.CrossEntropyLoss(**options), torch.nn.CrossEntropyLoss(**options)
    same_as_torch(lambda x: loss(x, labels), lambda x: torch_loss(x, torch.tensor(labels)), [x])
    same_as_torch(nn.MSELoss(**options), torch.nn.MSELoss(**options), [x, target])


def test_dropout_in_evaluation_and_its_share_in_training():
    dropout = nn.Dropout(0.25, generator=np.random.default_rng(0))
    x = Tensor(np.ones(10_000, np.float32))
    kept = (dropout(x).numpy() > 0).mean()
    assert abs(kept - 0.75) < 5 * (0.75 * 0.25 / 10_000) ** 0.5
    assert dropout.eval()(x) is x


def test_whole_network_with_weights_from_torch(same_as_torch, agree, rng, dtype):
    torch_net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(3, 2, 1),
        torch.nn.Conv2d(8, 8, 3, groups=4),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 5),
    ).to(getattr(torch, dtype))
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, groups=4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(32, 5),
    ).to(dtype)
    net.load_state_dict(copy.deepcopy(torch_net.state_dict()))
    same_as_torch(net, torch_net, [rng.standard_normal((4, 3, 8, 8)).astype(dtype)])
    assert_same_state(agree, net, torch_net)
    for p, q in zip(net.parameters(), torch_net.parameters(), strict=True):
        agree(p.grad, q.grad)
