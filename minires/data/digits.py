"""Real handwritten digits that ship with the package: 1,797 images of 8x8 pixels, no download.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
DOI 10.24432/C50P49, licensed under CC BY 4.0. Changes: only the test part of that data set is included,
converted from text to a compressed NumPy file.
"""

from importlib.resources import files

import numpy as np

from minires.data.dataset import Dataset, Split

TRAIN_IMAGES = 1437


def digits():
    """The digits 0 to 9 as a Dataset: 1,437 images for training, 360 for testing, uint8 (n, 1, 8, 8).

    The split is fixed: the first 1,437 images of the file are for training, the last 360 for testing. The
    file is in the order in which the digits were collected, so most of the test digits are by other writers
    than the training digits. The test is therefore harder than with a shuffled split: the nearest neighbour
    has the right label for 95.6% of the test images, not for 98.8%.
    The original grey levels 0..16 count the pixels set in a block of 4x4; they are scaled to 0..255 and
    rounded.
    """
    with (
        files("minires.data").joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as packed,
    ):
        levels, labels = packed["images"], packed["labels"].astype(np.int64)
    images = np.rint(levels[:, None] * (255 / 16)).astype(np.uint8)  # (n, 8, 8) -> (n, 1, 8, 8)
    return Dataset(
        name="digits",
        train=Split(images[:TRAIN_IMAGES], labels[:TRAIN_IMAGES]),
        test=Split(images[TRAIN_IMAGES:], labels[TRAIN_IMAGES:]),
        classes=tuple("0123456789"),
    )
