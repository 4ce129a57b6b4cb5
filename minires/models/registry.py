"""The table of networks."""

import inspect
import re
from functools import partial

from minires.errors import OptionError, UnknownNameError
from minires.models.cifar_resnet import CifarResNet, cifar_plain

FAMILIES = {"resnet": CifarResNet, "plain": cifar_plain}

PAPER_DEPTHS = (20, 32, 44, 56, 110, 1202)

MODELS = {
    f"{family}{depth}": partial(constructor, depth)
    for family, constructor in FAMILIES.items()
    for depth in PAPER_DEPTHS
}

# Depths 6n + 2 under which the world knows a bottleneck network, which this name must not silently replace.
TAKEN = {"resnet50", "resnet152", "resnet164"}


def names():
    """The names of the networks in the papers. `create` also takes resnetN and plainN for any N = 6n + 2."""
    return list(MODELS)


def create(name, **options):
    """Build the network called `name`; options are those of its constructor (`help(models.CifarResNet)`).

    Raises UnknownNameError for a name that is none, OptionError for an option that the network does not have
    or a depth that is not 6n + 2.
    """
    family = re.fullmatch(r"(resnet|plain)(\d+)", str(name))
    if name in TAKEN:
        raise OptionError(
            f"{name!r} is the name of a bottleneck network, which is not built here; "
            f"for the CIFAR net of that depth call models.CifarResNet({family[2]})"
        )
    if name in MODELS:
        constructor = MODELS[name]
    elif family:
        constructor = partial(FAMILIES[family[1]], int(family[2]))
    else:
        raise UnknownNameError("model", name, names())
    try:
        inspect.signature(constructor).bind(**options)
    except TypeError as error:
        known = ", ".join(p for p in inspect.signature(constructor).parameters if p != "depth")
        raise OptionError(f"{name}: {error}; its options are {known}") from error
    return constructor(**options)
