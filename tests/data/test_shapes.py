import numpy as np
import pytest

from minires.data.shapes import CHUNK_IMAGES, CLASSES, _colours, _coverage, shapes
from minires.errors import OptionError


def test_shapes_and_types():
    data = shapes(train=120, test=30, size=16)
    assert data.train.images.shape == (120, 3, 16, 16)
    assert data.test.images.shape == (30, 3, 16, 16)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert data.classes == tuple(CLASSES)
    assert len(data.classes) == 10


def test_same_seed_same_bytes_other_seed_other_bytes():
    first, again, other = shapes(50, 10, seed=3), shapes(50, 10, seed=3), shapes(50, 10, seed=4)
    assert first.train.images.tobytes() == again.train.images.tobytes()
    assert first.test.images.tobytes() == again.test.images.tobytes()
    assert first.train.images.tobytes() != other.train.images.tobytes()


def test_more_images_begin_with_the_same_ones():
    short, long = shapes(CHUNK_IMAGES + 7, 5), shapes(2 * CHUNK_IMAGES + 9, 11)
    np.testing.assert_array_equal(long.train.images[: CHUNK_IMAGES + 7], short.train.images)
    np.testing.assert_array_equal(long.train.labels[: CHUNK_IMAGES + 7], short.train.labels)
    np.testing.assert_array_equal(long.test.images[:5], short.test.images)


def test_no_image_twice_in_chunks_or_across_the_splits():
    data = shapes(2 * CHUNK_IMAGES, 2 * CHUNK_IMAGES, size=8)
    images = [image.tobytes() for image in (*data.train.images, *data.test.images)]
    assert len(set(images)) == 4 * CHUNK_IMAGES


def test_every_hundred_is_balanced_and_mixed():
    labels = shapes(2 * CHUNK_IMAGES, 0, size=8).train.labels
    for part in (labels[:CHUNK_IMAGES], labels[CHUNK_IMAGES:]):
        assert np.bincount(part, minlength=10).tolist() == [10] * 10
    assert len(set(labels[:20])) > 5


@pytest.mark.parametrize("name", CLASSES)
def test_shape_lies_in_the_unit_circle_and_covers_a_fair_part(name):
    x, y = np.meshgrid(np.linspace(-1.5, 1.5, 301), np.linspace(-1.5, 1.5, 301))
    inside = CLASSES[name](x, y) < 0
    assert not inside[np.hypot(x, y) > 1].any()
    area = inside.mean() * 9
    assert 0.5 < area < np.pi


@pytest.mark.parametrize("name", CLASSES)
def test_distance_has_slope_one_at_the_outline(name):
    """The soft edge is one pixel wide only if the function is a distance near the outline."""
    x, y = np.meshgrid(np.linspace(-1.1, 1.1, 441), np.linspace(-1.1, 1.1, 441))
    distance = CLASSES[name](x, y)
    gy, gx = np.gradient(distance, 2.2 / 440)
    slope = np.hypot(gx, gy)[np.abs(distance) < 0.02]
    assert np.quantile(slope, 0.1) > 0.97
    assert np.quantile(slope, 0.9) < 1.03


def test_areas_agree_with_geometry():
    x, y = np.meshgrid(np.linspace(-1, 1, 1001), np.linspace(-1, 1, 1001))
    area = {name: (CLASSES[name](x, y) < 0).mean() * 4 for name in CLASSES}
    assert area["circle"] == pytest.approx(np.pi * 0.9**2, abs=0.01)
    assert area["ring"] == pytest.approx(np.pi * (0.92**2 - 0.58**2), abs=0.01)
    assert area["pie"] == pytest.approx(np.pi * 3 / 4, abs=0.01)
    assert area["triangle"] == pytest.approx(3 * np.sqrt(3) / 4, abs=0.01)
    assert area["square"] == pytest.approx(2, abs=0.01)
    assert area["star"] == pytest.approx(5 * 0.42 * np.sin(np.pi / 5), abs=0.01)


def test_the_two_colours_differ_in_every_channel():
    for seed in range(20):
        background, foreground = _colours(np.random.default_rng(seed))
        assert np.abs(background - foreground).min() > 0.299
        assert min(background.min(), foreground.min()) >= 0
        assert max(background.max(), foreground.max()) <= 1


def test_outline_is_soft_and_image_is_of_two_colours():
    """Coverage is 0 or 1 nearly everywhere; few pixels, on the outline, lie in between."""
    labels = np.arange(CHUNK_IMAGES) % 10
    coverage = _coverage(np.random.default_rng(0), labels, size=32)
    assert coverage.dtype == np.float32
    on_outline = ((coverage > 0) & (coverage < 1)).mean(axis=(1, 2))
    assert on_outline.min() > 0.01
    assert on_outline.max() < 0.2
    assert (coverage.max(axis=(1, 2)) == 1).mean() > 0.95  # small shapes have bars thinner than a pixel


@pytest.mark.parametrize("bad", [{"train": -1}, {"test": -1}, {"seed": -1}, {"size": 7}])
def test_refuses_bad_arguments(bad):
    with pytest.raises(OptionError, match="shapes needs"):
        shapes(**bad)
