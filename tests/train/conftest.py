"""What the tests of training share."""

import numpy as np
import pytest

from minires.data import Dataset, Split


@pytest.fixture(scope="session")
def make_dataset():
    """make_dataset(name, length, side): a data set of that size whose images take no memory."""

    def make(name, length, side):
        images = np.broadcast_to(np.zeros((), np.uint8), (length, 3, side, side))
        split = Split(images, np.broadcast_to(np.zeros((), np.int64), (length,)))
        return Dataset(name, split, split.take(1), ("nothing",))

    return make
