"""Views: the places of crops, the sizes of photos, and the distributions of random crops."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minires.data import CentreCrop, RandomAreaCrop, RandomCrop, TenCrops, Whole, as_pixels, ten_crops
from minires.errors import DataError, OptionError

BILINEAR = Image.Resampling.BILINEAR


def ramp(W, H):
    """A photo whose red is the column and whose green is the row, up to 255 of each."""
    columns, rows = np.meshgrid(np.arange(W), np.arange(H))
    return Image.fromarray(np.stack([columns, rows, 0 * rows], axis=-1).astype(np.uint8))


def noise(W, H):
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (H, W, 3), np.uint8))


def nearly_equal(image, other):
    """Whether two images differ by no more than one level, the effect of rounding."""
    return np.abs(np.asarray(image, int) - np.asarray(other, int)).max() <= 1


def test_a_centre_crop_without_scale_is_the_middle_of_the_photo():
    crop = np.asarray(CentreCrop(4, scale=None)(ramp(9, 6)))
    np.testing.assert_array_equal(crop[..., 0], [[2, 3, 4, 5]] * 4)
    np.testing.assert_array_equal(crop[..., 1], np.array([[1, 2, 3, 4]]).T.repeat(4, axis=1))


@pytest.mark.parametrize(("W", "H"), [(200, 120), (120, 200)])
@pytest.mark.parametrize("scale", [60, 90, 240])
def test_a_centre_crop_brings_the_shorter_side_to_the_scale(W, H, scale):
    """On a ramp, resizing by f maps the value at column i to (i + 1/2) / f - 1/2."""
    crop = np.asarray(CentreCrop(40, scale)(ramp(W, H)), float)
    factor = scale / 120
    first = (np.array([round(W * factor), round(H * factor)]) - 40) // 2
    for channel, start in enumerate(first):
        expected = (start + np.arange(40) + 0.5) / factor - 0.5
        values = crop[0, :, 0] if channel == 0 else crop[:, 0, 1]
        assert np.abs(values - expected).max() < 1.01


def test_random_crops_are_windows_of_the_photo_at_all_scales_places_and_sides():
    """A photo of 12 x 10 at the scales 8, 9 and 10 has 2, 3 x 2 and 5 x 3 windows of 8 x 8."""
    photo, view, generator = noise(12, 10), RandomCrop(8, scales=(8, 10)), np.random.default_rng(3)
    windows = {}
    for scale, width in ((8, 10), (9, 11), (10, 12)):
        resized = photo.resize((width, scale), BILINEAR)
        for left in range(width - 8 + 1):
            for top in range(scale - 8 + 1):
                window = np.asarray(resized.crop((left, top, left + 8, top + 8)))
                windows[scale, left, top, False] = window
                windows[scale, left, top, True] = window[:, ::-1]
    draws = Counter()
    for _ in range(1500):
        crop = view(photo, generator)
        matches = [place for place, window in windows.items() if nearly_equal(crop, window)]
        assert len(matches) == 1
        draws[matches[0]] += 1
    assert draws.keys() == windows.keys()
    for scale in (8, 9, 10):
        counts = [count for place, count in draws.items() if place[0] == scale]
        assert sum(counts) == pytest.approx(500, abs=75)  # four standard deviations
        for count in counts:
            expected = 500 / len(counts)
            assert count == pytest.approx(expected, abs=4.5 * math.sqrt(expected))
    mirrored = sum(count for place, count in draws.items() if place[3])
    assert mirrored == pytest.approx(750, abs=80)


def test_the_papers_scales_are_the_default():
    """The columns that a crop spans show its scale: uniform from 256 to 480."""
    view, generator, photo = RandomCrop(flip=False), np.random.default_rng(0), ramp(255, 255)
    scales = []
    for _ in range(400):
        row = np.asarray(view(photo, generator))[100, :, 0].astype(float)
        scales.append(255 * 200 / (row[212] - row[12]))
    assert 250 < min(scales) < 262
    assert 470 < max(scales) < 486
    counts, _ = np.histogram(scales, bins=np.linspace(256, 481, 5))
    assert np.abs(counts - 100).max() < 40


def test_without_flip_nothing_is_mirrored():
    generator = np.random.default_rng(0)
    for view in (RandomCrop(16, scales=(20, 30), flip=False), RandomAreaCrop(16, flip=False)):
        for _ in range(50):
            row = np.asarray(view(ramp(200, 100), generator))[0, :, 0].astype(int)
            assert row[0] < row[-1]


def test_alexnets_crops_come_from_the_central_square():
    generator = np.random.default_rng(0)
    for W, H, channel in ((200, 40, 0), (40, 200, 1)):
        values = np.stack(
            [
                np.asarray(RandomCrop(30, (40, 40), central_square=True)(ramp(W, H), generator))[..., channel]
                for _ in range(200)
            ]
        )
        assert (values.min(), values.max()) == (80, 119)


def area_crops(view, photo, count, seed=0):
    """(widths, heights) of the rectangles in the photo, from the slopes of the ramps in their crops."""
    generator = np.random.default_rng(seed)
    crops = np.stack([np.asarray(view(photo, generator)) for _ in range(count)]).astype(float)
    middle, near, far = view.size // 2, view.size // 4, view.size * 3 // 4
    widths = np.abs(crops[:, middle, far, 0] - crops[:, middle, near, 0]) * 2
    return widths, np.abs(crops[:, far, middle, 1] - crops[:, near, middle, 1]) * 2


def test_area_crops_have_uniform_areas_and_ratios_within_the_limits():
    view = RandomAreaCrop(64, area=(0.1, 0.5))
    widths, heights = area_crops(view, ramp(250, 250), 800)
    areas, ratios = widths * heights / 250**2, widths / heights
    assert 0.09 < areas.min() < 0.12
    assert 0.48 < areas.max() < 0.52
    assert areas.mean() == pytest.approx(0.3, abs=0.02)
    assert areas.std() == pytest.approx(0.4 / math.sqrt(12), rel=0.08)
    assert 0.7 < ratios.min() < 0.78
    assert 1.28 < ratios.max() < 1.4
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.025)
    assert np.log(ratios).std() == pytest.approx(2 * math.log(4 / 3) / math.sqrt(12), rel=0.08)


def test_area_crops_lie_anywhere_and_are_mirrored_half_of_the_time():
    generator, photo = np.random.default_rng(1), ramp(250, 250)
    crops = np.stack([np.asarray(RandomAreaCrop(16)(photo, generator)) for _ in range(400)]).astype(int)
    assert crops[..., 0].min() < 8
    assert crops[..., 0].max() > 241
    assert crops[..., 1].min() < 8
    assert crops[..., 1].max() > 241
    mirrored = (crops[:, 0, 0, 0] > crops[:, 0, -1, 0]).sum()
    assert mirrored == pytest.approx(200, abs=40)


def test_an_area_crop_that_never_fits_is_the_central_square():
    photo = ramp(100, 8)
    crop = RandomAreaCrop(8, area=(1, 1), flip=False)(photo, np.random.default_rng(0))
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(photo)[:, 46:54])


def test_the_whole_photo_is_resized_to_the_scale():
    photo = noise(30, 20)
    assert Whole(30)(photo).size == (45, 30)
    assert Whole(20)(photo).tobytes() == photo.tobytes()
    assert nearly_equal(Whole(10)(ramp(40, 20)), np.asarray(ramp(40, 20).resize((20, 10), BILINEAR)))


def test_ten_crops_are_slices_of_the_photo_and_their_mirror_images():
    photo = noise(12, 10)
    image = np.asarray(photo)
    corners = [image[:7, :7], image[:7, -7:], image[-7:, :7], image[-7:, -7:]]
    expected = [*corners, image[1:8, 2:9]]
    crops = [np.asarray(crop) for crop in ten_crops(photo, 7)]
    assert len(crops) == 10
    for crop, other in zip(crops, [*expected, *(square[:, ::-1] for square in expected)], strict=True):
        np.testing.assert_array_equal(crop, other)


@pytest.mark.parametrize(
    "view",
    [
        RandomCrop(4),
        RandomAreaCrop(4),
        CentreCrop(4),
        TenCrops(4),
        TenCrops(4, central_square=True),
        Whole(4),
    ],
)
def test_an_array_is_no_photo(view):
    with pytest.raises(DataError, match=r"must be an image of Pillow, not ndarray; Image\.fromarray"):
        view(np.zeros((3, 8, 8), np.uint8), np.random.default_rng(0))


def test_the_fifth_of_ten_crops_is_the_centre_crop():
    photo = noise(37, 50)
    crops = TenCrops(16, scale=20)(photo)
    assert crops[4].tobytes() == CentreCrop(16, scale=20)(photo).tobytes()
    assert as_pixels(crops).shape == (10, 3, 16, 16)


sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@given(photo=sizes, size=st.integers(1, 40), margin=st.integers(0, 40), seed=st.integers(0, 1000))
def test_every_photo_gives_crops_of_one_size(photo, size, margin, seed):
    image, generator = noise(*photo), np.random.default_rng(seed)
    views = (
        RandomCrop(size, (size, size + margin)),
        RandomCrop(size, (size, size + margin), central_square=True),
        RandomAreaCrop(size),
        CentreCrop(size, size + margin),
    )
    for view in views:
        assert view(image, generator).size == (size, size)
    assert {crop.size for crop in TenCrops(size, size + margin)(image)} == {(size, size)}


@given(photo=sizes, scale=st.integers(1, 60))
def test_a_whole_photo_keeps_its_shape(photo, scale):
    W, H = Whole(scale)(noise(*photo)).size
    assert min(W, H) == scale
    assert abs(max(W, H) - scale * max(photo) / min(photo)) <= 0.5


@given(photo=sizes, size=st.integers(1, 60))
def test_a_photo_that_keeps_its_size_must_hold_the_crop(photo, size):
    image, generator = noise(*photo), np.random.default_rng(0)
    for view in (RandomCrop(size, None), CentreCrop(size, None), TenCrops(size, None)):
        if min(photo) >= size:
            assert as_pixels(view(image, generator)).shape[-2:] == (size, size)
        else:
            with pytest.raises(
                DataError, match=rf"{photo[0]} x {photo[1]} pixels .* crop of {size} x {size}"
            ):
                view(image, generator)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(0), "RandomCrop: size must be a positive whole number, not 0"),
        (lambda: RandomCrop(224.0), r"RandomCrop: size must be .* not 224\.0"),
        (lambda: RandomCrop(224, (200, 300)), "RandomCrop: a photo of scale 200 has no crop of size 224"),
        (lambda: RandomCrop(8, (12, 10)), r"RandomCrop: scales must be \(low, high\).* not \(12, 10\)"),
        (lambda: RandomCrop(8, (10,)), r"RandomCrop: scales must be \(low, high\).* not \(10,\)"),
        (lambda: RandomCrop(8, 10), r"RandomCrop: scales must be \(low, high\).* not 10"),
        (lambda: RandomCrop(8, (8.5, 10)), r"RandomCrop: scale must be a positive whole number, not 8\.5"),
        (lambda: RandomAreaCrop(8, area=(0, 1)), r"RandomAreaCrop: area must be .* <= 1, not \(0, 1\)"),
        (
            lambda: RandomAreaCrop(8, area=(0.5, 1.1)),
            r"RandomAreaCrop: area must be .* <= 1, not \(0\.5, 1\.1\)",
        ),
        (lambda: RandomAreaCrop(8, ratio=(2, 1)), r"RandomAreaCrop: ratio must be .* not \(2, 1\)"),
        (lambda: RandomAreaCrop(-1), "RandomAreaCrop: size must be a positive whole number, not -1"),
        (lambda: CentreCrop(8, 7), "CentreCrop: a photo of scale 7 has no crop of size 8; .* at least 8"),
        (lambda: TenCrops(8, 7), "TenCrops: a photo of scale 7 has no crop of size 8; .* at least 8"),
        (lambda: Whole(0), "Whole: scale must be a positive whole number, not 0"),
    ],
)
def test_views_refuse(make, message):
    with pytest.raises(OptionError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
