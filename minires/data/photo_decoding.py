"""Decoding a photo: from a file of any format to an RGB image of Pillow, and from such images to an array."""

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minires.errors import DataError

# Formats that Pillow opens only with another library, by running another program, or as a film.
NOT_PHOTO_FORMATS = {"BUFR", "GRIB", "HDF5", "WMF", "EPS", "MPEG", "FITS"}


def photo_suffixes():
    """The endings of file names of the photo formats that Pillow reads, in lower case, such as ".jpg"."""
    formats = Image.registered_extensions()  # {suffix: format}; the call also fills Image.OPEN, the readers
    readable = {*Image.OPEN, "MPO"} - NOT_PHOTO_FORMATS  # MPO is several JPEGs; the JPEG reader opens it
    return {suffix for suffix, name in formats.items() if name in readable}


def open_photo(path):
    """The photo in a file as an RGB image, turned upright as the camera's EXIF orientation says.

    The first picture if the file holds several. Raises DataError, naming the file and the reason, if it
    cannot be decoded: truncated, not an image, or so large that Pillow takes it for a decompression bomb.
    """
    try:
        with Image.open(path) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise DataError(f"cannot read the photo {path}: Pillow does not recognize its format") from error
    except Exception as error:  # a damaged file can raise nearly anything
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot read the photo {path}: {reason}") from error


def to_rgb(image):
    """Any image of Pillow as RGB: transparent parts on white, 16-bit grey levels scaled to 0..255."""
    if image.mode.startswith("I"):  # Pillow's own conversion turns all but the darkest 256 levels white
        image = Image.fromarray(np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def as_pixels(images):
    """An RGB image of Pillow as uint8 (3, H, W), a list of N such images as (N, 3, H, W).

    Raises DataError if the images of a list differ in size.
    """
    if isinstance(images, Image.Image):
        return np.ascontiguousarray(np.asarray(images).transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)
    return stack([as_pixels(image) for image in images])


def stack(arrays):
    """N arrays (..., H, W) of one size as one (N, ..., H, W); DataError if their sizes differ."""
    sizes = sorted({array.shape[-2:] for array in arrays})
    if len(sizes) > 1:
        (H, W), (other_H, other_W) = sizes[:2]
        raise DataError(
            f"images of {W} x {H} and of {other_W} x {other_H} pixels do not fit into one batch; choose a "
            "view that gives one size, such as CentreCrop, or take one image at a time"
        )
    return np.stack(arrays)
