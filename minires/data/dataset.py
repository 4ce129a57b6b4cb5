"""A data set: images and labels, here as arrays in memory, and the names of the classes."""

from dataclasses import dataclass

import numpy as np

from minires.errors import DataError


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: images uint8 (n, C, H, W), labels int64 (n,).

    Raises DataError if a dtype or a number of dimensions is another one, or if the lengths differ.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        _check_array("images", self.images, np.uint8, "(n, C, H, W)", 4)
        _check_array("labels", self.labels, np.int64, "(n,)", 1)
        if len(self.images) != len(self.labels):
            raise DataError(
                f"a split of {len(self.images)} images needs as many labels, got {len(self.labels)}"
            )

    def __repr__(self):
        return f"Split({len(self)} images of {' x '.join(map(str, self.images.shape[1:]))})"

    def __len__(self):
        return len(self.labels)

    of_one_size = True  # all images have one size; the photos of an ImageFolder may differ

    @property
    def channels(self):
        """C of the images."""
        return self.images.shape[1]

    def read(self, chosen, generator=None):
        """Images uint8 (N, C, H, W) and labels (N,) of the chosen indices (N,); nothing is random here."""
        return self.images[chosen], self.labels[chosen]

    def sample(self):
        """The images that statistics are computed from: all of them, uint8 (n, C, H, W)."""
        return self.images

    def take(self, count):
        """A Split of the first `count` images and labels, in the same memory; all if there are fewer."""
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set; the label k of an image means `classes[k]`.

    Its two parts are Splits or ImageFolders. Both classes have `labels`, `of_one_size`, `channels`, `read`
    and `sample`.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]


def _check_array(name, array, dtype, shape, ndim):
    actual = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}".strip()
    if getattr(array, "dtype", None) != dtype or array.ndim != ndim:
        raise DataError(f"{name} must be {np.dtype(dtype)} {shape}, got {actual}")
