"""Augmentation and normalization of a batch. Images stay uint8 until the last moment."""

from dataclasses import dataclass

import numpy as np

from minires.backend import library


@dataclass(frozen=True)
class CropAndFlip:
    """Pad each side by `pad` zeros, cut out a random window of the old size, mirror half of the images.

    The ResNet paper's augmentation for CIFAR, with pad=4 (section 4.2).
    """

    pad: int = 4
    flip: bool = True

    def __call__(self, images, generator):
        """(N, C, H, W) -> (N, C, H, W) of the same dtype; randomness from a numpy.random.Generator."""
        N, C, H, W = images.shape
        tops, lefts = generator.integers(0, 2 * self.pad + 1, size=(2, N))
        flipped = generator.random(N) < 0.5 if self.flip else np.zeros(N, bool)
        xp, p = library(images), self.pad
        padded = xp.zeros((N, C, H + 2 * p, W + 2 * p), images.dtype)
        padded[:, :, p : p + H, p : p + W] = images
        rows = tops[:, None] + np.arange(H)  # (N, H)
        columns = lefts[:, None] + np.where(flipped[:, None], np.arange(W)[::-1], np.arange(W))  # (N, W)
        n, c = np.arange(N)[:, None, None, None], np.arange(C)[None, :, None, None]
        return padded[n, c, rows[:, None, :, None], columns[:, None, None, :]]


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
    """Subtract each pixel's own mean over the training images, as the ResNet paper does for CIFAR."""
    total = np.zeros(images.shape[1:], np.int64)
    for start in range(0, len(images), 10_000):  # int64 copies of all of CIFAR would take over a gigabyte
        total += images[start : start + 10_000].sum(axis=0, dtype=np.int64)
    mean = (total / (255 * len(images))).astype(np.float32)
    return Normalization(mean, np.float32(1))


def channel_mean_std(images):
    """Bring each channel to mean 0 and variance 1 over the training images."""
    levels = np.arange(256) / 255
    shares = [
        np.bincount(images[:, c].ravel(), minlength=256) / images[:, c].size for c in range(images.shape[1])
    ]
    mean = np.array([share @ levels for share in shares])
    std = np.sqrt([share @ (levels - m) ** 2 for share, m in zip(shares, mean, strict=True)])
    return Normalization(mean.astype(np.float32)[:, None, None], std.astype(np.float32)[:, None, None])


def unit_range(images):
    """0..255 -> 0..1 whatever the training images are, as the Wide ResNet paper does for SVHN."""
    return to_unit


NORMALIZATIONS = {"pixel": pixel_mean, "channel": channel_mean_std, "unit": unit_range}
