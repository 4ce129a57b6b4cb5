"""Augmentations of a batch, and the statistics that they and the normalizations use."""

import numpy as np
import pytest

from minires.data import (
    NORMALIZATIONS,
    ColourNoise,
    Compose,
    CropAndFlip,
    Normalization,
    Split,
    channel_mean_std,
    principal_components,
)
from minires.errors import ShapeError, UnknownNameError


@pytest.fixture
def images():
    """Colours whose channels depend on each other, uint8 (250, 3, 6, 5)."""
    rng = np.random.default_rng(0)
    mixing = np.array([[40, 12, 3], [30, -9, 5], [25, 4, -8]])
    colours = 120 + rng.standard_normal((250, 6, 5, 3)) @ mixing.T
    return np.clip(colours, 0, 255).astype(np.uint8).transpose(0, 3, 1, 2)


def test_reflection_crops_from_the_image_mirrored_at_its_border():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 6), np.uint8)
    cropped = CropAndFlip(2, padding_mode="reflect")(images, np.random.default_rng(1))
    mirrored = [2, 1, 0, 1, 2, 3, 4, 5, 4, 3]  # the border itself once
    windows = set()
    for crop, image in zip(cropped, images, strict=True):
        padded = image[:, mirrored][:, :, mirrored]
        matches = [
            (top, left, direction)
            for top in range(5)
            for left in range(5)
            for direction in (1, -1)
            if (padded[:, top : top + 6, left : left + 6][:, :, ::direction] == crop).all()
        ]
        assert len(matches) == 1
        windows |= set(matches)
    assert len(windows) > 25


def test_both_padding_modes_draw_the_same_windows():
    """The two crops are equal outside of the zero border."""
    images = np.random.default_rng(0).integers(1, 256, (64, 1, 9, 9), np.uint8)
    zero, reflected = (
        CropAndFlip(1, padding_mode=mode)(images, np.random.default_rng(1)) for mode in ("zero", "reflect")
    )
    inside = zero != 0
    np.testing.assert_array_equal(zero[inside], reflected[inside])
    assert 0 < (~inside).sum() < inside.sum()


def test_an_unknown_padding_mode():
    with pytest.raises(UnknownNameError, match="unknown padding mode 'reflection'; did you mean reflect"):
        CropAndFlip(4, padding_mode="reflection")


def test_only_the_range_is_changed_by_unit():
    images = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    x = NORMALIZATIONS["unit"](images)(images)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, images.astype(np.float32) / 255)


def test_augmentations_follow_each_other_with_one_generator():
    generator = np.random.default_rng(0)
    augmentations = lambda x, g: x + g.random(), lambda x, g: x * g.random()
    a, b = np.random.default_rng(0).random(2)
    np.testing.assert_array_equal(Compose(augmentations)(np.ones(3), generator), (1 + a) * b * np.ones(3))


def test_principal_components_are_those_of_the_covariance(images):
    components, eigenvalues = principal_components(images)
    colours = images.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    covariance = np.cov(colours, bias=True)
    np.testing.assert_allclose(components * eigenvalues @ components.T, covariance, atol=1e-15)
    np.testing.assert_allclose(components.T @ components, np.eye(3), atol=1e-14)
    np.testing.assert_allclose((components.T @ colours).var(axis=1), eigenvalues, rtol=1e-10)
    assert eigenvalues[0] > eigenvalues[1] > eigenvalues[2] > 0
    assert (components[np.abs(components).argmax(axis=0), range(3)] > 0).all()


def test_principal_components_of_a_known_covariance():
    """Red and green vary together and blue alone: (1, 1, 0) / sqrt 2 with 2 a^2, (0, 0, 1) with b^2."""
    a, b = 100, 51
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])  # of red and green, of blue
    colours = 128 + signs[:, [0, 0, 1]] * [a, a, b]
    components, eigenvalues = principal_components(colours.astype(np.uint8).reshape(4, 3, 1, 1))
    np.testing.assert_allclose(eigenvalues, [2 * (a / 255) ** 2, (b / 255) ** 2, 0], atol=1e-15)
    np.testing.assert_allclose(components[:, 0], [0.5**0.5, 0.5**0.5, 0], atol=1e-12)
    np.testing.assert_allclose(components[:, 1], [0, 0, 1], atol=1e-12)


def test_colour_noise_shifts_every_pixel_of_an_image_alike(images):
    x = images[:20].astype(np.float32)
    shifted = ColourNoise(*principal_components(images))(x, np.random.default_rng(0))
    assert shifted.dtype == np.float32
    shift = shifted - x
    assert np.abs(shift - shift[:, :, :1, :1]).max() < 1e-4  # x counts in levels here, hence the rounding
    assert len(np.unique(shift[:, 0, 0, 0])) > 15


def test_colour_noise_has_the_papers_size(images):
    """Along component k the shift is normal with deviation 0.1 l_k, independent of the others."""
    components, eigenvalues = principal_components(images)
    noise = ColourNoise(components, eigenvalues)
    shift = noise(np.zeros((40_000, 3, 1, 1)), np.random.default_rng(0))[:, :, 0, 0]
    a = shift @ components / eigenvalues
    np.testing.assert_allclose(a.mean(axis=0), 0, atol=0.002)
    np.testing.assert_allclose(np.cov(a.T), 0.01 * np.eye(3), atol=0.0003)
    assert np.abs(a).max() > 0.35, "a normal distribution has tails"
    stronger = ColourNoise(components, eigenvalues, deviation=0.3)
    stronger_shift = stronger(np.zeros((40_000, 3, 1, 1)), np.random.default_rng(0))[:, :, 0, 0]
    rounding = 1e-14 * np.abs(shift).max()  # of sums of three terms that nearly cancel
    np.testing.assert_allclose(stronger_shift, 3 * shift, rtol=1e-12, atol=rounding)


def test_colour_noise_behind_a_normalization_is_that_of_the_colours_before(images):
    components = principal_components(images)
    normalize = channel_mean_std(images)
    x = ColourNoise(*components, std=normalize.std)(normalize(images), np.random.default_rng(3))
    shift = ColourNoise(*components)(np.zeros_like(images, np.float64), np.random.default_rng(3))
    np.testing.assert_allclose(x, normalize(images) + shift / normalize.std, atol=1e-6)
    # The same as colours that were noisy before they were normalized.
    before = images / 255 + shift
    np.testing.assert_allclose(x, (before - normalize.mean) / normalize.std, atol=1e-5)


def test_colour_noise_without_spread_changes_nothing():
    grey = np.full((5, 3, 4, 4), 77, np.uint8)
    x = Normalization(np.float32(0), np.float32(1))(grey)
    np.testing.assert_allclose(
        ColourNoise(*principal_components(grey))(x, np.random.default_rng(0)), x, atol=1e-12
    )


def test_colour_noise_of_other_channels_is_refused(images):
    noise = ColourNoise(*principal_components(images))
    with pytest.raises(ShapeError, match="images have 1 channels but the components are of images with 3"):
        noise(np.zeros((2, 1, 4, 4), np.float32), np.random.default_rng(0))


def test_a_splits_sample_is_all_of_it(images):
    split = Split(images, np.zeros(len(images), np.int64))
    assert split.sample() is split.images
    assert split.channels == 3
