"""What the papers say of their networks, to stand beside what is counted here.

Errors are in percent; "10 crops" and the like say how the images were looked at.
"""

from dataclasses import dataclass

RN = "He et al. 2015"
IM = "He et al. 2016"
WR = "Zagoruyko and Komodakis 2016"
RX = "Xie et al. 2016"
TV = "torchvision's weights"


@dataclass(frozen=True)
class Published:
    """Figures for one network as they are printed; None for what the source does not give."""

    source: str
    parameters: str | None = None
    multiply_adds: str | None = None
    error: str | None = None


def cifar(error, hundred=None):
    """A test error on CIFAR-10, and on CIFAR-100."""
    return f"CIFAR-10 {error} %" + (f", CIFAR-100 {hundred} %" if hundred else "")


def imagenet(view, top1=None, top5=None):
    """Validation errors on ImageNet."""
    errors = [f"{name} {error} %" for name, error in (("top-1", top1), ("top-5", top5)) if error]
    return f"ImageNet {' and '.join(errors)} ({view})"


PUBLISHED = {
    "resnet20": Published(f"{RN}, Table 6", "0.27 M", None, cifar("8.75")),
    "resnet32": Published(f"{RN}, Table 6", "0.46 M", None, cifar("7.51")),
    "resnet44": Published(f"{RN}, Table 6", "0.66 M", None, cifar("7.17")),
    "resnet56": Published(f"{RN}, Table 6", "0.85 M", None, cifar("6.97")),
    "resnet110": Published(f"{RN}, Table 6", "1.7 M", None, cifar("6.43, of five runs 6.61 +- 0.16")),
    "resnet1202": Published(f"{RN}, Table 6", "19.4 M", None, cifar("7.93")),
    "resnet164": Published(f"{IM}, Table 3", None, None, cifar("5.93", "25.16")),
    "resnet1001": Published(f"{IM}, Table 3", None, None, cifar("7.61", "27.82")),
    "preact_resnet110": Published(f"{IM}, Table 3", None, None, cifar("6.37")),
    "preact_resnet164": Published(f"{IM}, Tables 3 and 4", "1.7 M", None, cifar("5.46", "24.33")),
    "preact_resnet1001": Published(f"{IM}, Tables 3 and 4", "10.2 M", None, cifar("4.92", "22.71")),
    "wrn_16_8": Published(f"{WR}, Table 5", None, None, cifar("4.27", "20.43")),
    "wrn_28_10": Published(f"{WR}, Table 5; {RX}, Table 7", "36.5 M", None, cifar("4.00", "19.25")),
    "wrn_40_4": Published(f"{WR}, Table 5", None, None, cifar("4.53", "21.18")),
    "resnext29_8x64d": Published(f"{RX}, Table 7", "34.4 M", None, cifar("3.65", "17.77")),
    "resnext29_16x64d": Published(f"{RX}, Table 7", "68.1 M", None, cifar("3.58", "17.31")),
    "nin": Published(f"{RN}, Table 6", None, None, cifar("8.81")),
    "plain18": Published(f"{RN}, Tables 1 and 2", None, "1.8e9", imagenet("10 crops", "27.94")),
    "plain34": Published(f"{RN}, Tables 1 to 3", None, "3.6e9", imagenet("10 crops", "28.54", "10.02")),
    "resnet18": Published(f"{RN}, Tables 1 and 2", None, "1.8e9", imagenet("10 crops, shortcut A", "27.88")),
    "resnet34": Published(f"{RN}, Tables 1 and 3", None, "3.6e9", imagenet("10 crops", "24.52", "7.46")),
    "resnet50": Published(f"{RN}, Tables 1 and 3", None, "3.8e9", imagenet("10 crops", "22.85", "6.71")),
    "resnet101": Published(f"{RN}, Tables 1 and 3", None, "7.6e9", imagenet("10 crops", "21.75", "6.05")),
    "resnet152": Published(f"{RN}, Tables 1 and 3", None, "11.3e9", imagenet("10 crops", "21.43", "5.71")),
    "resnet50_v1_5": Published(f"{TV}; {RX}, Table 1", "25,557,032", "4.1e9"),
    "resnet101_v1_5": Published(TV, "44,549,160"),
    "resnet152_v1_5": Published(TV, "60,192,808"),
    "wide_resnet50_2": Published(TV, "68,883,240"),
    "resnext50_32x4d": Published(f"{RX}, Table 1, section 5", "25.0e6", "4.2e9", imagenet("1 crop", "22.2")),
    "resnext101_32x4d": Published(f"{RX}, section 5", None, None, imagenet("1 crop", "21.2", "5.6")),
    "resnext101_64x4d": Published(
        f"{RX}, section 5; {TV}", "83,455,272", None, imagenet("1 crop", "20.4", "5.3")
    ),
    "alexnet_two_tower": Published(
        "Krizhevsky et al. 2012", "60 M", None, imagenet("one network", None, "18.2")
    ),
    "alexnet": Published(TV, "61,100,840", "0.714e9"),
    "vgg16": Published(
        f"{TV}; {RN}, Table 3", "138,357,544", "15.3e9", imagenet("10 crops", "28.07", "9.33")
    ),
    "vgg19": Published(f"{TV}; {RN}, Figure 3", "143,667,240", "19.6e9"),
    "googlenet": Published(f"{TV}, without heads", "6,624,904"),
    "googlenet_2014": Published("Szegedy et al. 2014", None, None, imagenet("1 crop", None, "10.07")),
}
