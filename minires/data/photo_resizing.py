"""The size of a resized photo, and one square of a resized photo.

Resizing uses Pillow's bilinear filter, which averages over all pixels that become one (antialiasing). The
shorter side gets the length that is asked for, and the longer side is rounded to whole pixels.
"""

from PIL import Image

from minires.errors import DataError

BILINEAR = Image.Resampling.BILINEAR


def resized_size(image, scale):
    """(W, H) of the image with its shorter side at `scale` pixels; None keeps its size.

    Raises DataError if `image` is not an image of Pillow.
    """
    if not isinstance(image, Image.Image):
        raise DataError(
            f"a photo must be an image of Pillow, not {type(image).__name__}; Image.fromarray makes one of "
            "a uint8 array (H, W, 3)"
        )
    W, H = image.size
    if scale is None:
        return W, H
    return round(W * scale / min(W, H)), round(H * scale / min(W, H))


def square_of_resized(image, new_size, left, top, size):
    """The square of side `size` at (left, top) of the image after it is resized to `new_size` = (W, H).

    Only that square is computed. If the size does not change, it is a plain slice of the image.
    """
    (W, H), (width, height) = image.size, new_size
    box = left * W / width, top * H / height, (left + size) * W / width, (top + size) * H / height
    return image.resize((size, size), BILINEAR, box)


def check_crop_fits(photo_size, size):
    """Return photo_size = (W, H) unchanged; DataError unless a square of side `size` fits into it."""
    W, H = photo_size
    if min(W, H) < size:
        raise DataError(
            f"a photo of {W} x {H} pixels is smaller than the crop of {size} x {size}; give the "
            f"view a scale of at least {size}, or a smaller size"
        )
    return W, H
