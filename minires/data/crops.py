"""A square window of a resized photo.

Resizing uses Pillow's bilinear filter, which averages over all pixels that become one (antialiasing). The
shorter side gets the length that is asked for, and the longer side is rounded.
"""

from PIL import Image

from minires.errors import DataError

BILINEAR = Image.Resampling.BILINEAR


def scaled_size(image, scale):
    """(W, H) of the image with its shorter side at `scale` pixels; None keeps its size.

    Raises DataError for what is not an image of Pillow.
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


def square_of(image, scaled, left, top, size):
    """The square of side `size` at (left, top) of the image resized to `scaled` = (W, H).

    Only that square is computed. Without a change of size it is a plain slice of the image.
    """
    (W, H), (width, height) = image.size, scaled
    box = left * W / width, top * H / height, (left + size) * W / width, (top + size) * H / height
    return image.resize((size, size), BILINEAR, box)


def check_fits(scaled, size):
    """(W, H) as given; DataError unless a square of `size` fits into it."""
    if min(scaled) < size:
        raise DataError(
            f"a photo of {scaled[0]} x {scaled[1]} pixels is smaller than the crop of {size} x {size}; give "
            f"the view a scale of at least {size}, or a smaller size"
        )
    return scaled
