"""Published protocols for photos: how the papers trained on ImageNet.

Means, and the colour noise's principal components, are those of at most 1,000 training photos
(ImageFolder.sample). The plateau schedule reads the errors on the data set's test split. To report test
errors, take validation images for that split, and measure on the test images after the training: images that
decide the schedule are part of the training.
"""

from minires.recipes.data_dependent import epoch_length, in_epochs
from minires.recipes.recipe import Recipe

# The shorter side drawn from 256 to 480, a random window of 224 or its mirror image, AlexNet's colour noise.
RESNET_AUGMENTATION = {"crop_size": 224, "crop_scales": (256, 480), "flip": True, "colour_noise": 0.1}


def resnet_imagenet(model, dataset, **options):
    """ResNet on ImageNet (He et al. 2015, section 3.4).

    600,000 steps ("up to") of 256 images, learning rate 0.1 divided by 10 when the error stops improving,
    weight decay 1e-4, momentum 0.9, per-pixel mean subtracted, shorter side from 256 to 480, random 224 x 224
    crop, flip, AlexNet's colour noise.

    The paper does not say when an error has stopped improving: a patience of five epochs is our choice. In
    the authors' README the 256 images are 32 on each of eight GPUs, so that batch norm sees 32.
    """
    batch_size = options.get("batch_size", 256)
    epoch = epoch_length(dataset, batch_size)
    protocol = {"iterations": 600_000, "schedule": "plateau", "patience": 5, "evaluate_every": epoch}
    protocol["batch_size"] = batch_size
    return Recipe(model=model, data=dataset.name, **protocol | RESNET_AUGMENTATION | options)


def preact_imagenet(model, dataset, **options):
    """Pre-activation ResNet on ImageNet (He et al. 2016, section 5 and appendix).

    Batches of 256 images, learning rate divided by 10 after 30 and 60 epochs. Our choices: it starts at 0.1,
    as on CIFAR, and ends after 90 epochs. The rest is as in `resnet_imagenet`. The best ResNet-200 had the
    scale and aspect-ratio augmentation of `resnext_imagenet`: crop_scales=None, crop_area=True. The
    paper's pre-activation nets for photos, of 152 and 200 layers, are not built here.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=90,
        batch_size=256,
        drops=(30, 60),
        learning_rate=0.1,
        **RESNET_AUGMENTATION,
    )


def resnext_imagenet(model, dataset, **options):
    """ResNeXt on ImageNet (Xie et al. 2016, section 4).

    Batches of 256 images, learning rate 0.1 divided by 10 three times, momentum 0.9, weight decay 1e-4, crops
    of random area and shape to 224 x 224, flip.

    From the authors' code alone: the drops after 30, 60 and 90 of 100 epochs, Nesterov momentum, each channel
    to mean 0 and variance 1, and the colour noise. That code also changes brightness, contrast and
    saturation, which is not built here.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=100,
        batch_size=256,
        learning_rate=0.1,
        drops=(30, 60, 90),
        nesterov=True,
        normalization="channel",
        crop_size=224,
        crop_area=True,
        flip=True,
        colour_noise=0.1,
    )


def alexnet(model, dataset, **options):
    """AlexNet on ImageNet (Krizhevsky et al. 2012, sections 4 and 5).

    90 epochs ("roughly") in batches of 128 images, learning rate 0.01 divided by 10 three times, whenever the
    error stops improving, momentum 0.9, weight decay 5e-4, per-pixel mean subtracted, shorter side 256,
    random 224 x 224 crop, flip, colour noise 0.1.

    The paper does not say how long the authors waited: a patience of five epochs is our choice. In their
    update (from memory, not verified) the velocity contains the learning rate, so that it differs from SGD's
    here just after a drop.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=90,
        batch_size=128,
        learning_rate=0.01,
        schedule="plateau",
        patience=5,
        max_drops=3,
        weight_decay=5e-4,
        crop_size=224,
        crop_scales=(256, 256),
        flip=True,
        colour_noise=0.1,
    )


def googlenet(model, dataset, **options):
    """GoogLeNet on ImageNet (Szegedy et al. 2014, section 6).

    Learning rate times 0.96 every 8 epochs, momentum 0.9, Polyak averaging, crops of random area and shape to
    224 x 224, of which the paper says that they were found to work well after the competition.

    The paper does not give the rest. Our choices: AlexNet's first rate 0.01, batches of 128 images, weight
    decay 5e-4, 90 epochs, flip and per-pixel mean, and an average over the second half of the steps only.
    """
    return in_epochs(
        model,
        dataset,
        options,
        epochs=90,
        batch_size=128,
        learning_rate=0.01,
        drops=range(8, 90, 8),
        drop_factor=0.96,
        weight_decay=5e-4,
        average_weights=True,
        crop_size=224,
        crop_area=True,
        flip=True,
    )
