"""The names of the classes of ImageNet (ILSVRC 2012) and CIFAR, in the order of the labels.

ImageNet's names are words of WordNet 3.0 (Princeton University) for its 1,000 synsets, in the order of their
identifiers, which is the order of the outputs of pretrained networks.
"""

from importlib.resources import files
from pathlib import Path

from minires.errors import DataError

NAMES_FILES = {1000: "imagenet", 10: "cifar10", 100: "cifar100"}  # classes -> file in class_names/


def class_names(count, path=None):
    """The names of `count` classes: a tuple of strings.

    path: a text file with one name on each line. Without it, ImageNet's names for 1,000 classes, CIFAR-10's
    for 10, CIFAR-100's for 100, and "class 0", "class 1", ... for any other number.
    Raises DataError if the file cannot be read or has another number of names; empty lines do not count.
    """
    if path is None:
        if count not in NAMES_FILES:
            return tuple(f"class {i}" for i in range(count))
        text = files("minires.data").joinpath("class_names", f"{NAMES_FILES[count]}.txt").read_text("utf-8")
        return tuple(text.splitlines())
    try:
        names = tuple(line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read class names from {path}: {error}") from error
    if len(names) != count:
        raise DataError(
            f"{path} names {len(names)} classes, but the network has {count}; write one name on each line"
        )
    return names
