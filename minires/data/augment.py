"""Augmentation and normalization of a batch. Images stay uint8 until their batch is normalized."""

from dataclasses import dataclass

import numpy as np

from minires.backend import library
from minires.data.randomness import draw_words
from minires.errors import UnknownNameError

PADDING_MODES = {"zero": "constant", "reflect": "reflect"}  # name here -> name in NumPy and CuPy


@dataclass(frozen=True)
class CropAndFlip:
    """Pad each side by `pad` pixels, crop a random window of the old size, mirror half of the images.

    The ResNet paper's augmentation for CIFAR, with pad=4 (section 4.2).
    flip: whether to mirror. padding_mode: "zero", or "reflect" for the image mirrored at its border, as in
    the training of Wide ResNets (Zagoruyko and Komodakis 2016, section 3).
    """

    pad: int = 4
    flip: bool = True
    padding_mode: str = "zero"

    def __post_init__(self):
        if self.padding_mode not in PADDING_MODES:
            raise UnknownNameError("padding mode", self.padding_mode, PADDING_MODES)

    def __call__(self, images, generator):
        """(N, C, H, W) -> (N, C, H, W) of the same dtype. Each image takes one word of the Generator."""
        N, C, H, W = images.shape
        tops, lefts, flipped = self.windows(draw_words(generator, N))
        border, mode = (self.pad, self.pad), PADDING_MODES[self.padding_mode]
        padded = library(images).pad(images, ((0, 0), (0, 0), border, border), mode)
        rows = tops[:, None] + np.arange(H)  # (N, H)
        columns = lefts[:, None] + np.where(flipped[:, None], np.arange(W)[::-1], np.arange(W))  # (N, W)
        n, c = np.arange(N)[:, None, None, None], np.arange(C)[None, :, None, None]
        return padded[n, c, rows[:, None, :, None], columns[:, None, None, :]]

    def windows(self, words):
        """(tops, lefts, flipped), each (N,), from N random words of 64 bits: the same on every device.

        The upper half of a word gives the top, the lower half the left side, the last bit whether to mirror.
        A half h is uniform over 2^32 numbers and becomes the offset floor(h (2 pad + 1) / 2^32). The offset
        is nearly uniform: with pad=4 the probabilities of two offsets differ by a relative 2e-9.
        """
        offsets = 2 * self.pad + 1
        tops, lefts = ((half * offsets >> 32).astype(np.int64) for half in (words >> 32, words & 0xFFFFFFFF))
        return tops, lefts, (words & 1 == 1) & self.flip


@dataclass(frozen=True)
class Compose:
    """Several augmentations in a row, each applied to the result of the one before it."""

    augmentations: tuple

    def __call__(self, images, generator):
        for augment in self.augmentations:
            images = augment(images, generator)
        return images


def to_unit(images):
    """0..255 -> 0..1 in float32."""
    return images.astype(np.float32) / 255


@dataclass(frozen=True)
class Normalization:
    """x = (image / 255 - mean) / std, in float32; mean and std broadcast against (N, C, H, W)."""

    mean: np.ndarray
    std: np.ndarray

    def __call__(self, images):
        x = images.astype(np.float32)
        x /= 255
        x -= self.mean
        x /= self.std
        return x


def pixel_mean(images):
    """The Normalization that subtracts each pixel's mean over `images`, as in the ResNet paper for CIFAR."""
    total = np.zeros(images.shape[1:], np.int64)
    for start in range(0, len(images), 10_000):  # integers: the blocks sum up exactly
        total += images[start : start + 10_000].sum(axis=0, dtype=np.int64)
    mean = (total / (255 * len(images))).astype(np.float32)
    return Normalization(mean, np.float32(1))


def channel_mean_std(images):
    """The Normalization that brings each channel to mean 0 and variance 1 over `images`."""
    levels = np.arange(256) / 255
    histograms = [  # for each channel, the share of its pixels at each level
        np.bincount(images[:, c].ravel(), minlength=256) / images[:, c].size for c in range(images.shape[1])
    ]
    mean = np.array([histogram @ levels for histogram in histograms])
    variance = [histogram @ (levels - m) ** 2 for histogram, m in zip(histograms, mean, strict=True)]
    std = np.sqrt(variance)
    return Normalization(mean.astype(np.float32)[:, None, None], std.astype(np.float32)[:, None, None])


def unit_range(images):
    """The Normalization that only maps 0..255 to 0..1, as for SVHN in the Wide ResNet paper (section 3)."""
    return Normalization(np.float32(0), np.float32(1))


# Each is called with the uint8 images (n, C, H, W) of a Split's or an ImageFolder's sample().
NORMALIZATIONS = {"pixel": pixel_mean, "channel": channel_mean_std, "unit": unit_range}
