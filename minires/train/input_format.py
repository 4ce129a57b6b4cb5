"""InputFormat: how images become a network's input, and what its outputs mean.

It is measured once, on the training images, when a run begins, and kept with the run. So a network can be
used without its data, and a run refuses to go on with other images than those with which it began.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minires.data import NORMALIZATIONS, ColourNoise, Normalization, principal_components
from minires.errors import CheckpointError, first_few
from minires.train.files import force_to_disk

ARRAYS = ("mean", "std", "components", "eigenvalues")
METADATA = ("size", "scale", "classes", "labels")


@dataclass(frozen=True, eq=False)
class InputFormat:
    """What was measured on the training images.

    mean, std: of the images in 0..1, float32 of shape (), (C, 1, 1) or (C, H, W). components (C, C),
    eigenvalues (C,): of their colours (data/colour_noise.py). size: the side of the images in pixels. scale:
    the shorter side of the photos from which they are cut out, None where all pictures have that size.
    classes: the names of the outputs. labels: a hash of all training labels in their order.
    """

    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray
    eigenvalues: np.ndarray
    size: int
    scale: int | None
    classes: tuple[str, ...]
    labels: str

    @classmethod
    def measured(cls, split, scale, normalization, classes):
        """That of the images in a Split or an ImageFolder. normalization: a key of NORMALIZATIONS."""
        sample = split.sample()
        normalize = NORMALIZATIONS[normalization](sample)
        statistics = normalize.mean, normalize.std, *principal_components(sample)
        labels = sha256(np.ascontiguousarray(split.labels)).hexdigest()
        return cls(*map(np.asarray, statistics), sample.shape[-1], scale, tuple(classes), labels)

    @property
    def channels(self):
        """The number of channels C of the images."""
        return len(self.eigenvalues)

    @property
    def normalize(self):
        """The Normalization of a batch."""
        return Normalization(self.mean, self.std)

    def colour_noise(self, deviation):
        """The ColourNoise of a normalized batch."""
        return ColourNoise(self.components, self.eigenvalues, deviation, self.std)

    def check_same(self, other, run):
        """CheckpointError if `other` was measured on other training images. run: a name, for the message."""
        if self.classes != other.classes:
            raise CheckpointError(
                f"{run} began with the classes {first_few(self.classes)}, but the data now has "
                f"{first_few(other.classes)}"
            )
        others = other.statistics()
        different = [
            name
            for name, array in self.statistics().items()
            if array.shape != others[name].shape or not np.allclose(array, others[name], rtol=0, atol=0.01)
        ]
        different += ["labels"] if self.labels != other.labels else []
        if different:
            raise CheckpointError(
                f"{run} began with other training images: their {first_few(different)} differ; give "
                "the same data, or start anew with --overwrite"
            )

    def statistics(self):
        """Statistics on which all machines agree; components alone are arbitrary if eigenvalues are equal."""
        covariance = self.components * self.eigenvalues @ self.components.T
        return {"mean": self.mean, "std": self.std, "colours": covariance}

    def save(self, path):
        """Write it to a safetensors file; CheckpointError if that fails."""
        arrays = {name: np.array(getattr(self, name), order="C") for name in ARRAYS}
        metadata = {name: json.dumps(getattr(self, name)) for name in METADATA}
        temporary = path.with_name(path.name + ".writing")
        try:
            save_file(arrays, temporary, metadata)
            force_to_disk(temporary)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"cannot write {path}: {error}") from error

    @classmethod
    def load(cls, path):
        """The inverse of `save`; CheckpointError if the file is missing or damaged."""
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = [file.get_tensor(name) for name in ARRAYS]
                size, scale, classes, labels = (json.loads(file.metadata()[name]) for name in METADATA)
                return cls(*arrays, size, scale, tuple(classes), labels)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}; delete it, and it is measured anew on the data"
            ) from error
