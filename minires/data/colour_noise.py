"""The colour augmentation of AlexNet: noise along the principal components of the training images' colours.

Krizhevsky et al. 2012, section 4.1. The ResNet paper uses it too (He et al. 2015, section 3.4).
"""

from dataclasses import dataclass

import numpy as np

from minires.backend import library
from minires.errors import ShapeError


@dataclass(frozen=True)
class ColourNoise:
    """x + p_1 a_1 l_1 + ... + p_C a_C l_C, with a_k drawn from N(0, deviation^2) once for each image.

    Every pixel of an image is shifted by the same colour. p_k is column k of `components` (C, C), l_k is
    `eigenvalues`[k], as `principal_components` gives them: of the covariance of colours in 0..1. The paper's
    formula has the eigenvalues themselves, which are variances, and not their square roots.

    std: the `Normalization.std` that the images were divided by; the shift is divided by it too.
    """

    components: np.ndarray
    eigenvalues: np.ndarray
    deviation: float = 0.1
    std: np.ndarray | float = 1.0

    def __call__(self, images, generator):
        """(N, C, H, W) -> (N, C, H, W) of the same floating-point dtype."""
        N, C = images.shape[:2]
        if C != len(self.eigenvalues):
            raise ShapeError(
                f"ColourNoise: the images have {C} channels but the components are of images with "
                f"{len(self.eigenvalues)}; call principal_components on images with {C} channels"
            )
        a = generator.normal(0, self.deviation, (N, C))
        shift = (a * self.eigenvalues) @ self.components.T
        return images + library(images).asarray(shift[:, :, None, None] / self.std, images.dtype)


def principal_components(images):
    """(components (C, C), eigenvalues (C,)) of the covariance of all pixels' colours, largest first.

    images: uint8 (n, C, H, W); colours count as 0..1, so each eigenvalue is the variance along its column of
    `components`. Both are float64. The largest entry of each column is positive.
    """
    C = images.shape[1]
    count = images.size // C
    total, products = np.zeros(C), np.zeros((C, C))  # whole numbers below 2^53: float64 is exact
    for start in range(0, len(images), 100):
        x = images[start : start + 100].transpose(1, 0, 2, 3).reshape(C, -1).astype(np.float64)
        total += x.sum(axis=1)
        products += x @ x.T
    mean = total / count
    eigenvalues, components = np.linalg.eigh((products / count - np.outer(mean, mean)) / 255**2)
    largest = np.abs(components).argmax(axis=0)
    components = components * np.sign(components[largest, np.arange(C)])  # eigh may give either sign
    return components[:, ::-1], eigenvalues[::-1]
