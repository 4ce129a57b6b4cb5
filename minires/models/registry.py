"""The table of networks."""

import inspect
import re
from functools import partial

from minires.errors import OptionError, UnknownNameError
from minires.models.alexnet import AlexNet
from minires.models.cifar_resnet import CifarResNet, cifar_plain
from minires.models.imagenet_resnet import ResNet, imagenet_plain
from minires.models.inception import GoogLeNet
from minires.models.nin import NiN
from minires.models.preact import PreActResNet
from minires.models.resnext import CifarResNeXt
from minires.models.shortcuts import shortcut_options
from minires.models.vgg import VGG
from minires.models.wide import WideResNet
from minires.nn.init import skip_init

with_bottlenecks = {"shortcut": "B", "bottleneck": True}
as_in_libraries = {"stride_in_1x1": False}


def imagenet_resnext(depth, cardinality, width):
    """The constructor of an ImageNet ResNeXt."""
    return partial(ResNet, depth, groups=cardinality, width_per_group=width, **as_in_libraries)


MODELS = {
    # CIFAR: He et al. 2015
    **{f"resnet{depth}": partial(CifarResNet, depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}": partial(cifar_plain, depth) for depth in (20, 32, 44, 56, 110, 1202)},
    # CIFAR: He et al. 2016
    **{f"resnet{depth}": partial(CifarResNet, depth, **with_bottlenecks) for depth in (164, 1001)},
    "preact_resnet110": partial(PreActResNet, 110),
    **{f"preact_resnet{depth}": partial(PreActResNet, depth, **with_bottlenecks) for depth in (164, 1001)},
    # CIFAR: Zagoruyko and Komodakis 2016, Xie et al. 2016, Lin et al. 2013
    "wrn_16_8": partial(WideResNet, 16, 8),
    "wrn_28_10": partial(WideResNet, 28, 10),
    "wrn_40_4": partial(WideResNet, 40, 4),
    "resnext29_8x64d": partial(CifarResNeXt, 29, 8, 64),
    "resnext29_16x64d": partial(CifarResNeXt, 29, 16, 64),
    "resnext29_32x4d": partial(CifarResNeXt, 29, 32, 4),
    "nin": NiN,
    # ImageNet: He et al. 2015, and the strides of most libraries
    **{f"resnet{depth}": partial(ResNet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"plain{depth}": partial(imagenet_plain, depth) for depth in (18, 34)},
    **{f"resnet{depth}_v1_5": partial(ResNet, depth, **as_in_libraries) for depth in (50, 101, 152)},
    # ImageNet: descendants of ResNet
    "wide_resnet50_2": partial(ResNet, 50, width_per_group=128, **as_in_libraries),
    "wide_resnet101_2": partial(ResNet, 101, width_per_group=128, **as_in_libraries),
    "resnext50_32x4d": imagenet_resnext(50, 32, 4),
    "resnext101_32x4d": imagenet_resnext(101, 32, 4),
    "resnext101_32x8d": imagenet_resnext(101, 32, 8),
    "resnext101_64x4d": imagenet_resnext(101, 64, 4),
    # ImageNet: older networks
    "alexnet": AlexNet,
    "alexnet_two_tower": partial(AlexNet, two_towers=True),
    **{f"vgg{depth}": partial(VGG, depth) for depth in (16, 19)},
    **{f"vgg{depth}_bn": partial(VGG, depth, batch_norm=True) for depth in (16, 19)},
    "googlenet": GoogLeNet,
    "googlenet_2014": partial(GoogLeNet, original=True),
}

NUMBER = "(0|[1-9][0-9]*)"  # without leading zeros, and in ASCII

# Names of any size, for ImageNet: the numbers are imagenet_resnext's arguments.
IMAGENET_RESNEXT = rf"resnext(50|101|152)_{NUMBER}x{NUMBER}d"

# Names of any size, for CIFAR: the numbers are the constructor's first arguments.
FAMILIES = {
    rf"resnet{NUMBER}": CifarResNet,
    rf"plain{NUMBER}": cifar_plain,
    rf"preact_resnet{NUMBER}": PreActResNet,
    rf"wrn_{NUMBER}_{NUMBER}": WideResNet,
    rf"resnext{NUMBER}_{NUMBER}x{NUMBER}d": CifarResNeXt,
}


def names():
    """The names of the networks in the papers.

    `create` also takes resnetN, plainN and preact_resnetN for any N = 6n + 2, wrn_N_k for any N = 6n + 4, and
    resnextN_CxWd for any N = 9n + 2: nets for CIFAR. With N = 50, 101 or 152, resnextN_CxWd is for ImageNet,
    and names of other ImageNet nets, such as timm's resnet26, are refused.
    """
    return list(MODELS)


# Names that a CIFAR family would match, but which mean ImageNet networks: resnet26 in timm, the others by
# their depth (He et al. 2015, Table 1; He et al. 2016, section 5).
NOT_BUILT = {"resnet26", "resnet200", "resnext200", "preact_resnet50", "preact_resnet152", "preact_resnet200"}


def constructor_of(name):
    """The constructor of the network called `name`. UnknownNameError if no network has the name, OptionError
    for an ImageNet network that is not built here."""
    if name in MODELS:
        return MODELS[name]
    if match := re.fullmatch(IMAGENET_RESNEXT, str(name)):
        return imagenet_resnext(*map(int, match.groups()))
    for pattern, family in FAMILIES.items():
        if match := re.fullmatch(pattern, str(name)):
            sizes = [int(size) for size in match.groups()]
            if name in NOT_BUILT or name.partition("_")[0] in NOT_BUILT:  # resnext200_32x4d
                raise OptionError(
                    f"{name!r} is the name of an ImageNet network that is not built here; for the CIFAR net "
                    f"of that depth call models.{family.__name__}({', '.join(map(str, sizes))})"
                )
            return partial(family, *sizes)
    raise UnknownNameError("model", name, names())


def input_size(name):
    """The side of the pictures that the network called `name` is made for, in pixels: 32 or 224."""
    with skip_init():
        return create(name).input_size


def create(name, **options):
    """Build the network called `name`; options are those of its constructor (`help(models.CifarResNet)`).

    Raises UnknownNameError if no network has the name, OptionError for an option that the network does not
    have or a depth that it cannot have.
    """
    constructor = constructor_of(name)
    known = options_of(constructor)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise OptionError(f"{name} has no option {unknown[0]!r}; its options are {', '.join(known)}")
    return constructor(**options)


def options_of(constructor):
    """The names of a constructor's options, with those that it passes on to the shortcuts."""
    parameters = inspect.signature(constructor).parameters
    own = [name for name in parameters if name != "shortcut_options"]
    return own if len(own) == len(parameters) else own + shortcut_options()


def notes_on_weights(name, options):
    """Warnings before weights of another library are loaded into the network called `name`, as sentences.

    options: those with which the network is built. The weights may fit in every shape and still belong to a
    network that computes something else. `load_state_dict` gives the same as a WeightsWarning, but only for
    weights that it knows to be PyTorch's.
    """
    with skip_init():
        note = getattr(create(name, **options), "note_on_weights", None)
    return [note] if note else []
