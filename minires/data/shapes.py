"""Drawn shapes: coloured images of ten classes, any number of them, without a download.

Each class is a signed distance function: near the outline, except at corners, its value is the distance to
the outline, negative inside. Coordinates are in units of the shape's radius, so every shape fits the unit
circle. Functions are combined: min is the union, max the intersection, and the minus sign the complement.
Source for shapes as distance functions: J. C. Hart, Sphere Tracing, The Visual Computer 12, 1996.
"""

import math

import numpy as np

from minires.data.dataset import Dataset, Split
from minires.errors import OptionError

CHUNK_IMAGES = 100  # images drawn at once: bounds the memory, and holds each class ten times
TRAIN_STREAM, TEST_STREAM = 0, 1  # of random numbers


def shapes(train=5000, test=1000, seed=0, size=32):
    """`train` + `test` images uint8 (n, 3, size, size) of the ten CLASSES as a Dataset, labels int64.

    Place, radius (0.2 to 0.42 of the size), rotation, both colours, the light and the noise are random. Every
    hundred images hold each class ten times. The same seed gives the same bytes with the same NumPy, and a
    longer split begins with the images of a shorter one. Training and test images come from separate streams.

    Raises OptionError for a negative number of images or seed, or a size below 8 pixels.
    """
    if min(train, test, seed) < 0 or size < 8:
        raise OptionError(
            f"shapes needs train, test and seed >= 0 and size >= 8, got train={train}, test={test}, "
            f"seed={seed}, size={size}"
        )
    return Dataset(
        "shapes",
        _draw_split(train, seed, TRAIN_STREAM, size),
        _draw_split(test, seed, TEST_STREAM, size),
        tuple(CLASSES),
    )


def circle(x, y, radius=0.9):
    return np.hypot(x, y) - radius


def ring(x, y):
    return np.abs(circle(x, y, 0.75)) - 0.17


def crescent(x, y):
    return np.maximum(circle(x, y, 1.0), -circle(x - 0.5, y, 0.85))


def pie(x, y):
    """A disc without one quarter."""
    return np.maximum(circle(x, y, 1.0), (x - np.abs(y)) * math.sqrt(0.5))


def polygon(x, y, sides):
    """The intersection of `sides` half planes, whose normals are spread evenly."""
    angles = [2 * math.pi * k / sides for k in range(sides)]
    planes = [x * math.cos(angle) + y * math.sin(angle) for angle in angles]
    return np.maximum.reduce(planes) - math.cos(math.pi / sides)


def triangle(x, y):
    return polygon(x, y, 3)


def square(x, y):
    return polygon(x, y, 4)


def star(x, y, inner=0.42):
    """Five points. By symmetry only half of one point counts: a line from its tip to the inner corner."""
    fifth = 2 * math.pi / 5
    angle = np.arctan2(y, x)
    angle = np.abs(angle - fifth * np.rint(angle / fifth))
    radius = np.hypot(x, y)
    corner_x, corner_y = inner * math.cos(fifth / 2), inner * math.sin(fifth / 2)
    edge = math.hypot(1 - corner_x, corner_y)
    return ((radius * np.cos(angle) - 1) * corner_y + radius * np.sin(angle) * (1 - corner_x)) / edge


def box(x, y, width, height):
    return np.maximum(np.abs(x) - width, np.abs(y) - height)


def cross(x, y):
    return np.minimum(box(x, y, 0.95, 0.27), box(x, y, 0.27, 0.95))


def heart(x, y, side=0.5):
    """A square that stands on its corner, with a disc on each of two neighbouring sides."""
    u, v = (x + y) * math.sqrt(0.5), (x - y) * math.sqrt(0.5)
    discs = np.minimum(np.hypot(u, v - side), np.hypot(u - side, v)) - side
    return np.minimum(box(u, v, side, side), discs)


def bars(x, y):
    """Two parallel bars."""
    return box(x, np.abs(y) - 0.45, 0.76, 0.18)


CLASSES = {
    function.__name__: function
    for function in (circle, ring, crescent, pie, triangle, square, star, cross, heart, bars)
}


def _draw_split(count, seed, stream, size):
    images = np.empty((count, 3, size, size), np.uint8)
    labels = np.empty(count, np.int64)
    for first in range(0, count, CHUNK_IMAGES):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, first // CHUNK_IMAGES)))
        part = slice(first, min(first + CHUNK_IMAGES, count))
        drawn, classes = _draw_chunk(rng, size)
        images[part], labels[part] = drawn[: part.stop - first], classes[: part.stop - first]
    return Split(images, labels)


def _draw_chunk(rng, size):
    """A chunk: images uint8 (CHUNK_IMAGES, 3, size, size) and labels (CHUNK_IMAGES,)."""
    labels = rng.permutation(CHUNK_IMAGES) % len(CLASSES)
    coverage = _coverage(rng, labels, size)[:, None]  # (CHUNK_IMAGES, 1, size, size)
    background, foreground = _colours(rng)
    images = background + coverage * (foreground - background)
    images *= _light(rng, size)
    images += 0.05 * rng.standard_normal(images.shape, np.float32)
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8), labels


def _colours(rng):
    """(background, foreground): float32 (CHUNK_IMAGES, 3, 1, 1), 0 to 1, 0.3 or more apart everywhere."""
    background = rng.uniform(0, 1, (CHUNK_IMAGES, 3, 1, 1)).astype(np.float32)
    step = rng.uniform(0.3, 0.7, (CHUNK_IMAGES, 3, 1, 1)).astype(np.float32)
    return background, (background + step) % 1


def _coverage(rng, labels, size):
    """How much of each pixel the shape covers, 0 to 1: float32 (CHUNK_IMAGES, size, size)."""
    radius = size * rng.uniform(0.2, 0.42, (CHUNK_IMAGES, 1, 1)).astype(np.float32)
    column, row = radius + (size - 2 * radius) * rng.uniform(0, 1, (2, CHUNK_IMAGES, 1, 1)).astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi, (CHUNK_IMAGES, 1, 1)).astype(np.float32)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    x, y = (centres - column) / radius, (centres[:, None] - row) / radius
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    distance = np.empty((CHUNK_IMAGES, size, size), np.float32)
    for label, signed_distance in enumerate(CLASSES.values()):
        in_class = labels == label
        distance[in_class] = signed_distance(x[in_class], y[in_class])
    return np.clip(0.5 - distance * radius, 0, 1)  # the soft edge is one pixel wide


def _light(rng, size):
    """A brightness that falls off to one side: float32 (CHUNK_IMAGES, 1, size, size), between 0.55 and 1."""
    angle = rng.uniform(0, 2 * math.pi, (CHUNK_IMAGES, 1, 1, 1)).astype(np.float32)
    position = np.linspace(-1, 1, size, dtype=np.float32)
    slope = (np.cos(angle) * position + np.sin(angle) * position[:, None]) * np.float32(math.sqrt(0.5))
    return 1 - rng.uniform(0, 0.45, (CHUNK_IMAGES, 1, 1, 1)).astype(np.float32) * (slope + 1) / 2
