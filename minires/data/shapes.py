"""Drawn shapes: coloured images of ten classes, as many as asked for, without a download.

Each class is a signed distance function: how far a point lies from the outline, negative inside. Coordinates
are in units of the shape's radius, so every shape fits the unit circle. Union is min, intersection is max and
the complement is the minus sign, which is all that the functions below are built from. Distances as shapes:
J. C. Hart, Sphere Tracing, The Visual Computer 12, 1996.
"""

import math

import numpy as np

from minires.data.dataset import Dataset, Split
from minires.errors import OptionError

CHUNK = 100  # images drawn at once: bounds the memory, and holds each class ten times
TRAIN, TEST = 0, 1  # the two streams of random numbers


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
    return Dataset("shapes", _split(train, seed, TRAIN, size), _split(test, seed, TEST, size), tuple(CLASSES))


def circle(x, y, radius=0.9):
    return np.hypot(x, y) - radius


def ring(x, y):
    return np.abs(circle(x, y, 0.75)) - 0.17


def crescent(x, y):
    return np.maximum(circle(x, y, 1.0), -circle(x - 0.5, y, 0.85))


def pie(x, y):
    """A disc that lacks a quarter."""
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
    """Five points: folded onto half of one point, its outline is a line from the tip to the inner corner."""
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
    """A square on its corner, with a disc on each of its two upper sides."""
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


def _split(count, seed, stream, size):
    images = np.empty((count, 3, size, size), np.uint8)
    labels = np.empty(count, np.int64)
    for first in range(0, count, CHUNK):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, first // CHUNK)))
        part = slice(first, min(first + CHUNK, count))
        drawn, classes = _draw(rng, size)
        images[part], labels[part] = drawn[: part.stop - first], classes[: part.stop - first]
    return Split(images, labels)


def _draw(rng, size):
    """A chunk: images uint8 (CHUNK, 3, size, size) and labels (CHUNK,)."""
    labels = rng.permutation(CHUNK) % len(CLASSES)
    cover = _coverage(rng, labels, size)[:, None]  # (CHUNK, 1, size, size)
    paper, ink = _colours(rng)
    images = paper + cover * (ink - paper)
    images *= _light(rng, size)
    images += 0.05 * rng.standard_normal(images.shape, np.float32)
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8), labels


def _colours(rng):
    """Two colours an image, float32 (CHUNK, 3, 1, 1) in 0 to 1, at least 0.3 apart in every channel."""
    paper = rng.uniform(0, 1, (CHUNK, 3, 1, 1)).astype(np.float32)
    step = rng.uniform(0.3, 0.7, (CHUNK, 3, 1, 1)).astype(np.float32)
    return paper, (paper + step) % 1


def _coverage(rng, labels, size):
    """How much of each pixel the shape covers, 0 to 1: float32 (CHUNK, size, size)."""
    radius = size * rng.uniform(0.2, 0.42, (CHUNK, 1, 1)).astype(np.float32)
    column, row = radius + (size - 2 * radius) * rng.uniform(0, 1, (2, CHUNK, 1, 1)).astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi, (CHUNK, 1, 1)).astype(np.float32)
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    x, y = (centres - column) / radius, (centres[:, None] - row) / radius
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    distance = np.empty((CHUNK, size, size), np.float32)
    for label, signed_distance in enumerate(CLASSES.values()):
        mine = labels == label
        distance[mine] = signed_distance(x[mine], y[mine])
    return np.clip(0.5 - distance * radius, 0, 1)  # the outline is one pixel wide


def _light(rng, size):
    """A brightness that falls off to one side: float32 (CHUNK, 1, size, size), between 0.55 and 1."""
    angle = rng.uniform(0, 2 * math.pi, (CHUNK, 1, 1, 1)).astype(np.float32)
    across = np.linspace(-1, 1, size, dtype=np.float32)
    slope = (np.cos(angle) * across + np.sin(angle) * across[:, None]) * np.float32(math.sqrt(0.5))
    return 1 - rng.uniform(0, 0.45, (CHUNK, 1, 1, 1)).astype(np.float32) * (slope + 1) / 2
