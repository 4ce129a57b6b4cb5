"""Options and images that a network cannot take are refused in one line that says what it takes."""

import re

import numpy as np
import pytest

from minires import Tensor, models, no_grad
from minires.errors import OptionError, ShapeError, UnknownNameError
from minires.models import VGG, CifarResNet, ResNet, WideResNet
from minires.models.blocks import Bottleneck
from minires.models.preact import Unit
from minires.nn import Conv2d
from minires.nn.init import skip_init

SHORTCUTS = "A, B, C, none, constant_scaling, exclusive_gating, shortcut_gating, conv1x1, dropout"
ORDERS = "original, bn_after_addition, relu_before_addition, relu_only, full"
GATED, DROPPING = {"shortcut": "shortcut_gating"}, {"shortcut": "dropout"}
SCALING = {"shortcut": "constant_scaling"}
DROPOUT = "Dropout: p must be a number, at least 0 and below 1, not"
FACTORS = "factors must be two numbers, of the shortcut and of the residual, not"

# network, options, the whole message
OPTIONS = [
    ("resnet8", {"shortcut": "D"}, f"shortcut must be one of {SHORTCUTS}, not 'D'"),
    ("resnet18", {"shortcut": "a"}, f"shortcut must be one of {SHORTCUTS}, not 'a'"),
    ("resnet8", {"shortcut": ["A"]}, f"shortcut must be one of {SHORTCUTS}, not ['A']"),
    ("preact_resnet8", {"shortcut": "C"}, "shortcut of this network must be one of A, B, not 'C'"),
    ("preact_resnet8", {"order": "ful"}, f"order must be one of {ORDERS}, not 'ful'"),
    ("preact_resnet8", {"order": ["full"]}, f"order must be one of {ORDERS}, not ['full']"),
    ("preact_resnet8", {"widths": (4, 2, 1)}, "shortcut A cannot go from 4 to 2 channels; use B"),
    ("resnext11_2x4d", {"form": "d"}, "form must be one of a, b, c, not 'd'"),
    ("resnext11_2x4d", {"form": "ab"}, "form must be one of a, b, c, not 'ab'"),
    # options of another shortcut
    ("resnet8", {"gate_bias": -1}, "shortcut 'A' takes no options, not gate_bias"),
    ("resnet8", {"shortcut": "C", "factors": (1, 1)}, "shortcut 'C' takes no options, not factors"),
    ("resnet8", {"shortcut": "none", "drop_rate": 0.1}, "shortcut 'none' takes no options, not drop_rate"),
    ("resnet8", GATED | {"drop_rate": 0.1}, "shortcut 'shortcut_gating' takes gate_bias, not drop_rate"),
    ("resnet8", SCALING | {"gate_bias": 1}, "shortcut 'constant_scaling' takes factors, not gate_bias"),
    ("resnet8", DROPPING | {"factors": (1, 1)}, "shortcut 'dropout' takes drop_rate, not factors"),
    # bad values for options of the right shortcut
    ("resnet8", GATED | {"gate_bias": "open"}, "gate_bias must be a number, not 'open'"),
    ("resnet8", DROPPING | {"drop_rate": 1}, f"{DROPOUT} 1"),
    ("resnet8", DROPPING | {"drop_rate": "half"}, f"{DROPOUT} 'half'"),
    ("resnet8", SCALING | {"factors": 0.5}, f"{FACTORS} 0.5"),
    ("resnet8", SCALING | {"factors": (1, 2, 3)}, f"{FACTORS} (1, 2, 3)"),
    ("wrn_10_1", {"dropout": -0.1}, f"{DROPOUT} -0.1"),
    ("nin", {"dropout": "x"}, f"{DROPOUT} 'x'"),
    ("alexnet", {"dropout": 1.0}, f"{DROPOUT} 1.0"),
    ("googlenet", {"head_dropout": None}, f"{DROPOUT} None"),
    # groups
    ("resnet18", {"groups": 2}, "groups and width_per_group are for bottlenecks; ResNet-18 has none"),
    ("resnet50", {"groups": 0}, "groups must be a positive whole number, not 0"),
    (
        "resnet50",
        {"widths": (16, 32, 64, 128), "groups": 4, "width_per_group": 3},
        "width_per_group 3 leaves no channel for a group where a block has 16 channels instead of 64; "
        "use at least 4",
    ),
    ("resnext29_0x4d", {}, "cardinality must be a positive whole number, not 0"),
    ("resnext29_8x0d", {}, "width must be a positive whole number, not 0"),
    # depths
    ("resnet21", {}, "depth 21 is not 6n + 2 (8, 14, 20, ...); the nearest are 20 and 26"),
    ("resnet10", {"bottleneck": True}, "depth 10 is not 9n + 2 (11, 20, 29, ...); the nearest are 11 and 20"),
    ("preact_resnet9", {}, "depth 9 is not 6n + 2 (8, 14, 20, ...); the nearest are 8 and 14"),
    ("wrn_28_0", {}, "k must be a positive whole number, not 0"),
    ("wrn_27_1", {}, "depth 27 is not 6n + 4 (10, 16, 22, ...); the nearest are 22 and 28"),
    ("resnext30_2x4d", {}, "depth 30 is not 9n + 2 (11, 20, 29, ...); the nearest are 29 and 38"),
    # widths, channels, classes
    ("resnet8", {"widths": (16, 32)}, "widths must be 3 numbers, one for each stage, not (16, 32)"),
    ("preact_resnet8", {"widths": 16}, "widths must be 3 numbers, one for each stage, not 16"),
    ("resnet18", {"widths": (1, 2, 3)}, "widths must be 4 numbers, one for each stage, not (1, 2, 3)"),
    ("resnet18", {"widths": (1, 2, 3, 0)}, "widths must be positive whole numbers, not (1, 2, 3, 0)"),
    *(
        (name, {option: bad}, f"{option} must be a positive whole number, not {bad!r}")
        for name in ("resnet8", "preact_resnet8", "nin", "alexnet", "alexnet_two_tower", "vgg16", "googlenet")
        for option, bad in (("in_channels", 0), ("classes", "ten"), ("in_channels", -1), ("classes", 2.5))
    ),
    ("googlenet", {"true_5x5": "no"}, "true_5x5 must be true or false, not 'no'"),
    ("googlenet", {"transform_input": True, "in_channels": 1}, "transform_input is for 3 channels, not 1"),
    # options that a network does not have
    (
        "wrn_10_1",
        {"widths": (4, 8, 16)},
        "wrn_10_1 has no option 'widths'; its options are dropout, in_channels, classes, generator",
    ),
    (
        "resnet8",
        {"gate_bais": 1},
        "resnet8 has no option 'gate_bais'; its options are shortcut, widths, in_channels, classes, "
        "generator, bottleneck, factors, gate_bias, drop_rate",
    ),
    ("vgg16", {"depth": 16}, "vgg16 has no option 'depth'; its options are "
     "batch_norm, in_channels, classes, generator, dropout"),
    ("nin", {"pretrained": True}, "nin has no option 'pretrained'; its options are "
     "in_channels, classes, generator, dropout"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS)
def test_the_whole_message(name, options, message):
    with pytest.raises(OptionError) as caught, skip_init():
        models.create(name, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet(20), "depth must be one of 18, 34, 50, 101, 152, not 20"),
        (lambda: ResNet([18]), "depth must be one of 18, 34, 50, 101, 152, not [18]"),
        (lambda: CifarResNet(8, clases=3), "shortcut 'A' takes no options, not clases"),
        (lambda: CifarResNet(8, stride=2), "shortcut 'A' takes no options, not stride"),
        (
            lambda: CifarResNet(11, "B", bottleneck=True, groups=2, width_per_group=64),
            "shortcut 'B' takes no options, not groups",
        ),
        (lambda: VGG(11), "depth must be one of 16, 19, not 11"),
        (lambda: CifarResNet("20"), "depth must be a positive whole number, not '20'"),
        (lambda: WideResNet(10, 1.5), "k must be a positive whole number, not 1.5"),
        (lambda: Unit(4, 4, order="bn"), f"order must be one of {ORDERS}, not 'bn'"),
        (lambda: Conv2d(6, 8, 3, groups=4), "Conv2d: groups=4 must divide 6 and 8 channels"),
        (lambda: Conv2d(8, 6, 3, groups=4), "Conv2d: groups=4 must divide 8 and 6 channels"),
    ],
)
def test_the_whole_message_of_constructors(make, message):
    with pytest.raises(OptionError) as caught:
        make()
    assert str(caught.value) == message


def test_any_number_of_groups_fits_a_bottleneck():
    """Its 3 x 3 has as many channels as all groups together."""
    assert Bottleneck(64, 64, groups=5, width_per_group=3).conv2.weight.shape == (15, 3, 3, 3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("wrn28_10", "wrn_28_10"),
        ("wrn-28-10", "wrn_28_10"),
        ("resnext29_8x64", "resnext29_8x64d"),
        ("resnext_29_8x64d", "resnext29_8x64d"),
        ("preact164", "preact_resnet164"),
        ("Resnet50", "resnet50"),
        ("alexnt", "alexnet"),
        ("vgg_16", "vgg16"),
        ("googlenet_v1", "googlenet"),
    ],
)
def test_the_nearest_name_comes_first(name, nearest):
    with pytest.raises(UnknownNameError, match=rf"^unknown model '{name}'; did you mean {nearest}[,?]"):
        models.create(name)


@pytest.mark.parametrize("name", ["wrn_28_11", "wrn_10_1", "resnext20_3x5d", "preact_resnet14", "plain26"])
def test_names_of_any_size_are_known(name):
    with skip_init():
        assert re.search(r"Res(Net|NeXt)", type(models.create(name)).__name__)


def network(name, **options):
    with skip_init():
        return models.create(name, **options)


def images(*shape):
    return Tensor(np.zeros(shape, np.float32))


SMALLEST_IMAGES = {"alexnet": ("AlexNet", 63), "alexnet_two_tower": ("AlexNet", 63), "vgg16": ("VGG", 32)}


@pytest.mark.parametrize("name", SMALLEST_IMAGES)
def test_images_that_are_too_small(name):
    """One pixel more is enough, as the message says."""
    class_name, smallest = SMALLEST_IMAGES[name]
    net = network(name, classes=2).eval()
    for H, W in ((smallest - 1, smallest), (smallest, smallest - 1)):
        message = (
            f"{class_name}: images of {H} x {W} pixels leave nothing for its last pool; enlarge them to "
            f"{smallest} x {smallest} or more, or take a net for small images"
        )
        for call in (net, net.score_map):
            with pytest.raises(ShapeError) as caught:
                call(images(1, 3, H, W))
            assert str(caught.value) == message
    with no_grad():
        assert net(images(1, 3, smallest, smallest)).shape == (1, 2)


def test_images_that_are_too_small_for_a_map_of_scores():
    net = network("vgg16", classes=2).eval()
    with pytest.raises(ShapeError) as caught, no_grad():
        net.score_map(images(1, 3, 64, 96))
    assert str(caught.value) == (
        "score_map: images of 64 x 96 pixels become 2 x 3, less than the 7 x 7 that the classifier takes; "
        "enlarge them"
    )


@pytest.mark.parametrize(("side", "maps"), [(64, 4), (112, 7), (288, 18)])
def test_the_auxiliary_heads_of_2014_refuse_other_sizes(side, maps):
    net = network("googlenet_2014", classes=2)
    with pytest.raises(ShapeError) as caught, no_grad():
        net(images(2, 3, side, side))
    assert str(caught.value) == (
        f"AuxiliaryHead: the pool turns 14 x 14 pixels into 4 x 4, but not {maps} x {maps}; train on "
        "images of 224 x 224, or with heads=False"
    )


def test_sizes_that_googlenet_2014_takes_with_and_without_heads():
    with no_grad():
        assert network("googlenet_2014", classes=2, heads=False)(images(2, 3, 64, 64)).shape == (2, 2)
        assert network("googlenet_2014", classes=2).eval()(images(2, 3, 64, 64)).shape == (2, 2)
        for side in (224, 256):
            assert [y.shape for y in network("googlenet_2014", classes=2)(images(1, 3, side, side))] == [
                (1, 2)
            ] * 3


@pytest.mark.parametrize("name", ["resnet8", "wrn_10_1", "nin", "resnet18", "alexnet", "googlenet"])
def test_other_inputs_are_refused_by_the_first_convolution(name):
    net = network(name).eval()
    side = net.input_size
    with pytest.raises(ShapeError, match=r"^conv2d: input \(1, 1, .*the weight takes 3 \* 1 channels"):
        net(images(1, 1, side, side))
    with pytest.raises(ShapeError, match=r"^conv2d: the input must be \(N, C, H, W\), not \(3, "):
        net(images(3, side, side))
    with pytest.raises(OptionError, match=r"^conv2d: the inputs are float64, float32.*convert with"):
        net(Tensor(np.zeros((1, 3, side, side))))
