"""Every network by its name: parameters, multiply-adds and the size of each stage, against the papers."""

import re
import tracemalloc

import numpy as np
import pytest

from minires import models
from minires.models import CifarResNet, CifarResNeXt, PreActResNet, ResNet, WideResNet
from minires.models.published import FIGURES, published
from minires.nn.init import skip_init

STAGES = ("layer1", "layer2", "layer3", "layer4")


def imagenet(*channels):
    """{layer: output size} of an ImageNet ResNet for 224 x 224 pixels, its stages with these channels."""
    return {"conv1": (64, 112, 112), "maxpool": (64, 56, 56)} | {
        stage: (c, s, s) for stage, c, s in zip(STAGES, channels, (56, 28, 14, 7), strict=True)
    }


def cifar(*channels):
    """{layer: output size} of three stages with these channels for 32 x 32 pixels."""
    return {stage: (c, s, s) for stage, c, s in zip(STAGES, channels, (32, 16, 8), strict=False)}


BASIC, BOTTLENECK = imagenet(64, 128, 256, 512), imagenet(256, 512, 1024, 2048)
THIN, THIN_BOTTLENECK, RESNEXT = cifar(16, 32, 64), cifar(64, 128, 256), cifar(256, 512, 1024)
ALEXNET = {"features.2": (64, 27, 27), "features.5": (192, 13, 13), "features.12": (256, 6, 6)}
TWO_TOWERS = {"features.3": (96, 27, 27), "features.7": (256, 13, 13), "features.14": (256, 6, 6)}
VGG = {"features": (512, 7, 7), "classifier.0": (4096,)}
GOOGLENET = {
    "maxpool1": (64, 56, 56),
    "maxpool2": (192, 28, 28),
    "inception3b": (480, 28, 28),
    "inception4e": (832, 14, 14),
    "inception5b": (1024, 7, 7),
}

# name: trainable parameters, multiply-adds, output sizes for one image
TABLE = {
    "resnet18": (11_689_512, 1_814_073_344, BASIC),
    "resnet34": (21_797_672, 3_663_761_408, BASIC),
    "resnet50": (25_557_032, 3_857_973_248, BOTTLENECK),
    "resnet101": (44_549_160, 7_570_194_432, BOTTLENECK),
    "resnet152": (60_192_808, 11_282_415_616, BOTTLENECK),
    "resnet50_v1_5": (25_557_032, 4_089_184_256, BOTTLENECK),
    "resnet101_v1_5": (44_549_160, 7_801_405_440, BOTTLENECK),
    "resnet152_v1_5": (60_192_808, 11_513_626_624, BOTTLENECK),
    "plain18": (11_515_688, 1_794_805_760, BASIC),
    "plain34": (21_623_848, 3_644_493_824, BASIC),
    "resnet20": (269_722, 40_551_040, THIN),
    "resnet32": (464_154, 68_862_592, THIN),
    "resnet44": (658_586, 97_174_144, THIN),
    "resnet56": (853_018, 125_485_696, THIN),
    "resnet110": (1_727_962, 252_887_680, THIN),
    "resnet1202": (19_421_274, 2_829_238_912, THIN),
    "plain20": (269_722, 40_551_040, THIN),
    "plain56": (853_018, 125_485_696, THIN),
    "plain110": (1_727_962, 252_887_680, THIN),
    "resnet164": (1_704_154, 244_500_992, THIN_BOTTLENECK),
    "resnet1001": (10_328_602, 1_487_849_984, THIN_BOTTLENECK),
    "preact_resnet110": (1_727_962, 252_887_680, THIN),
    "preact_resnet164": (1_703_258, 244_500_992, THIN_BOTTLENECK),
    "preact_resnet1001": (10_327_706, 1_487_849_984, THIN_BOTTLENECK),
    "wrn_16_8": (10_961_370, 1_548_145_664, cifar(128, 256, 512)),
    "wrn_28_10": (36_479_194, 5_243_328_768, cifar(160, 320, 640)),
    "wrn_40_4": (8_949_210, 1_298_582_016, cifar(64, 128, 256)),
    "wide_resnet50_2": (68_883_240, 11_398_021_120, BOTTLENECK),
    "wide_resnet101_2": (126_886_696, 22_753_050_624, BOTTLENECK),
    "resnext29_8x64d": (34_426_698, 5_387_266_048, RESNEXT),
    "resnext29_16x64d": (68_155_210, 10_688_866_304, RESNEXT),
    "resnext29_32x4d": (4_775_754, 774_055_936, RESNEXT),
    "resnext50_32x4d": (25_028_904, 4_230_479_872, BOTTLENECK),
    "resnext101_32x4d": (44_177_704, 7_969_996_800, BOTTLENECK),
    "resnext101_32x8d": (88_791_336, 16_414_015_488, BOTTLENECK),
    "resnext101_64x4d": (83_455_272, 15_460_270_080, BOTTLENECK),
    "alexnet_two_tower": (60_965_224, 724_406_816, TWO_TOWERS),
    "alexnet": (61_100_840, 714_188_480, ALEXNET),
    "vgg16": (138_357_544, 15_470_264_320, VGG),
    "vgg19": (143_667_240, 19_632_062_464, VGG),
    "vgg16_bn": (138_365_992, 15_470_264_320, VGG),
    "vgg19_bn": (143_678_248, 19_632_062_464, VGG),
    "googlenet": (13_004_888, 1_498_376_192, GOOGLENET),
    "googlenet_2014": (13_378_280, 1_582_671_872, GOOGLENET),
    "nin": (966_986, 222_486_528, {"6": (96, 16, 16), "14": (192, 8, 8)}),
}

# a variant: its parameters
VARIANTS = {
    (ResNet, 18, "A"): 11_515_688,
    (ResNet, 34, "A"): 21_623_848,
    (ResNet, 34, "C"): 22_716_840,
    (ResNet, 50, "C"): 40_128_552,
    (WideResNet, 16, 1): 175_066,
    (WideResNet, 16, 2): 691_674,
    (WideResNet, 16, 4): 2_748_890,
    (WideResNet, 16, 10): 17_116_634,
    (WideResNet, 22, 8): 17_158_106,
    (WideResNet, 28, 1): 369_498,
    (WideResNet, 28, 2): 1_467_610,
    (WideResNet, 28, 12): 52_517_850,
    (WideResNet, 40, 1): 563_930,
    (WideResNet, 40, 2): 2_243_546,
    (WideResNet, 40, 8): 35_748_314,
    (WideResNet, 40, 10): 55_841_754,
    (WideResNet, 52, 1): 758_362,
    (CifarResNeXt, 29, 1, 64): 4_914_250,
    (CifarResNeXt, 29, 2, 64): 9_130_314,
    (CifarResNeXt, 29, 4, 64): 17_562_442,
}
# a variant by name and options: its parameters
OPTIONS = [
    ("googlenet", {"heads": False}, 6_624_904),
    ("googlenet", {"true_5x5": True}, 13_385_816),
    ("googlenet", {"true_5x5": True, "heads": False}, 7_005_832),
    ("googlenet_2014", {"heads": False}, 6_998_552),
    ("resnext50_32x4d", {"groups": 2, "width_per_group": 40}, 25_425_000),
    ("resnext50_32x4d", {"groups": 4, "width_per_group": 24}, 25_292_968),
    ("resnext50_32x4d", {"groups": 8, "width_per_group": 14}, 25_603_016),
    ("wrn_16_8", {"classes": 100}, 11_007_540),
    ("resnext29_8x64d", {"classes": 100}, 34_518_948),
    # 54 gates, each a 1 x 1 convolution from all channels of a block to all, with a bias
    ("resnet110", {"shortcut": "exclusive_gating"}, 1_727_962 + 98_784),
    ("resnet110", {"shortcut": "shortcut_gating"}, 1_727_962 + 98_784),
    ("resnet110", {"shortcut": "constant_scaling"}, 1_727_962),
    ("resnet110", {"shortcut": "dropout"}, 1_727_962),
    # C without its batch norms
    ("resnet110", {"shortcut": "conv1x1"}, 1_826_202 - 2 * 18 * (16 + 32 + 64)),
    ("preact_resnet110", {"order": "original"}, 1_727_962),
]


@pytest.fixture
def zero_weights():
    """The networks of a test have zeros as weights: only the shapes matter."""
    with skip_init():
        yield


def count_parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_every_name_is_in_the_table():
    missing = set(models.names()) - set(TABLE)
    assert missing == {"plain32", "plain44", "plain1202"}  # plain twins of networks in the table


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.usefixtures("zero_weights")
def test_counts_and_sizes(name, summary):
    parameters, multiply_adds, sizes = TABLE[name]
    model = models.create(name, generator=0)
    rows = summary(name)
    assert count_parameters(model) == sum(row.parameters for row in rows) == parameters
    assert sum(row.multiply_adds for row in rows) == multiply_adds
    shapes = [(row.name, row.output_shape) for row in rows if row.output_shape]
    for stage, size in sizes.items():
        assert last_shape(stage, shapes) == size, stage
    assert shapes[-1][1] == ((1000,) if model.input_size == 224 else (10,))


def last_shape(stage, shapes):
    """The output shape of the last layer of `stage`; of an Inception module, that of all its branches."""
    stage_shapes = [(name, shape) for name, shape in shapes if re.match(rf"{stage}(\.|$)", name)]
    if stage.startswith("inception"):
        branch_shapes = {name.split(".")[1]: shape for name, shape in stage_shapes}
        return sum(shape[0] for shape in branch_shapes.values()), *stage_shapes[-1][1][1:]
    return stage_shapes[-1][1]


@pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda v: " ".join(str(getattr(x, "__name__", x)) for x in v)
)
@pytest.mark.usefixtures("zero_weights")
def test_variants(variant):
    network, *arguments = variant
    assert count_parameters(network(*arguments, generator=0)) == VARIANTS[variant]


@pytest.mark.parametrize(("name", "options", "parameters"), OPTIONS)
@pytest.mark.usefixtures("zero_weights")
def test_options(name, options, parameters):
    assert count_parameters(models.create(name, generator=0, **options)) == parameters


@pytest.mark.usefixtures("zero_weights")
def test_option_c_of_resnet50_in_multiply_adds():
    rows = models.summarize(ResNet(50, "C", generator=0))
    assert sum(row.multiply_adds for row in rows) == 6_324_224_000


@pytest.mark.parametrize("name", ["wrn_16_10", "wrn_10_1", "preact_resnet20", "resnext11_4x8d", "resnet38"])
@pytest.mark.usefixtures("zero_weights")
def test_any_size_has_a_name(name):
    numbers = [int(n) for n in re.findall(r"\d+", name)]
    families = {"wrn": WideResNet, "preact": PreActResNet, "resnext11": CifarResNeXt, "resnet38": CifarResNet}
    expected = families[name.split("_")[0]](*numbers, generator=0)
    assert count_parameters(models.create(name, generator=0)) == count_parameters(expected)
    assert type(models.create(name, generator=0)) is type(expected)


def name_and_options(key):
    """The id of a test, with sorted options: the order of a set differs between processes."""
    name, options = key
    return " ".join([name, *(f"{option}={value}" for option, value in sorted(options))])


@pytest.mark.parametrize("key", FIGURES, ids=name_and_options)
@pytest.mark.usefixtures("zero_weights")
def test_published_figures_agree_with_the_counts(key, summary):
    """They agree to the printed digits, with two exceptions that the comments explain."""
    (name, options), figures = key, FIGURES[key]
    if figures.parameters is None and figures.multiply_adds is None:
        models.create(name, **dict(options))  # the network exists
        return
    rows = summary(name, options)
    parameters = sum(row.parameters for row in rows)
    if name == "preact_resnet1001":  # the paper's 10.2 M are without batch norms
        parameters -= sum(row.parameters for row in rows if row.kind == "BatchNorm2d")
    assert_printed(figures.parameters, parameters)
    vgg16 = 0.011 if name == "vgg16" else 0  # printed as 15.3e9, counted as 15.47e9
    assert_printed(figures.multiply_adds, sum(row.multiply_adds for row in rows), vgg16)


def test_published_figures_are_found_by_name_and_options():
    assert "12.35" in published("resnet110", {"shortcut": "constant_scaling"}).error
    assert "fail" in published("resnet110", {"shortcut": "constant_scaling", "factors": [0, 1]}).error
    assert published("resnet110", {"widths": [[1], {}]}) is None
    assert published("resnet8") is None


def assert_printed(printed, counted, slack=0.0):
    """`printed`, as "1.7 M" or "3.8e9" or "25,557,032", is `counted` truncated or rounded to its digits."""
    if printed is None:
        return
    digits = re.match(r"[\d.,]+", printed)[0].replace(",", "")
    unit = 1e6 if printed.endswith("M") else float("1e" + (re.findall(r"e(\d+)", printed) or ["0"])[0])
    last_digit = 10.0 ** -len(digits.partition(".")[2])
    assert abs(counted / unit - float(digits)) < last_digit + slack * float(digits)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.slow
def test_a_summary_keeps_no_activations():
    """The activations of ResNet-1202 would take 150 MB for one image."""
    model = models.create("resnet1202", generator=0)
    tracemalloc.start()
    try:
        models.summarize(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.usefixtures("zero_weights")
def test_summary_lists_the_heads_that_only_training_uses(summary):
    rows = {row.name: row for row in summary("googlenet")}
    assert rows["aux1.fc1"].output_shape == ()
    assert rows["aux1.fc1"].multiply_adds == 0
    assert rows["aux1.fc1"].parameters == 2048 * 1024 + 1024
    assert not summary("googlenet", frozenset({("heads", False)}))[-1].name.startswith("aux")


@pytest.mark.usefixtures("zero_weights")
def test_stride_of_the_bottlenecks():
    paper, libraries = models.create("resnet50", generator=0), models.create("resnet50_v1_5", generator=0)
    strides = [
        [(block.conv1.stride, block.conv2.stride) for block in (net.layer1[0], net.layer2[0], net.layer2[1])]
        for net in (paper, libraries)
    ]
    assert strides == [[(1, 1), (2, 1), (1, 1)], [(1, 1), (1, 2), (1, 1)]]


@pytest.mark.slow
def test_two_towers_begin_as_in_the_paper():
    net = models.create("alexnet_two_tower", generator=0)
    weighted = [layer for layer in (*net.features, *net.classifier) if hasattr(layer, "weight")]
    deviations = [layer.weight.numpy().std() for layer in weighted]
    np.testing.assert_allclose(deviations, 0.01, rtol=0.01)
    assert [float(layer.bias.numpy().mean()) for layer in weighted] == [0, 1, 0, 1, 1, 1, 1, 0]


def test_gates_begin_with_their_bias():
    net = models.create("resnet20", shortcut="exclusive_gating", gate_bias=-7, generator=0)
    biases = {name: array for name, array in net.state_dict().items() if name.endswith("gate.bias")}
    assert len(biases) == 9
    assert all((array == -7).all() for array in biases.values())
