"""Published protocols for pictures of one size: how the papers trained on CIFAR and SVHN; and a quick one."""

import re

from minires.recipes.data_dependent import augmentation, epoch_length, in_epochs
from minires.recipes.recipe import Recipe


def resnet_cifar(model, dataset, **options):
    """ResNet on CIFAR (He et al. 2015, section 4.2).

    64,000 steps of 128 images, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4,
    momentum 0.9, per-pixel mean subtracted, pad 4, random crop and flip; from 110 layers on a warm-up at 0.01
    until the training error is below 80 %.

    The paper's two GPUs took 64 images each, so that batch norm saw 64 images. Here it sees 128.
    The paper leaves open whether the nets of its Table 6 were trained on all 50,000 images or on 45,000: it
    names the split only where it says how the schedule was chosen. 64,000 steps are 164 epochs of 50,000
    images.
    """
    depth = re.fullmatch(r"(?:resnet|plain)(\d+)(?:_v1_5)?", model)
    warm_up = {"warm_up_rate": 0.01} if depth and int(depth[1]) >= 110 else {}
    batch_size = options.get("batch_size", 128)
    protocol = {
        "iterations": 64_000,
        "batch_size": batch_size,
        "drops": (32_000, 48_000),
        "evaluate_every": epoch_length(dataset, batch_size),
    }
    return Recipe(
        model=model, data=dataset.name, **protocol | augmentation(model, dataset) | warm_up | options
    )


def preact_cifar(model, dataset, **options):
    """Identity Mappings on CIFAR (He et al. 2016, appendix): ResNet's protocol, but all nets warm up.

    The warm-up is 400 steps at 0.01. The paper finds it unnecessary for its new unit. Its best ResNet-1001
    had batches of 64 images: batch_size=64.
    """
    return resnet_cifar(model, dataset, **{"warm_up_rate": 0.01, "warm_up_steps": 400} | options)


def wide_cifar(model, dataset, **options):
    """Wide ResNet on CIFAR (Zagoruyko and Komodakis 2016, section 3).

    200 epochs in batches of 128 images, learning rate 0.1 times 0.2 after 60, 120 and 160, Nesterov momentum
    0.9, weight decay 5e-4 on all parameters, each channel to mean 0 and variance 1, pad 4 by reflection,
    random crop and flip.

    The paper's nets with dropout have model_options={"dropout": 0.3}. Those of its Table 4 were trained on
    whitened images (ZCA), which are not built here.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=200,
        batch_size=128,
        learning_rate=0.1,
        drops=(60, 120, 160),
        drop_factor=0.2,
        nesterov=True,
        weight_decay=5e-4,
        normalization="channel",
        padding_mode="reflect",
        **augmentation(model, dataset),
    )


def wide_svhn(model, dataset, **options):
    """Wide ResNet on SVHN (Zagoruyko and Komodakis 2016, section 3).

    160 epochs in batches of 128 images, learning rate 0.01 divided by 10 after 80 and 120, Nesterov momentum
    0.9, weight decay 5e-4, pixels from 0..255 to 0..1, no augmentation, and dropout 0.4 in the networks that
    take it, wrn_D_K. The data set itself is not part of minires.
    """
    dropout = {"dropout": 0.4} if model.startswith("wrn") else {}
    options["model_options"] = dropout | options.get("model_options", {})
    return in_epochs(
        model,
        dataset,
        options,
        epochs=160,
        batch_size=128,
        learning_rate=0.01,
        drops=(80, 120),
        nesterov=True,
        weight_decay=5e-4,
        normalization="unit",
    )


def resnext_cifar(model, dataset, **options):
    """ResNeXt on CIFAR (Xie et al. 2016, appendix).

    300 epochs in batches of 128 images, learning rate 0.1 divided by 10 after 150 and 225, momentum 0.9,
    weight decay 5e-4, pad 4, random crop and flip.

    From the authors' code alone: Nesterov momentum, and each channel to mean 0 and variance 1. That code
    drops after 147 and 222 epochs, and its notes say that the paper's first version had batches of 256 images
    and pre-activated blocks.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=300,
        batch_size=128,
        learning_rate=0.1,
        drops=(150, 225),
        nesterov=True,
        weight_decay=5e-4,
        normalization="channel",
        **augmentation(model, dataset),
    )


def quick(model, dataset, **options):
    """Ten epochs for a laptop: cosine schedule, Nesterov momentum, five times the ResNet's weight decay."""
    return in_epochs(
        model,
        dataset,
        options,
        epochs=10,
        batch_size=128,
        schedule="cosine",
        nesterov=True,
        weight_decay=5e-4,
        **augmentation(model, dataset),
    )
