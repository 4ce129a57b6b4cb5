"""The table of recipes, and which recipe belongs to which network."""

from minires.errors import OptionError, UnknownNameError
from minires.models import input_size
from minires.recipes.photos import alexnet, googlenet, preact_imagenet, resnet_imagenet, resnext_imagenet
from minires.recipes.pictures import preact_cifar, quick, resnet_cifar, resnext_cifar, wide_cifar, wide_svhn

# The beginning of a network's name: its paper's protocols, for pictures of one size and for photos.
PAPERS = {
    "resnet1001": (preact_cifar, resnet_imagenet),
    "resnet164": (preact_cifar, resnet_imagenet),
    "preact_resnet": (preact_cifar, preact_imagenet),
    "wrn": (wide_cifar, resnet_imagenet),
    "wide_resnet": (wide_cifar, resnet_imagenet),
    "resnext": (resnext_cifar, resnext_imagenet),
    "alexnet": (alexnet, alexnet),
    "googlenet": (googlenet, googlenet),
}

# The shortcut types of He et al. 2016, Table 1.
IDENTITY_MAPPINGS = ("constant_scaling", "exclusive_gating", "shortcut_gating", "conv1x1", "dropout")


def paper(model, dataset, **options):
    """The protocol of the paper that the network is from, for this kind of data; see PAPERS.

    Nets with a shortcut type of Identity Mappings get that paper's protocol. All nets that PAPERS does not
    name get the ResNet paper's protocol: its own nets and their plain twins, but also VGG and NiN, whose own
    protocols are not built here. Wide ResNet on photos gets it for the same reason.

    Raises OptionError for photos and a network for 32 x 32 pixels: no paper has such a protocol.
    """
    matches = (protocols for beginning, protocols in PAPERS.items() if model.startswith(beginning))
    of_one_size, photos = next(matches, (resnet_cifar, resnet_imagenet))
    if options.get("model_options", {}).get("shortcut", "A") in IDENTITY_MAPPINGS:
        of_one_size = preact_cifar
    if not dataset.train.of_one_size and input_size(model) != 224:
        raise OptionError(
            f"the paper of {model} trains on pictures of 32 x 32 pixels, not on photos; use the recipe quick"
        )
    return (of_one_size if dataset.train.of_one_size else photos)(model, dataset, **options)


RECIPES = {
    "paper": paper,
    "quick": quick,
    "resnet-cifar": resnet_cifar,
    "resnet-imagenet": resnet_imagenet,
    "preact-cifar": preact_cifar,
    "preact-imagenet": preact_imagenet,
    "wide-cifar": wide_cifar,
    "wide-svhn": wide_svhn,
    "resnext-cifar": resnext_cifar,
    "resnext-imagenet": resnext_imagenet,
    "alexnet": alexnet,
    "googlenet": googlenet,
}


def protocol_called(name):
    """The function in RECIPES of this name; UnknownNameError if there is none."""
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]


def build(protocol, model, dataset, *, iterations=None, **fields):
    """The Recipe that the protocol called `protocol` makes for a network and a data set.

    fields: of the Recipe, in place of the protocol's own; those that are None stay the protocol's.
    iterations: the new length of the run, in steps, with drops and warm-up in proportion (Recipe.shortened).
    """
    fields = {name: value for name, value in fields.items() if value is not None}
    recipe = protocol_called(protocol)(model, dataset, **fields)
    return recipe if iterations is None else recipe.shortened(iterations)
