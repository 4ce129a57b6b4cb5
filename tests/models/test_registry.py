import pytest

from minires import models
from minires.errors import MiniresError, OptionError, UnknownNameError
from minires.models import CifarResNet
from minires.nn.init import skip_init


def test_the_networks_of_the_papers_have_names():
    assert list(models.MODELS) == models.names()
    assert len(set(models.names())) == len(models.names()) > 40


@pytest.mark.parametrize("name", ["resnet8", "plain14", "resnet38"])
def test_any_depth_6n_plus_2_can_be_made(name):
    net = models.create(name, classes=5)
    assert isinstance(net, CifarResNet)
    assert net.fc.weight.shape == (5, 64)
    assert (net.layer1[0].downsample is None) == name.startswith("plain")


def test_options_reach_the_constructor():
    net = models.create("resnet20", shortcut="C", widths=(4, 8, 16), in_channels=1, classes=7)
    assert net.conv1.weight.shape == (4, 1, 3, 3)
    assert net.fc.weight.shape == (7, 16)
    assert type(net.layer1[0].downsample).__name__ == "Sequential"


@pytest.mark.parametrize(
    ("name", "similar"), [("resnet2o", "resnet20"), ("ResNet56", "resnet56"), ("plane20", "plain20")]
)
def test_unknown_name_lists_similar_names(name, similar):
    with pytest.raises(UnknownNameError, match=f"unknown model '{name}'; did you mean .*{similar}") as caught:
        models.create(name)
    assert isinstance(caught.value, (MiniresError, ValueError))


def test_name_without_a_similar_one_lists_all_names():
    with pytest.raises(UnknownNameError, match=r"known are resnet20.*plain110"):
        models.create("zzz")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnet21", "20 and 26"), ("resnet33", "32 and 38"), ("plain35", "32 and 38"), ("resnet2", "8 and 14")],
)
def test_depth_that_is_not_6n_plus_2_names_the_nearest(name, nearest):
    with pytest.raises(OptionError, match=f"not 6n \\+ 2.*nearest are {nearest}"):
        models.create(name)


@pytest.mark.parametrize(
    ("name", "class_name"), [("resnet50", "ResNet"), ("resnet152", "ResNet"), ("resnet164", "CifarResNet")]
)
def test_names_of_bottleneck_networks_are_not_given_to_nets_of_6n_plus_2(name, class_name):
    with skip_init():
        net = models.create(name)
    assert type(net).__name__ == class_name
    assert type(net.layer1[0]).__name__ == "Bottleneck"
    assert len(CifarResNet(50).layer1) == 8


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("resnet26", "CifarResNet(26)"),
        ("resnet200", "CifarResNet(200)"),
        ("preact_resnet50", "PreActResNet(50)"),
        ("preact_resnet152", "PreActResNet(152)"),
        ("preact_resnet200", "PreActResNet(200)"),
    ],
)
def test_the_name_of_an_imagenet_net_that_is_not_built_is_refused_with_advice(name, advice):
    with pytest.raises(OptionError) as caught:
        models.create(name)
    assert str(caught.value) == (
        f"{name!r} is the name of an ImageNet network that is not built here; "
        f"for the CIFAR net of that depth call models.{advice}"
    )


# The ImageNet networks of torchvision 0.28 and timm 1.0.31 whose names begin like one of minires's, with the
# parameters that these libraries count; timm's variants with a letter behind the number are left out.
OF_LIBRARIES = {
    "alexnet": 61_100_840,
    "densenet121": 7_978_856,
    "googlenet": 13_004_888,
    "inception_v3": 27_161_264,
    "resnet18": 11_689_512,
    "resnet26": 15_995_176,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet200": 64_673_832,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x4d": 44_177_704,
    "resnext101_32x8d": 88_791_336,
    "resnext101_32x16d": 194_026_792,
    "resnext101_32x32d": 468_530_472,
    "resnext101_64x4d": 83_455_272,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
}
BUILT_ELSEWHERE_ONLY = {"densenet121", "inception_v3", "resnet26", "resnet200", "vgg11", "vgg13", "vgg13_bn"}


@pytest.mark.parametrize("name", OF_LIBRARIES)
def test_a_name_of_torchvision_or_timm_means_the_same_network_or_none(name):
    if name in BUILT_ELSEWHERE_ONLY:
        with pytest.raises(OptionError):
            models.create(name)
        return
    with skip_init():
        net = models.create(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == OF_LIBRARIES[name]
    assert net.input_size == 224


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_depth_of_a_resnext_says_what_it_is_for(depth):
    with skip_init():
        net = models.create(f"resnext{depth}_2x24d", widths=(16, 32, 64, 128))
        cifar_net = models.create("resnext110_2x4d")
    assert isinstance(net, models.ResNet)
    assert (net.layer2[0].conv1.stride, net.layer2[0].conv2.stride) == (1, 2)  # as in libraries
    assert net.layer1[0].conv2.weight.shape == (2 * 24 * 16 // 64, 24 * 16 // 64, 3, 3)
    assert isinstance(cifar_net, models.CifarResNeXt)


@pytest.mark.parametrize("options", [{"width": 3}, {"pretrained": True}, {"depth": 20}])
def test_unknown_option_is_refused_by_name(options):
    (option,) = options
    with pytest.raises(
        OptionError, match=rf"resnet20 has no option '{option}'; its options are shortcut, widths"
    ):
        models.create("resnet20", **options)


@pytest.mark.parametrize("shortcut", ["D", "a", None, ""])
def test_unknown_shortcut_is_refused(shortcut):
    with pytest.raises(OptionError, match="A, B, C, none, constant_scaling"):
        models.create("resnet20", shortcut=shortcut)


def test_plain_nets_take_no_shortcut():
    with pytest.raises(OptionError, match="plain20 has no option 'shortcut'"):
        models.create("plain20", shortcut="A")


@pytest.mark.parametrize(
    ("name", "options", "note"),
    [
        ("resnet50", {}, "meant for resnet50_v1_5"),
        ("resnet50", {"stride_in_1x1": False}, None),
        ("resnet50", {"stride_in_1x1": True}, None),
        ("resnet101", {}, "meant for resnet101_v1_5"),
        ("resnet152", {}, "meant for resnet152_v1_5"),
        ("resnet50", {"groups": 32, "width_per_group": 4}, "another network with stride_in_1x1=False"),
        ("resnet50", {"shortcut": "A"}, None),
        ("resnext50_32x4d", {}, None),
        ("wide_resnet50_2", {}, None),
        ("resnet50_v1_5", {}, None),
        ("resnet18", {}, None),
        ("googlenet", {}, "transform_input=true"),
        ("googlenet", {"transform_input": False}, None),
        ("googlenet_2014", {}, None),
        ("resnet20", {}, None),
    ],
)
def test_notes_on_the_weights_of_other_libraries(name, options, note):
    notes = models.notes_on_weights(name, options)
    assert (len(notes) == 0) if note is None else (note in notes[0])


@pytest.mark.parametrize("name", ["resnet050", "resnet\uff12\uff10", "resnext29_08x64d", "plain020"])
def test_numbers_in_names_are_plain(name):
    with pytest.raises(UnknownNameError):
        models.create(name)


@pytest.mark.parametrize("name", ["resnext200_32x4d", "resnext200_64x4d"])
def test_a_deep_resnext_is_no_cifar_network(name):
    with pytest.raises(OptionError, match=r"ImageNet network .* models.CifarResNeXt\(200, "):
        models.create(name)
