"""From a file of any format and mode to RGB pixels."""

import warnings

import numpy as np
import pytest
from PIL import Image

from minires.data import as_pixels
from minires.data.photo_decoding import open_photo, photo_suffixes
from minires.errors import DataError

COLOURS = np.array([[[250, 10, 20], [0, 0, 0]], [[5, 200, 30], [90, 80, 70]], [[1, 2, 3], [255, 255, 255]]])
PHOTO = Image.fromarray(COLOURS.astype(np.uint8))


def saved(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp"])
def test_formats_without_loss(tmp_path, ending):
    photo = open_photo(saved(PHOTO, tmp_path / f"photo.{ending}", lossless=True))
    assert photo.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(photo), COLOURS)


def test_jpeg(tmp_path):
    flat = Image.new("RGB", (32, 24), (200, 100, 50))
    photo = np.asarray(open_photo(saved(flat, tmp_path / "photo.jpg", quality=95)), int)
    assert photo.shape == (24, 32, 3)
    assert np.abs(photo - [200, 100, 50]).max() <= 3


def test_grey_becomes_three_equal_channels(tmp_path):
    photo = np.asarray(open_photo(saved(PHOTO.convert("L"), tmp_path / "photo.png")))
    np.testing.assert_array_equal(photo, np.asarray(PHOTO.convert("L"))[..., None].repeat(3, axis=-1))


def test_one_bit_becomes_black_and_white(tmp_path):
    bits = Image.fromarray(np.array([[True, False, True]]))
    photo = np.asarray(open_photo(saved(bits, tmp_path / "photo.png")))
    np.testing.assert_array_equal(photo[..., 0], [[255, 0, 255]])


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
def test_16_bit_grey_is_scaled_and_not_cut_off(tmp_path, ending):
    grey = Image.fromarray(np.array([[0, 255, 256, 32768, 65535]], np.uint16))
    photo = np.asarray(open_photo(saved(grey, tmp_path / f"photo.{ending}")))
    np.testing.assert_array_equal(photo, np.array([[0, 0, 1, 128, 255]])[..., None].repeat(3, axis=-1))


def test_a_palette_is_looked_up(tmp_path):
    palette = PHOTO.convert("P", palette=Image.Palette.ADAPTIVE, colors=6)
    for ending in ("png", "gif"):
        photo = open_photo(saved(palette, tmp_path / f"photo.{ending}"))
        np.testing.assert_array_equal(np.asarray(photo), COLOURS)


def test_cmyk_is_converted(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, all magenta and yellow: red
    assert open_photo(saved(ink, tmp_path / "photo.tiff")).getpixel((3, 3)) == (255, 0, 0)
    red = open_photo(saved(ink, tmp_path / "photo.jpg")).getpixel((3, 3))
    assert np.abs(np.array(red) - [255, 0, 0]).max() <= 3


def test_transparent_parts_become_white(tmp_path):
    layers = np.concatenate([COLOURS, np.full((3, 2, 1), 255)], axis=-1)
    layers[0, 0, 3], layers[1, 0, 3] = 0, 51  # opacity 0, and opacity 1/5
    photo = np.asarray(open_photo(saved(Image.fromarray(layers.astype(np.uint8)), tmp_path / "photo.png")))
    expected = COLOURS.copy()
    expected[0, 0] = 255
    expected[1, 0] = [205, 244, 210]
    assert np.abs(photo.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(photo[0, 0], 255)
    np.testing.assert_array_equal(photo[2], COLOURS[2])


def test_a_palette_and_a_grey_photo_with_a_transparent_colour(tmp_path):
    grey = Image.fromarray(np.array([[7, 9]], np.uint8))
    photo = np.asarray(open_photo(saved(grey, tmp_path / "grey.png", transparency=7)))
    np.testing.assert_array_equal(photo[..., 0], [[255, 9]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    photo = open_photo(saved(palette, tmp_path / "palette.png", transparency=bytes([0, 255])))
    assert [photo.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (40, 50, 60)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_orientation_is_applied(tmp_path, orientation):
    """The EXIF standard says on which sides of the photo the stored row 0 and column 0 lie."""
    upright = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.swapaxes(0, 1),
        6: np.rot90(COLOURS, -1),
        7: COLOURS.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(COLOURS),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(saved(PHOTO, tmp_path / "photo.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(photo), upright[orientation])


def test_a_truncated_file_is_named_with_the_reason(tmp_path):
    for ending in ("jpg", "png"):
        path = saved(Image.effect_noise((64, 64), 50).convert("RGB"), tmp_path / f"cut.{ending}")
        path.write_bytes(path.read_bytes()[:-700])
        with pytest.raises(DataError, match=rf"cannot read the photo .*cut\.{ending}: .*truncated"):
            open_photo(path)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "notes.jpg").write_text("a list of things")
    (tmp_path / "empty.jpg").touch()
    for name in ("notes.jpg", "empty.jpg"):
        with pytest.raises(DataError, match=rf"cannot read the photo .*{name}: Pillow does not recognize"):
            open_photo(tmp_path / name)
    with pytest.raises(DataError, match=r"lost\.jpg: No such file"):
        open_photo(tmp_path / "lost.jpg")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = saved(Image.new("RGB", (40, 40)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(DataError, match=r"bomb\.png: Image size \(1600 pixels\) exceeds limit"):
        open_photo(path)


def test_damaged_bytes_give_an_image_or_a_data_error(tmp_path):
    """A damaged file is decoded or raises DataError; no other exception is raised."""
    good = saved(Image.effect_noise((24, 24), 50).convert("RGB"), tmp_path / "good.png").read_bytes()
    generator, reasons = np.random.default_rng(0), []
    for _ in range(200):
        damaged = bytearray(good)
        for position in generator.integers(0, len(good), 3):
            damaged[position] = generator.integers(256)
        (tmp_path / "damaged.png").write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                open_photo(tmp_path / "damaged.png")
            except DataError as error:
                reasons.append(str(error))
    assert len(reasons) > 100
    assert not any("\n" in reason for reason in reasons)


def test_endings_are_those_that_pillow_reads():
    assert {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".mpo"} <= photo_suffixes()
    assert not {".pdf", ".txt", ".py", ""} & photo_suffixes(), "Pillow only writes PDF"


def test_as_pixels_puts_channels_first():
    pixels = as_pixels(PHOTO)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 2), np.uint8)
    np.testing.assert_array_equal(pixels, COLOURS.transpose(2, 0, 1))
    both = as_pixels([PHOTO, Image.new("RGB", (2, 3), "white")])
    assert both.shape == (2, 3, 3, 2)
    assert both.flags.c_contiguous
    np.testing.assert_array_equal(both[1], 255)


def test_photos_of_two_sizes_make_no_batch():
    with pytest.raises(DataError, match=r"images of 5 x 2 and of 2 x 3 pixels do not fit.*CentreCrop"):
        as_pixels([PHOTO, Image.new("RGB", (5, 2))])
