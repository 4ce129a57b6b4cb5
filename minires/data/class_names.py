"""What the classes of ImageNet (ILSVRC 2012) and CIFAR are called, in the order of their numbers.

ImageNet's names are words of WordNet 3.0 (Princeton University) for its 1,000 synsets, in the order of their
identifiers, as trained networks number them.
"""

from importlib.resources import files
from pathlib import Path

from minires.errors import DataError

KNOWN = {1000: "imagenet", 10: "cifar10", 100: "cifar100"}


def class_names(count, path=None):
    """The names of `count` classes: a tuple of strings.

    path: a text file with one name in a line. Without it, ImageNet's names for 1,000 classes, CIFAR-10's for
    10, CIFAR-100's for 100, and "class 0", "class 1", ... for any other number.
    Raises DataError if the file cannot be read or has another number of lines.
    """
    if path is None:
        if count not in KNOWN:
            return tuple(f"class {i}" for i in range(count))
        text = files("minires.data").joinpath("class_names", f"{KNOWN[count]}.txt").read_text("utf-8")
        return tuple(text.splitlines())
    try:
        names = tuple(line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read class names from {path}: {error}") from error
    if len(names) != count:
        raise DataError(f"{path} names {len(names)} classes, but the network has {count}; one name in a line")
    return names
