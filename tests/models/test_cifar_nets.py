"""The CIFAR networks of the ResNet paper: counts, sizes, names, shortcuts, blocks, bad options."""

import numpy as np
import pytest

from minires import Tensor, models, no_grad
from minires.errors import OptionError
from minires.models import CifarResNet, summarize
from minires.nn import Identity, Sequential

# depth: parameters under options A, B, C and under A with 100 classes, multiply-adds under A
COUNTS = {
    20: (269_722, 272_474, 283_962, 275_572, 40_551_040),
    32: (464_154, 466_906, 489_594, 470_004, 68_862_592),
    44: (658_586, 661_338, 695_226, 664_436, 97_174_144),
    56: (853_018, 855_770, 900_858, 858_868, 125_485_696),
    110: (1_727_962, 1_730_714, 1_826_202, 1_733_812, 252_887_680),
    1202: (19_421_274, 19_424_026, 20_538_714, 19_427_124, 2_829_238_912),
}


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("depth", COUNTS)
def test_parameter_counts(depth):
    a, b, c, hundred_classes, _ = COUNTS[depth]
    assert count_parameters(models.create(f"resnet{depth}")) == a
    assert count_parameters(models.create(f"resnet{depth}", shortcut="B")) == b
    if depth < 1202:  # one large net is enough
        assert count_parameters(models.create(f"plain{depth}")) == a
        assert count_parameters(models.create(f"resnet{depth}", shortcut="C")) == c
        assert count_parameters(models.create(f"resnet{depth}", classes=100)) == hundred_classes


@pytest.mark.parametrize("family", ["resnet", "plain"])
@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_multiply_adds(family, depth):
    rows = summarize(models.create(f"{family}{depth}"))
    assert sum(row.multiply_adds for row in rows) == COUNTS[depth][4]
    assert sum(row.parameters for row in rows) == COUNTS[depth][0]


def test_batch_norms_share_of_the_parameters():
    rows = summarize(models.create("resnet20"))
    assert sum(row.parameters for row in rows if row.kind == "BatchNorm2d") == 1_376


@pytest.mark.parametrize("n", [1, 3, 5])
def test_depth_counts_the_weighted_layers(n):
    rows = summarize(CifarResNet(6 * n + 2))
    assert sum(row.kind in ("Conv2d", "Linear") for row in rows) == 6 * n + 2


def test_sizes_per_stage():
    shapes = {row.name: row.output_shape for row in summarize(models.create("resnet20"))}
    assert shapes["conv1"] == shapes["bn1"] == (16, 32, 32)  # a stem without a pool
    assert {shape for name, shape in shapes.items() if name.startswith("layer1")} == {(16, 32, 32)}
    assert {shape for name, shape in shapes.items() if name.startswith("layer2")} == {(32, 16, 16)}
    assert {shape for name, shape in shapes.items() if name.startswith("layer3")} == {(64, 8, 8)}
    assert shapes["fc"] == (10,)


def test_layers_are_named_after_the_tables():
    names = [row.name for row in summarize(CifarResNet(14, "B"))]
    assert names[:2] == ["conv1", "bn1"]
    assert names[-1] == "fc"
    first = "layer2.0"
    assert [name.removeprefix(f"{first}.") for name in names if name.startswith(first)] == [
        "downsample.0",
        "downsample.1",
        "conv1",
        "bn1",
        "conv2",
        "bn2",
    ]
    assert list(CifarResNet(8).state_dict())[:6] == [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "layer1.0.conv1.weight",
    ]


def test_stride_two_sits_in_the_first_convolution_of_stages_two_and_three():
    net = CifarResNet(20)
    strided = [name for name, module in net.named_modules() if getattr(module, "stride", 1) != 1]
    assert [name for name in strided if "downsample" not in name] == ["layer2.0.conv1", "layer3.0.conv1"]


def test_convolutions_have_no_bias_and_the_classifier_has_one():
    assert [
        name for name in CifarResNet(20).state_dict() if name.endswith(("conv1.bias", "conv2.bias"))
    ] == []
    assert "fc.bias" in CifarResNet(20).state_dict()


def blocks(net):
    return [block for stage in (net.layer1, net.layer2, net.layer3) for block in stage]


def test_plain_nets_have_no_shortcut():
    assert [block.downsample for block in blocks(models.create("plain20"))] == [None] * 9


def test_option_a_has_nine_shortcuts_without_parameters():
    shortcuts = [block.downsample for block in blocks(models.create("resnet20"))]
    assert [type(s).__name__ for s in shortcuts[1:3]] == ["Identity", "Identity"]
    assert [i for i, s in enumerate(shortcuts) if not isinstance(s, Identity)] == [3, 6]
    assert all(count_parameters(s) == 0 for s in shortcuts)


@pytest.mark.parametrize(("option", "projected"), [("B", [3, 6]), ("C", list(range(9)))])
def test_options_b_and_c_project(option, projected):
    shortcuts = [block.downsample for block in blocks(CifarResNet(20, option))]
    assert [i for i, s in enumerate(shortcuts) if isinstance(s, Sequential)] == projected
    for i in projected:
        convolution, norm = shortcuts[i]
        assert convolution.weight.shape[2:] == (1, 1)
        assert convolution.bias is None
        assert type(norm).__name__ == "BatchNorm2d"


@pytest.mark.parametrize(("channels", "before"), [(32, 8), (64, 24), (17, 0)])
def test_option_a_takes_every_second_pixel_between_zero_channels(rng, channels, before):
    x = rng.standard_normal((2, 16, 6, 6))
    y = models.cifar_resnet.BasicBlock(16, channels, 2, "A").downsample(Tensor(x)).numpy()
    expected = np.zeros((2, channels, 3, 3))
    expected[:, before : before + 16] = x[:, :, ::2, ::2]
    np.testing.assert_array_equal(y, expected)


def test_residual_block_adds_its_input(rng):
    """y = relu(F(x) + x): with bn2's weight 0, F(x) is 0."""
    block = models.cifar_resnet.BasicBlock(4, 4)
    block.bn2.weight.data[...] = 0
    x = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(block(Tensor(x)).numpy(), np.maximum(x, 0))


def test_plain_block_does_not_add_its_input(rng):
    block = models.cifar_resnet.BasicBlock(4, 4, shortcut="none")
    block.bn2.weight.data[...] = 0
    x = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    assert not block(Tensor(x)).numpy().any()


def deepen(shallow, deep):
    """The paper's constructed solution: the shallow net's weights, and F = 0 in the additional blocks."""
    state = {name: array.copy() for name, array in shallow.state_dict().items()}
    for stage in ("layer1", "layer2", "layer3"):
        for i in range(len(getattr(shallow, stage)), len(getattr(deep, stage))):
            block = getattr(deep, stage)[i]
            block.bn2.weight.data[...] = 0
            block.bn2.bias.data[...] = 0
            added = f"{stage}.{i}."
            state |= {name: a.copy() for name, a in deep.state_dict().items() if name.startswith(added)}
    deep.load_state_dict(state)
    return deep


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_deeper_residual_net_can_equal_the_shallower_one(rng, training):
    shallow = CifarResNet(8, generator=rng).train(training)
    deep = deepen(shallow, CifarResNet(20, generator=rng)).train(training)
    x = Tensor(rng.standard_normal((4, 3, 16, 16)).astype(np.float32))
    with no_grad():
        np.testing.assert_array_equal(deep(x).numpy(), shallow(x).numpy())


def test_deeper_plain_net_does_not_equal_the_shallower_one(rng):
    shallow = CifarResNet(8, "none", generator=rng)
    deep = deepen(shallow, CifarResNet(20, "none", generator=rng))
    x = Tensor(rng.standard_normal((4, 3, 16, 16)).astype(np.float32))
    with no_grad():
        assert np.abs(deep(x).numpy() - shallow(x).numpy()).max() > 0.1


def test_other_widths_channels_and_classes():
    net = CifarResNet(8, widths=(4, 6, 10), in_channels=1, classes=3)
    assert summarize(net, (1, 8, 8))[-1].output_shape == (3,)
    assert net.conv1.weight.shape == (4, 1, 3, 3)


def test_summary_does_not_change_the_model():
    net = CifarResNet(8)
    net.layer1.eval()  # frozen, as for fine-tuning
    modes = [module.training for module in net.modules()]
    before = {name: array.copy() for name, array in net.state_dict().items()}
    summarize(net)
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (16, 32)}, "widths must be 3 numbers"),
        ({"widths": (0, 1, 2)}, "widths must be positive whole numbers"),
        ({"widths": "abc"}, "widths must be"),
        ({"widths": (32, 16, 8)}, "shortcut A cannot go from 32 to 16 channels"),
        ({"in_channels": 0}, "in_channels must be a positive whole number"),
        ({"classes": "ten"}, "classes must be a positive whole number"),
        ({"generator": "abc"}, "generator must be"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        CifarResNet(8, **options)


def test_same_seed_same_net():
    a, b, c = (CifarResNet(8, generator=np.random.default_rng(seed)).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["conv1.weight"], c["conv1.weight"])
