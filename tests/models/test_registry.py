import pytest

from minires import models
from minires.errors import MiniresError, OptionError, UnknownNameError
from minires.models import CifarResNet
from minires.nn.init import skip_init


def test_the_networks_of_the_papers_have_names():
    assert list(models.MODELS) == models.names()
    assert len(set(models.names())) == len(models.names()) > 40


@pytest.mark.parametrize("name", ["resnet8", "plain14", "resnet26"])
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


def test_the_name_of_an_imagenet_net_is_not_given_to_a_cifar_net():
    with pytest.raises(OptionError, match=r"ImageNet network that is not built.*CifarResNet\(200\)"):
        models.create("resnet200")


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
        ("resnet50_v1_5", {}, None),
        ("resnet18", {}, None),
        ("googlenet", {}, "transform_input=true"),
        ("googlenet", {"transform_input": False}, None),
    ],
)
def test_notes_on_the_weights_of_other_libraries(name, options, note):
    notes = models.notes_on_weights(name, options)
    assert (len(notes) == 0) if note is None else (note in notes[0])
