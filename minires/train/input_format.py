"""InputFormat: how images become a network's input, and what its outputs mean.

It is measured once, on the training images, when a run begins, and kept with the run. So a network can be
used where its data is not, and a run does not go on with other images than it began with.
"""

import json
from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minires.data import NORMALIZATIONS, ColourNoise, Normalization, principal_components
from minires.errors import CheckpointError

ARRAYS = ("mean", "std", "components", "eigenvalues")


@dataclass(frozen=True, eq=False)
class InputFormat:
    """What was measured on the training images.

    mean, std: of the images in 0..1, float32 of shape (), (C, 1, 1) or (C, H, W). components (C, C),
    eigenvalues (C,): of their colours (data/colour.py). size: the side of the images in pixels. classes: the
    names of the outputs.
    """

    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray
    eigenvalues: np.ndarray
    size: int
    classes: tuple[str, ...]

    @classmethod
    def measured(cls, split, normalization, classes):
        """From the training images of a Split or an ImageFolder. normalization: a key of NORMALIZATIONS."""
        sample = split.sample()
        normalize = NORMALIZATIONS[normalization](sample)
        statistics = normalize.mean, normalize.std, *principal_components(sample)
        return cls(*map(np.asarray, statistics), sample.shape[-1], tuple(classes))

    @property
    def channels(self):
        """C of the images."""
        return len(self.eigenvalues)

    @property
    def normalize(self):
        """The Normalization of a batch."""
        return Normalization(self.mean, self.std)

    def colour_noise(self, deviation):
        """The ColourNoise of a normalized batch."""
        return ColourNoise(self.components, self.eigenvalues, deviation, self.std)

    def check_same(self, other, where):
        """CheckpointError if the training images that `other` was measured on are not those of this run."""
        if self.classes != other.classes:
            raise CheckpointError(
                f"{where} was begun with the classes {shortened(self.classes)}, but the data now has "
                f"{shortened(other.classes)}"
            )
        for name in ARRAYS:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=0, atol=0.01):
                raise CheckpointError(
                    f"{where} was begun with other training images: their {name} differ; give the same data, "
                    "or start anew with --overwrite"
                )

    def save(self, path):
        """Write it to a safetensors file."""
        arrays = {name: np.array(getattr(self, name), order="C") for name in ARRAYS}
        save_file(arrays, path, {"size": str(self.size), "classes": json.dumps(self.classes)})

    @classmethod
    def load(cls, path):
        """The inverse of `save`; CheckpointError if the file is missing or damaged."""
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata()
                arrays = [file.get_tensor(name) for name in ARRAYS]
                return cls(*arrays, int(about["size"]), tuple(json.loads(about["classes"])))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"cannot read what the run knows of its input from {path}: {error}"
            ) from error


def shortened(classes):
    """The first few names."""
    return ", ".join(classes[:5]) + (", ..." if len(classes) > 5 else "")
