"""The papers' own figures for their networks, which `minires summary` prints beside the counted ones.

Errors are in percent. "Ten crops" and "multi scale" name the views of an image whose predictions were
averaged. "fail" is an error of more than 20 %.
"""

from dataclasses import dataclass

HE_2015 = "He et al. 2015"
HE_2016 = "He et al. 2016"
ZAGORUYKO_2016 = "Zagoruyko and Komodakis 2016"
XIE_2016 = "Xie et al. 2016"
TORCHVISION = "torchvision's weights"


@dataclass(frozen=True)
class Published:
    """Figures for one network as they are printed; None for what the source does not give."""

    source: str
    error: str | None = None
    parameters: str | None = None
    multiply_adds: str | None = None


def cifar(source, cifar10, cifar100=None, parameters=None):
    """Test errors on CIFAR-10, and on CIFAR-100."""
    cifar10 = f"CIFAR-10 {cifar10}{'' if cifar10 == 'fail' else ' %'}"
    cifar100 = f", CIFAR-100 {cifar100} %" if cifar100 else ""
    return Published(source, cifar10 + cifar100, parameters)


def imagenet(source, multiply_adds=None, parameters=None, **errors):
    """Validation errors on ImageNet by views, for example ten_crops="24.52/7.46" for top-1 and top-5."""
    results = []
    for views, error in errors.items():
        top = "top-1/5" if "/" in error else "top-1"
        results.append(f"{top} {error} % ({views.replace('_', ' ')})")
    return Published(source, f"ImageNet {', '.join(results)}" if results else None, parameters, multiply_adds)


def key(name, **options):
    """The key of a network that is built with options."""
    return name, frozenset(options.items())


FIGURES = {
    # CIFAR: He et al. 2015
    key("resnet20"): cifar(f"{HE_2015}, Table 6", "8.75", parameters="0.27 M"),
    key("resnet32"): cifar(f"{HE_2015}, Table 6", "7.51", parameters="0.46 M"),
    key("resnet44"): cifar(f"{HE_2015}, Table 6", "7.17", parameters="0.66 M"),
    key("resnet56"): cifar(f"{HE_2015}, Table 6", "6.97", parameters="0.85 M"),
    key("resnet110"): cifar(f"{HE_2015}, Table 6", "6.43, of five runs 6.61 +- 0.16", parameters="1.7 M"),
    key("resnet1202"): cifar(f"{HE_2015}, Table 6", "7.93", parameters="19.4 M"),
    key("nin"): cifar(f"{HE_2015}, Table 6", "8.81"),
    # CIFAR: He et al. 2016, the types of shortcuts
    key("resnet110", shortcut="constant_scaling"): cifar(f"{HE_2016}, Table 1", "12.35"),
    key("resnet110", shortcut="constant_scaling", factors=(0.5, 1)): cifar(f"{HE_2016}, Table 1", "fail"),
    key("resnet110", shortcut="constant_scaling", factors=(0, 1)): cifar(f"{HE_2016}, Table 1", "fail"),
    key("resnet110", shortcut="exclusive_gating"): cifar(f"{HE_2016}, Table 1", "8.70"),
    key("resnet110", shortcut="exclusive_gating", gate_bias=-7): cifar(f"{HE_2016}, Table 1", "9.81"),
    key("resnet110", shortcut="exclusive_gating", gate_bias=0): cifar(f"{HE_2016}, Table 1", "fail"),
    key("resnet110", shortcut="shortcut_gating"): cifar(f"{HE_2016}, Table 1", "6.91"),
    key("resnet110", shortcut="shortcut_gating", gate_bias=0): cifar(f"{HE_2016}, Table 1", "12.86"),
    key("resnet110", shortcut="conv1x1"): cifar(f"{HE_2016}, Table 1", "12.22"),
    key("resnet110", shortcut="dropout"): cifar(f"{HE_2016}, Table 1", "fail"),
    # CIFAR: He et al. 2016, the orders of activations, and depth
    key("preact_resnet110"): cifar(f"{HE_2016}, Tables 2 and 3", "6.37"),
    key("preact_resnet110", order="original"): cifar(f"{HE_2016}, Table 2", "6.61"),
    key("preact_resnet110", order="bn_after_addition"): cifar(f"{HE_2016}, Table 2", "8.17"),
    key("preact_resnet110", order="relu_before_addition"): cifar(f"{HE_2016}, Table 2", "7.84"),
    key("preact_resnet110", order="relu_only"): cifar(f"{HE_2016}, Table 2", "6.71"),
    key("preact_resnet164"): cifar(f"{HE_2016}, Tables 2 to 4", "5.46", "24.33", "1.7 M"),
    key("preact_resnet164", order="original"): cifar(f"{HE_2016}, Table 2", "5.93"),
    key("preact_resnet164", order="bn_after_addition"): cifar(f"{HE_2016}, Table 2", "6.50"),
    key("preact_resnet164", order="relu_before_addition"): cifar(f"{HE_2016}, Table 2", "6.14"),
    key("preact_resnet164", order="relu_only"): cifar(f"{HE_2016}, Table 2", "5.91"),
    key("preact_resnet1001"): cifar(f"{HE_2016}, Tables 3 and 4", "4.92", "22.71", "10.2 M"),
    key("resnet164"): cifar(f"{HE_2016}, Table 3", "5.93", "25.16"),
    key("resnet1001"): cifar(f"{HE_2016}, Table 3", "7.61", "27.82"),
    # CIFAR: Zagoruyko and Komodakis 2016; the images of Table 4 were whitened
    key("wrn_16_8"): cifar(f"{ZAGORUYKO_2016}, Table 5", "4.27", "20.43"),
    key("wrn_28_10"): cifar(f"{ZAGORUYKO_2016}, Table 5; {XIE_2016}, Table 7", "4.00", "19.25", "36.5 M"),
    key("wrn_28_10", dropout=0.3): cifar(f"{ZAGORUYKO_2016}, Table 6", "3.89", "18.85"),
    key("wrn_40_4"): cifar(f"{ZAGORUYKO_2016}, Table 5", "4.53", "21.18"),
    key("wrn_16_4"): cifar(f"{ZAGORUYKO_2016}, Table 6", "5.02", "24.03"),
    key("wrn_16_4", dropout=0.3): cifar(f"{ZAGORUYKO_2016}, Table 6", "5.24", "23.91"),
    key("wrn_52_1"): cifar(f"{ZAGORUYKO_2016}, Table 6", "6.43", "29.89"),
    key("wrn_52_1", dropout=0.3): cifar(f"{ZAGORUYKO_2016}, Table 6", "6.28", "29.78"),
    key("wrn_40_1"): cifar(f"{ZAGORUYKO_2016}, Table 4", "6.85", "30.89"),
    key("wrn_40_2"): cifar(f"{ZAGORUYKO_2016}, Table 4", "5.33", "26.04"),
    key("wrn_40_8"): cifar(f"{ZAGORUYKO_2016}, Table 4", "4.66"),
    key("wrn_28_12"): cifar(f"{ZAGORUYKO_2016}, Table 4", "4.33", "20.43"),
    key("wrn_22_8"): cifar(f"{ZAGORUYKO_2016}, Table 4", "4.38", "21.22"),
    key("wrn_22_10"): cifar(f"{ZAGORUYKO_2016}, Table 4", "4.44", "20.75"),
    key("wrn_16_10"): cifar(f"{ZAGORUYKO_2016}, Table 4", "4.56", "21.59"),
    # CIFAR: Xie et al. 2016
    key("resnext29_8x64d"): cifar(f"{XIE_2016}, Table 7", "3.65", "17.77", "34.4 M"),
    key("resnext29_16x64d"): cifar(f"{XIE_2016}, Table 7", "3.58", "17.31", "68.1 M"),
    # ImageNet: He et al. 2015
    key("plain18"): imagenet(f"{HE_2015}, Tables 1 and 2", "1.8e9", ten_crops="27.94"),
    key("plain34"): imagenet(f"{HE_2015}, Tables 1 to 3", "3.6e9", ten_crops="28.54/10.02"),
    key("resnet18"): imagenet(f"{HE_2015}, Table 1; {TORCHVISION}", "1.8e9", "11,689,512"),
    key("resnet18", shortcut="A"): imagenet(f"{HE_2015}, Table 2", "1.8e9", ten_crops="27.88"),
    key("resnet34"): imagenet(
        f"{HE_2015}, Tables 1, 3 and 4; {TORCHVISION}",
        "3.6e9",
        "21,797,672",
        ten_crops="24.52/7.46",
        multi_scale="21.84/5.71",
    ),
    key("resnet34", shortcut="A"): imagenet(f"{HE_2015}, Table 3", "3.6e9", ten_crops="25.03/7.76"),
    key("resnet34", shortcut="C"): imagenet(
        f"{HE_2015}, Tables 3 and 4", ten_crops="24.19/7.40", multi_scale="21.53/5.60"
    ),
    key("resnet50"): imagenet(
        f"{HE_2015}, Tables 1, 3 and 4", "3.8e9", ten_crops="22.85/6.71", multi_scale="20.74/5.25"
    ),
    key("resnet101"): imagenet(
        f"{HE_2015}, Tables 1, 3 and 4", "7.6e9", ten_crops="21.75/6.05", multi_scale="19.87/4.60"
    ),
    key("resnet152"): imagenet(
        f"{HE_2015}, Tables 1, 3 and 4", "11.3e9", ten_crops="21.43/5.71", multi_scale="19.38/4.49"
    ),
    # ImageNet: descendants of ResNet
    key("resnet50_v1_5"): imagenet(
        f"{TORCHVISION}; {XIE_2016}, Table 1", "4.1e9", "25,557,032", one_crop="23.9"
    ),
    key("resnet101_v1_5"): imagenet(
        f"{TORCHVISION}; {XIE_2016}, section 5", None, "44,549,160", one_crop="22.0/6.0"
    ),
    key("resnet152_v1_5"): imagenet(TORCHVISION, None, "60,192,808"),
    key("wide_resnet50_2"): imagenet(TORCHVISION, None, "68,883,240"),
    key("wide_resnet101_2"): imagenet(TORCHVISION, "22.753e9", "126,886,696"),
    key("resnext50_32x4d"): imagenet(f"{XIE_2016}, Table 1, section 5", "4.2e9", "25.0e6", one_crop="22.2"),
    key("resnext50_32x4d", groups=2, width_per_group=40): imagenet(f"{XIE_2016}, section 5", one_crop="23.0"),
    key("resnext50_32x4d", groups=4, width_per_group=24): imagenet(f"{XIE_2016}, section 5", one_crop="22.6"),
    key("resnext50_32x4d", groups=8, width_per_group=14): imagenet(f"{XIE_2016}, section 5", one_crop="22.3"),
    key("resnext101_32x4d"): imagenet(f"{XIE_2016}, section 5", one_crop="21.2/5.6"),
    key("resnext101_32x8d"): imagenet(TORCHVISION, "16.414e9", "88,791,336"),
    key("resnext101_64x4d"): imagenet(
        f"{XIE_2016}, section 5; {TORCHVISION}", None, "83,455,272", one_crop="20.4/5.3"
    ),
    # ImageNet: older networks
    key("alexnet_two_tower"): Published("Krizhevsky et al. 2012", "ImageNet top-5 18.2 %", "60 M"),
    key("alexnet"): imagenet(TORCHVISION, "0.714e9", "61,100,840"),
    key("vgg16"): imagenet(
        f"{TORCHVISION}; {HE_2015}, Table 3", "15.3e9", "138,357,544", ten_crops="28.07/9.33"
    ),
    key("vgg19"): imagenet(f"{TORCHVISION}; {HE_2015}, Figure 3", "19.6e9", "143,667,240"),
    key("vgg16_bn"): imagenet(TORCHVISION, None, "138,365,992"),
    key("googlenet"): imagenet(TORCHVISION, None, "13,004,888"),
    key("googlenet", heads=False): imagenet(TORCHVISION, None, "6,624,904"),
    key("googlenet_2014"): Published("Szegedy et al. 2014", "ImageNet top-5 10.07 % (one network, 1 crop)"),
}


def published(name, options=None):
    """The Published figures of the network `name` with these options, None if there are none."""
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in (options or {}).items()}
    try:
        return FIGURES.get(key(name, **options))
    except TypeError:  # an option that cannot be hashed
        return None
