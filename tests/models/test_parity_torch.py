"""A network of each family in minires and in PyTorch: same weights, same logits, same gradients."""

import math
from functools import partial

import numpy as np
import pytest
import torch_convnets
from torch_convnets import VGG16, AlexNet, GoogLeNet, NiN, TwoTowerAlexNet
from torch_preact import FIGURE_4, PreActResNet, WideResNet
from torch_resnets import CifarResNet, CifarResNeXt, ResNet

from minires import Tensor, models, no_grad
from minires.backend.cpu.blas import one_thread_per_product
from minires.models import convnet
from minires.models.shortcuts import SHORTCUTS
from minires.nn import Linear
from minires.nn.utils import fuse_conv_bn_eval
from minires.ops import cross_entropy

torch = pytest.importorskip("torch")

CLASSES = 7


def row(image_size, name, torch_class, **options):
    return name, torch_class, options, image_size


# Images are not square, so that tests fail if height and width are exchanged. Each test takes two images.
imagenet = partial(row, (64, 48))
narrow = partial(imagenet, widths=(16, 32, 64, 128))
cifar = partial(row, (16, 13))
slim = partial(cifar, widths=(6, 12, 24))

resnet18, resnet50 = partial(ResNet, 18), partial(ResNet, 50)
resnet50_v1_5 = partial(resnet50, stride_in_1x1=False)
resnet14, preact14, preact20 = partial(CifarResNet, 14), partial(PreActResNet, 14), partial(PreActResNet, 20)
with_bottlenecks = {"shortcut": "B", "bottleneck": True}

# key: (name in minires, class in PyTorch, options of both, height and width of the images)
NETWORKS = {
    "resnet18": narrow("resnet18", resnet18),
    "resnet18_A": narrow("resnet18", resnet18, shortcut="A"),
    "plain18": narrow("plain18", partial(resnet18, "none")),
    "resnet50": narrow("resnet50", resnet50, stride_in_1x1=True),
    "resnet50_v1_5": narrow("resnet50_v1_5", resnet50_v1_5),
    "resnext50_32x4d": narrow("resnext50_32x4d", partial(resnet50_v1_5, groups=32, width_per_group=4)),
    "wide_resnet50_2": narrow("wide_resnet50_2", partial(resnet50_v1_5, width_per_group=128)),
    **{f"cifar_{shortcut}": slim("resnet14", resnet14, shortcut=shortcut) for shortcut in SHORTCUTS},
    "cifar_constant_scaling": slim("resnet14", resnet14, shortcut="constant_scaling", factors=(0.3, 0.8)),
    "cifar_dropout": slim("resnet14", resnet14, shortcut="dropout", drop_rate=0.4),
    "cifar_bottleneck": slim("resnet20", partial(CifarResNet, 20), **with_bottlenecks),
    **{f"preact_{order}": slim("preact_resnet14", preact14, order=order) for order in FIGURE_4},
    **{
        f"preact_bottleneck_{order}": slim("preact_resnet20", preact20, order=order, **with_bottlenecks)
        for order in FIGURE_4
    },
    "wrn_16_2": cifar("wrn_16_2", partial(WideResNet, 16, 2)),
    "wrn_16_2_dropout": cifar("wrn_16_2", partial(WideResNet, 16, 2), dropout=0.3),
    **{
        f"resnext11_4x8d_{form}": cifar("resnext11_4x8d", partial(CifarResNeXt, 11, 4, 8), form=form)
        for form in "cab"
    },
    "alexnet": row((96, 80), "alexnet", AlexNet),
    "alexnet_two_tower": row((96, 80), "alexnet_two_tower", TwoTowerAlexNet),
    "vgg16": row((32, 40), "vgg16", VGG16),
    "vgg16_bn": row((32, 40), "vgg16_bn", partial(VGG16, batch_norm=True)),
    "googlenet": imagenet("googlenet", GoogLeNet, transform_input=True),
    "googlenet_2014": imagenet("googlenet_2014", partial(GoogLeNet, original=True)),
    "nin": row((32, 25), "nin", NiN),
}
TRAINING_SHAPES = {"googlenet_2014": (1, 3, 224, 224)}  # one square image: the heads need 14 x 14 pixels

# The number of biases whose gradient is 0, because a later batch norm subtracts what they add: the biases of
# convolutions in front of a batch norm, and those of some projections' batch norms.
BIASES_WITHOUT_EFFECT = {
    "vgg16_bn": 13,
    "preact_bottleneck_bn_after_addition": 3,  # the next batch norm is behind the addition
    "preact_bottleneck_relu_before_addition": 2,  # on every path, a 1 x 1 convolution with batch norm follows
}

# The initial weights do not matter here, and drawing millions of them takes seconds.
ZERO_WEIGHTS = "minires.nn.layers.he_normal", lambda shape, generator: np.zeros(shape, np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """In such small networks the threads of PyTorch and of NumPy's products would mostly wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with one_thread_per_product():
        yield
    torch.set_num_threads(threads)


# The largest networks. The other tests cover similar ones: vgg16_bn and googlenet.
LARGE = {"vgg16", "googlenet_2014"}


def mark_large_as_slow(names):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in names]


@pytest.fixture(scope="module", params=mark_large_as_slow(NETWORKS))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    """minires's network, PyTorch's, and a state for both."""
    net, torch_net = create_networks(name)
    return net, torch_net, random_state(torch_net, NETWORKS[name][-1])


@pytest.fixture
def same_dropout(monkeypatch):
    """Dropout has the same mask in both libraries: the shape and the probability determine it.

    So the gradients can be compared, and a dropout layer in another place is noticed.
    """

    def mask(x, p):
        return (np.random.default_rng(3).random(x.shape) >= p) / (1 - p)

    def dropout(x, p, training, generator):
        return x * Tensor(mask(x, p)) if training else x

    def torch_dropout(x, p, training, inplace):
        return x * torch.tensor(mask(x, p)) if training else x

    monkeypatch.setattr("minires.nn.functional.dropout", dropout)
    monkeypatch.setattr("torch.nn.functional.dropout", torch_dropout)


def create_networks(name):
    """minires's network and PyTorch's; hidden fully connected layers have 64 units instead of 4096."""
    minires_name, torch_class, options, _ = NETWORKS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*ZERO_WEIGHTS)
        patch.setattr(convnet, "Linear", lambda *sizes: Linear(*(64 if n == 4096 else n for n in sizes)))
        patch.setattr(torch_convnets, "HIDDEN", 64)
        net = models.create(minires_name, classes=CLASSES, **options)
        return net, torch_class(classes=CLASSES, **options)


def random_state(torch_net, image_size):
    """{name: array}. No weight, bias or statistic is 0 or 1, because these values could hide an error.

    Running statistics are those of six images, each mean shifted by up to half a standard deviation and each
    variance changed by up to 50 %, so that activations stay about as large as in a trained network.
    """
    rng = np.random.default_rng(0)
    for name, tensor in torch_net.state_dict().items():
        suffix = name.rpartition(".")[2]
        if tensor.ndim > 1:
            scale = math.sqrt(2 / math.prod(tensor.shape[1:]))
            values = scale * rng.standard_normal(tensor.shape, np.float32)
        elif suffix in ("weight", "running_var"):
            values = rng.uniform(0.5, 1.5, tensor.shape)
        else:
            values = 0.3 * rng.standard_normal(tensor.shape)
        tensor.copy_(torch.tensor(values))

    def set_statistics(norm, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        shift = torch.tensor(rng.uniform(-0.5, 0.5, mean.shape), dtype=mean.dtype)
        norm.running_mean.copy_(mean + shift * variance.sqrt())
        norm.running_var.copy_(variance * (1 + shift))

    norms = [module for module in torch_net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(set_statistics) for norm in norms]
    if norms:
        with torch.no_grad():
            torch_net.eval()(torch.tensor(images(rng, (6, 3, *image_size)).astype("float32")))
    for hook in hooks:
        hook.remove()
    return {name: tensor.numpy().copy() for name, tensor in torch_net.state_dict().items()}


def images(rng, shape):
    """Each image is noise around a random colour: the averages of noise alone would be too similar."""
    return rng.standard_normal((*shape[:2], 1, 1)) + rng.standard_normal(shape)


def load(network, dtype):
    """Both networks with the state. It must fit both; minires ignores PyTorch's num_batches_tracked."""
    net, torch_net, state = network
    net.to(dtype).load_state_dict(state)
    torch_net.to(getattr(torch, dtype)).load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    return net, torch_net


def test_same_logits_in_evaluation(name, network):
    net, torch_net = load(network, "float32")
    x = images(np.random.default_rng(1), (2, 3, *NETWORKS[name][-1])).astype("float32")
    with torch.no_grad():
        expected = torch_net.eval()(torch.tensor(x)).numpy()
    spread = np.ptp(expected)
    assert 0.5 < spread < 100
    assert np.ptp(expected, axis=0).max() > 0.05 * spread  # logits depend on the images, not only on biases

    recorded = net.eval()(Tensor(x))
    with no_grad():
        plain, folded = net(Tensor(x)), fuse_conv_bn_eval(net)(Tensor(x))
    for logits in (recorded.numpy(), plain.numpy(), folded.numpy()):
        assert logits.shape == expected.shape == (2, CLASSES)
        assert logits.dtype == np.float32
        assert np.abs(logits - expected).max() <= 1e-4 * spread


def test_same_step_in_training(name, network, same_dropout, agree):
    net, torch_net = load(network, "float64")
    rng = np.random.default_rng(2)
    x = images(rng, TRAINING_SHAPES.get(name, (2, 3, *NETWORKS[name][-1])))
    labels = rng.integers(0, CLASSES, len(x))

    loss = loss_with_heads(net.train()(Tensor(x)), partial(cross_entropy, target=labels))
    loss.backward()
    torch_cross_entropy = partial(torch.nn.functional.cross_entropy, target=torch.tensor(labels))
    expected = loss_with_heads(torch_net.train()(torch.tensor(x)), torch_cross_entropy)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)

    gradients = {key: parameter.grad.numpy() for key, parameter in torch_net.named_parameters()}
    scales = {key: np.abs(gradient).max() for key, gradient in gradients.items()}
    weight_scales = {key: scales[key.replace("bias", "weight")] for key in scales}
    without_effect = [key for key in scales if scales[key] < 1e-12 * weight_scales[key]]
    assert len(without_effect) == BIASES_WITHOUT_EFFECT.get(name, 0)
    for key in without_effect:  # both gradients are rounding errors: compare on the weights' scale
        scales[key] = weight_scales[key]
    assert min(scales.values()) > 0
    for key, parameter in net.named_parameters():
        assert np.abs(parameter.grad.numpy() - gradients[key]).max() <= 1e-8 * scales[key], key
    statistics = torch_net.state_dict()
    for key, buffer in net.named_buffers():
        agree(buffer, statistics[key], 1e-10)


@pytest.mark.parametrize("name", mark_large_as_slow(name for name in NETWORKS if name in models.MODELS))
def test_same_names_and_shapes_at_full_size(name, monkeypatch):
    monkeypatch.setattr(*ZERO_WEIGHTS)
    with torch.device("meta"):
        state = NETWORKS[name][1]().state_dict()
    expected = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert {k: v.shape for k, v in models.create(name).state_dict().items()} == expected


def loss_with_heads(y, loss):
    """The loss of the logits plus 0.3 times that of each auxiliary head (Szegedy et al. 2014, section 5)."""
    if not isinstance(y, tuple):
        return loss(y)
    y, upper, lower = map(loss, y)
    return y + 0.3 * upper + 0.3 * lower
