"""Views of a photo: random crops for training, fixed crops for testing, or the whole photo.

A view computes what a network gets of a photo. It is called as view(image, generator) with an RGB image of
Pillow and a numpy.random.Generator, and returns another such image or a list of them. A view without
randomness needs no generator. Crops are squares; `size` is their side in pixels.
"""

import math
from dataclasses import dataclass
from numbers import Integral

from PIL import ImageOps

from minires.data.photo_resizing import BILINEAR, check_crop_fits, resized_size, square_of_resized
from minires.errors import OptionError


@dataclass(frozen=True)
class RandomCrop:
    """A random square of the photo at a random scale, mirrored half of the time.

    The scale augmentation of VGG and ResNet (He et al. 2015, section 3.4): the shorter side gets a length
    drawn uniformly from `scales`, both ends included; None keeps the photo's size. AlexNet's crops
    (Krizhevsky et al. 2012, section 4.1) are scales=(256, 256) with central_square=True: crops of the photo's
    central square only.

    Raises OptionError for scales below the size, DataError for a photo smaller than the crop.
    """

    size: int = 224
    scales: tuple[int, int] | None = (256, 480)
    central_square: bool = False
    flip: bool = True

    def __post_init__(self):
        check_size(self, self.scales)
        if self.scales is not None:
            check_range(self, "scales", self.scales)

    def __call__(self, image, generator):
        scale = None if self.scales is None else draw_integer(generator, *self.scales)
        W, H = check_crop_fits(resized_size(image, scale), self.size)
        width, height = (min(W, H),) * 2 if self.central_square else (W, H)
        left = (W - width) // 2 + draw_integer(generator, 0, width - self.size)
        top = (H - height) // 2 + draw_integer(generator, 0, height - self.size)
        crop = square_of_resized(image, (W, H), left, top, self.size)
        return randomly_mirrored(crop, generator) if self.flip else crop


@dataclass(frozen=True)
class RandomAreaCrop:
    """A rectangle of random area and shape, resized to a square and mirrored half of the time.

    The scale and aspect-ratio augmentation of GoogLeNet (Szegedy et al. 2014, section 6), which ResNeXt uses
    too. The share of the photo's area is drawn uniformly from `area`. The logarithm of width / height is
    drawn uniformly between the logarithms of the two ends of `ratio`, so a ratio and its inverse are equally
    likely. A rectangle that does not fit into the photo is drawn again; after ten such rectangles the crop is
    the central square.

    Raises OptionError for an area outside of 0..1 and a ratio that is not positive.
    """

    size: int = 224
    area: tuple[float, float] = (0.08, 1)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self):
        check_size(self, None)
        check_range(self, "area", self.area, maximum=1)
        check_range(self, "ratio", self.ratio)

    def __call__(self, image, generator):
        crop = image.resize((self.size, self.size), BILINEAR, self._box(image, generator))
        return randomly_mirrored(crop, generator) if self.flip else crop

    def _box(self, image, generator):
        """(left, top, right, bottom) of the rectangle, in whole pixels of the photo."""
        W, H = resized_size(image, None)
        for _ in range(10):
            area = W * H * generator.uniform(*self.area)
            ratio = math.exp(generator.uniform(*map(math.log, self.ratio)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 1 <= width <= W and 1 <= height <= H:
                left, top = draw_integer(generator, 0, W - width), draw_integer(generator, 0, H - height)
                return left, top, left + width, top + height
        side = min(W, H)
        left, top = (W - side) // 2, (H - side) // 2
        return left, top, left + side, top + side


@dataclass(frozen=True)
class CentreCrop:
    """The central square of the photo whose shorter side is `scale` pixels; scale None keeps its size.

    Where the exact centre lies between two pixels, the crop lies half a pixel to the left or the top of it.
    Raises OptionError for a scale below the size, DataError for a photo smaller than the crop.
    """

    size: int = 224
    scale: int | None = 256

    def __post_init__(self):
        check_size(self, self.scale)

    def __call__(self, image, generator=None):
        W, H = check_crop_fits(resized_size(image, self.scale), self.size)
        return square_of_resized(image, (W, H), (W - self.size) // 2, (H - self.size) // 2, self.size)


@dataclass(frozen=True)
class TenCrops:
    """The `ten_crops` of the photo whose shorter side is `scale` pixels, as a list; None keeps its size.

    A batch of these is (N, 10, 3, H, W). AlexNet and ResNet average the network's outputs for the ten. With
    central_square the corners are those of the photo's central square, as in AlexNet's test.
    Raises what CentreCrop raises.
    """

    size: int = 224
    scale: int | None = 256
    central_square: bool = False

    def __post_init__(self):
        check_size(self, self.scale)

    def __call__(self, image, generator=None):
        if not self.central_square:
            return ten_crops(image, self.size, self.scale)
        side = min(resized_size(image, None)) if self.scale is None else self.scale
        return ten_crops(CentreCrop(side, self.scale)(image), self.size)


@dataclass(frozen=True)
class Whole:
    """The whole photo with its shorter side at `scale` pixels, for a fully convolutional test."""

    scale: int

    def __post_init__(self):
        check_positive_integer(self, "scale", self.scale)

    def __call__(self, image, generator=None):
        return image.resize(resized_size(image, self.scale), BILINEAR)


def ten_crops(image, size, scale=None):
    """Ten squares of a photo: its four corners, its centre, and the mirror images of these five.

    In the order top left, top right, bottom left, bottom right, centre. AlexNet (Krizhevsky et al. 2012,
    section 4.1). scale: the shorter side in pixels, None for the photo's own. Raises DataError for a photo
    smaller than `size`.
    """
    W, H = check_crop_fits(resized_size(image, scale), size)
    right, bottom = W - size, H - size
    places = ((0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2))
    crops = [square_of_resized(image, (W, H), left, top, size) for left, top in places]
    return crops + [ImageOps.mirror(crop) for crop in crops]


def usual_scale(size):
    """The shorter side to which a photo is resized for crops of `size`: 256 for 224 as in the papers."""
    return round(size * 256 / 224)


def randomly_mirrored(image, generator):
    """The image or, half of the time, its mirror image."""
    return ImageOps.mirror(image) if generator.random() < 0.5 else image


def draw_integer(generator, low, high):
    """A random whole number from low to high, both included."""
    return int(generator.integers(low, high, endpoint=True))


def check_size(view, scales):
    """OptionError unless `size` and the scale or scales are whole numbers and no scale is below the size."""
    check_positive_integer(view, "size", view.size)
    if scales is None:
        return
    for scale in scales if isinstance(scales, tuple | list) else (scales,):
        check_positive_integer(view, "scale", scale)
        if scale < view.size:
            raise OptionError(
                f"{type(view).__name__}: a photo of scale {scale} has no crop of size {view.size}; "
                f"use a scale of at least {view.size}"
            )


def check_positive_integer(view, name, value):
    if not isinstance(value, Integral) or value < 1:
        raise OptionError(f"{type(view).__name__}: {name} must be a positive whole number, not {value!r}")


def check_range(view, name, pair, maximum=math.inf):
    """OptionError unless the pair is in order, above 0 and at most `maximum`."""
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not 0 < pair[0] <= pair[1] <= maximum:
        limit = "" if maximum == math.inf else f" <= {maximum}"
        raise OptionError(
            f"{type(view).__name__}: {name} must be (low, high) with 0 < low <= high{limit}, not {pair!r}"
        )
