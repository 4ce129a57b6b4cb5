from importlib.resources import files

import numpy as np
import pytest

from minires.data.dataset import Split
from minires.data.digits import digits
from minires.errors import DataError


def test_sizes_types_and_split():
    data = digits()
    assert data.train.images.shape == (1437, 1, 8, 8)
    assert data.test.images.shape == (360, 1, 8, 8)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert data.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def test_known_counts_and_first_digit():
    data = digits()
    labels = np.concatenate([data.train.labels, data.test.labels])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.train.labels[:10].tolist() == list(range(10))
    # the first row of the original file's first image is 0 0 5 13 9 1 0 0, on a scale to 16
    assert data.train.images[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_grey_levels_span_the_whole_byte():
    levels = np.unique(digits().train.images)
    assert len(levels) == 17
    assert (levels[0], levels[-1]) == (0, 255)


def nearest_neighbour_score(train_images, train_labels, test_images, test_labels):
    distance = (train_images**2).sum(1) - 2 * test_images @ train_images.T  # up to a constant per row
    return (train_labels[distance.argmin(1)] == test_labels).mean()


def test_documented_split_is_harder_than_a_shuffled_one():
    """The two scores of the docstring."""
    data = digits()
    images = np.concatenate([data.train.images, data.test.images]).reshape(-1, 64).astype(float)
    labels = np.concatenate([data.train.labels, data.test.labels])

    def score(order):
        train, test = order[:1437], order[1437:]
        return nearest_neighbour_score(images[train], labels[train], images[test], labels[test])

    shuffled = [score(np.random.default_rng(seed).permutation(1797)) for seed in range(10)]
    assert score(np.arange(1797)) == pytest.approx(0.956, abs=0.003)
    assert np.mean(shuffled) == pytest.approx(0.988, abs=0.003)


def test_shipped_file_is_small_and_holds_no_pickles():
    resource = files("minires.data").joinpath("digits.npz")
    assert len(resource.read_bytes()) <= 60_000
    with resource.open("rb") as file, np.load(file, allow_pickle=False) as packed:
        assert sorted(packed) == ["images", "labels"]


IMAGES, LABELS = np.zeros((4, 1, 8, 8), np.uint8), np.arange(4)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, "images must be uint8"),
        (IMAGES[:, 0], LABELS, "images must be uint8 .n, C, H, W., got uint8 .4, 8, 8."),
        (IMAGES.tolist(), LABELS, "images must be uint8 .n, C, H, W., got list"),
        (IMAGES, LABELS.astype(np.int32), "labels must be int64"),
        (IMAGES, LABELS[:, None], "labels must be int64"),
        (IMAGES, LABELS[:3], "4 images needs as many labels, got 3"),
    ],
)
def test_split_refuses(images, labels, message):
    with pytest.raises(DataError, match=message):
        Split(images, labels)


def test_take_gives_the_first_ones():
    first = Split(IMAGES, LABELS).take(3)
    assert first.labels.tolist() == [0, 1, 2]
    assert first.images.shape == (3, 1, 8, 8)
    assert len(Split(IMAGES, LABELS).take(9)) == 4
