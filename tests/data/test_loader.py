"""Batches: their images, augmentation and normalization."""

import numpy as np
import pytest

from minires.data import CropAndFlip, Loader, Split, channel_mean_std, load, pixel_mean
from minires.data.augment import to_unit
from minires.errors import OptionError, UnknownNameError


def numbered(n, size=2):
    """A Split of n images; image i is filled with i and has label i."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 3, size, size))
    return Split(images.copy(), np.arange(n))


def plain(images):
    return images.astype(np.float32)


def test_an_epoch_holds_every_image_once_and_the_next_in_another_order():
    loader = Loader(numbered(10), 4, normalize=plain, seed=1)
    epochs = [np.concatenate([labels for _, labels in loader.epoch(e)]) for e in (0, 1)]
    assert len(loader) == 3
    assert [len(labels) for _, labels in loader] == [4, 4, 2]
    for labels in epochs:
        assert sorted(labels) == list(range(10))
    assert list(epochs[0]) != list(epochs[1])


def test_images_and_labels_stay_together():
    for images, labels in Loader(numbered(10), 3, normalize=plain):
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)
        assert images.dtype == np.float32


def test_each_loop_is_another_epoch():
    loader, fresh = (Loader(numbered(10), 4, normalize=plain, seed=1) for _ in range(2))
    for epoch in range(3):
        for (_, labels), (_, expected) in zip(loader, fresh.epoch(epoch), strict=True):
            np.testing.assert_array_equal(labels, expected)


def test_the_border_of_a_crop_has_the_value_of_the_mean():
    split = Split(np.full((4, 3, 6, 6), 200, np.uint8), np.arange(4))
    loader = Loader(split, 4, normalize=pixel_mean(split.images), augment=CropAndFlip(2))
    np.testing.assert_allclose(loader.batch(0)[0], 0, atol=1e-6)


def test_the_last_batch_is_dropped_on_request():
    loader = Loader(numbered(10), 4, normalize=plain, drop_last=True)
    assert [len(labels) for _, labels in loader] == [4, 4]


def test_a_batch_depends_on_seed_and_step_alone():
    split, augment = numbered(10, size=6), CropAndFlip(2)
    one, two, other = (Loader(split, 4, normalize=plain, augment=augment, seed=s) for s in (3, 3, 4))
    expected = [one.batch(step) for step in range(7)]
    for step in (6, 2, 5):  # in any order
        np.testing.assert_array_equal(two.batch(step)[0], expected[step][0])
        np.testing.assert_array_equal(two.batch(step)[1], expected[step][1])
    assert any((other.batch(s)[1] != expected[s][1]).any() for s in range(2))


def test_the_random_numbers_of_a_batch_stay_as_they_are():
    """Later versions repeat a run bit for bit only while these seeds and keys stay."""
    split, augment = numbered(10, size=6), CropAndFlip(2)
    order = np.random.default_rng((3, 0, 1)).permutation(10)
    images, labels = Loader(split, 4, augment=augment, seed=3).batch(4)  # the second of epoch 1
    key = np.random.SeedSequence((3, 1)).generate_state(2, np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 4, 0, 0]))
    np.testing.assert_array_equal(images, augment(to_unit(split.images[order[4:8]]), generator))
    np.testing.assert_array_equal(labels, order[4:8])


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 + 1, 3**100])
def test_seeds_of_any_size(seed):
    split, augment = numbered(10, size=6), CropAndFlip(2)
    one, two, other = (Loader(split, 10, augment=augment, seed=s) for s in (seed, seed, seed + 2**64))
    np.testing.assert_array_equal(one.batch(2)[0], two.batch(np.int64(2))[0])
    assert (other.batch(2)[0] != one.batch(2)[0]).any()


def test_without_shuffling_the_order_is_the_files():
    labels = [labels for _, labels in Loader(numbered(5), 2, normalize=plain, shuffle=False)]
    assert np.concatenate(labels).tolist() == [0, 1, 2, 3, 4]


def test_bad_batch_sizes():
    with pytest.raises(OptionError, match="at least 1"):
        Loader(numbered(5), 0, normalize=plain)
    with pytest.raises(OptionError, match="drop_last leaves none"):
        Loader(numbered(5), 6, normalize=plain, drop_last=True)


def test_each_crop_is_a_window_of_the_padded_image_or_its_mirror():
    images = np.random.default_rng(0).integers(1, 256, (64, 3, 5, 6), np.uint8)
    cropped = CropAndFlip(2)(images, np.random.default_rng(1))
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = set()
    for crop, image in zip(cropped, padded, strict=True):
        matches = [
            (top, left, flip)
            for top in range(5)
            for left in range(5)
            for flip in (1, -1)
            if (image[:, top : top + 5, left : left + 6][:, :, ::flip] == crop).all()
        ]
        assert len(matches) == 1
        windows |= set(matches)
    assert {flip for _, _, flip in windows} == {1, -1}
    assert {top for top, _, _ in windows} == {left for _, left, _ in windows} == set(range(5))


def test_crop_without_flip_never_mirrors():
    images = np.arange(12, dtype=np.uint8).reshape(1, 1, 3, 4).repeat(50, axis=0)
    np.testing.assert_array_equal(CropAndFlip(0, flip=False)(images, np.random.default_rng(0)), images)


def test_pixel_mean_is_subtracted():
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 4, 4), np.uint8)
    x = pixel_mean(images)(images)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x + (images / 255).mean(axis=0), images / 255, atol=1e-6)


def test_channels_get_mean_0_and_variance_1():
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 4, 4), np.uint8)
    images[:, 1] //= 3
    x = channel_mean_std(images)(images)
    np.testing.assert_allclose(x.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_unknown_data_set_and_option():
    with pytest.raises(UnknownNameError, match=r"'cifr10'.*cifar10"):
        load("cifr10")
    with pytest.raises(OptionError, match=r"digits.*data_dir"):
        load("digits", data_dir="somewhere")
