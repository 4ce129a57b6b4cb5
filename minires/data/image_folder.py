"""Photos of any size in folders, one folder for each class, decoded when a batch asks for them."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from numbers import Integral
from pathlib import Path

import numpy as np

from minires.backend import get_num_threads
from minires.data.dataset import Dataset
from minires.data.photo import as_pixels, open_photo, stack, suffixes
from minires.data.randomness import draw_words
from minires.data.views import CentreCrop, RandomCrop, usual_scale
from minires.errors import DataError, OptionError, UnknownNameError, first_few

BAD_FILES = ("refuse", "skip")


class ImageFolder:
    """The photos `root/CLASS/**/FILE` as a part of a data set, seen through a view.

    Photos are files with an ending of a format that Pillow reads; other files, and hidden files and folders,
    are passed over. Files lie in the order of their classes and then of their paths.

    view: called as view(RGB image of Pillow, generator), as minires/data/views.py says.
    bad_files: "refuse" raises DataError where a file cannot be decoded, "skip" leaves it out of its batch.
    workers: threads that decode; as many as compute if left out. They decide nothing about the result.

    files: the paths; labels: int64 (n,); classes: the sorted names of the folders; skipped: the files that
    were left out, as {path: reason}.

    Raises DataError for a missing root, for no classes, and for classes without photos.
    """

    channels = 3
    of_one_size = False  # before a view has made them so

    def __init__(self, root, view, bad_files="refuse", workers=None):
        if bad_files not in BAD_FILES:
            raise UnknownNameError("bad_files", bad_files, BAD_FILES)
        if workers is not None and (not isinstance(workers, Integral) or workers < 1):
            raise OptionError(f"ImageFolder: workers must be a positive whole number, not {workers!r}")
        self.root, self.view, self.bad_files, self.workers = Path(root), view, bad_files, workers
        self.classes = class_folders(self.root)
        photos = [photos_in(self.root / name) for name in self.classes]
        empty = [name for name, files in zip(self.classes, photos, strict=True) if not files]
        if empty:
            raise DataError(
                f"ImageFolder: no photos in {first_few(empty)} of {self.root}; put some there, or remove it"
            )
        self.files = [file for files in photos for file in files]
        self.labels = np.repeat(np.arange(len(photos)), [len(files) for files in photos])
        self.skipped = {}

    def __repr__(self):
        return f"ImageFolder({len(self)} photos of {len(self.classes)} classes in {self.root})"

    def __len__(self):
        return len(self.files)

    def seen_through(self, view):
        """The same photos through another view; `skipped` stays common to both."""
        other = copy(self)
        other.view = view
        return other

    def read(self, chosen, generator):
        """Images uint8 (N, 3, H, W) and labels (N,) of the chosen indices (N,).

        A view that gives a list of K images makes that (N, K, 3, H, W). Each photo's view has a generator of
        its own, with a word of `generator` as its seed, so neither threads nor bad files change what another
        photo looks like. Raises DataError for a bad file unless such are skipped, and if sizes differ.
        """
        generators = map(np.random.default_rng, draw_words(generator, len(chosen)))
        with ThreadPoolExecutor(self.workers or get_num_threads()) as pool:
            seen = list(pool.map(self._look, chosen, generators))
        for i, image in zip(chosen, seen, strict=True):
            if isinstance(image, DataError):
                self._skip(self.files[i], image)
        kept = [k for k, image in enumerate(seen) if not isinstance(image, DataError)]
        images = stack([seen[k] for k in kept]) if kept else np.zeros((0, self.channels, 1, 1), np.uint8)
        return images, self.labels[chosen][kept]

    def sample(self, count=1000):
        """The images that statistics are computed from: uint8 (count, 3, size, size), always the same.

        The central square of photos that are spread evenly over the files, at most `count` of them, resized
        to the size of the view.
        """
        size = getattr(self.view, "size", None)
        if size is None:
            raise OptionError(f"sample: {self.view} has no size; see the folder through a crop first")
        count = min(count, len(self))
        chosen = np.arange(count) * len(self) // count
        images, _ = self.seen_through(CentreCrop(size, scale=size)).read(chosen, np.random.default_rng(0))
        if not len(images):
            raise DataError(f"ImageFolder: none of {count} photos in {self.root} can be read")
        return images

    def _look(self, i, generator):
        """Photo i through the view, uint8 (3, H, W); with "skip" the DataError if it cannot be decoded."""
        try:
            photo = open_photo(self.files[i])
        except DataError as error:
            if self.bad_files == "skip":
                return error  # `read` says so, in the order of the batch
            raise DataError(
                f'{error}; replace or delete it, or load the folder with bad_files="skip" '
                "(--data-option bad_files=skip)"
            ) from error
        try:
            return as_pixels(self.view(photo, generator))
        except DataError as error:
            raise DataError(f"{self.files[i]}: {error}") from error

    def _skip(self, file, error):
        if file not in self.skipped:
            self.skipped[file] = str(error)
            warnings.warn(f"left out: {error}", stacklevel=3)


def image_folder(data_dir, crop_size=224, bad_files="refuse", workers=None):
    """The photos in `data_dir/train` and `data_dir/val` (or `test`) as a Dataset of two ImageFolders.

    Training photos are seen through RandomCrop and test photos through CentreCrop, with the papers' scales
    in proportion to crop_size: 256 to 480 and 256 for crops of 224. `bad_files` and `workers` are those of
    ImageFolder. Raises DataError if a part is missing or the two have different classes.
    """
    root = Path(data_dir).expanduser()
    held_out = "val" if (root / "val").is_dir() else "test"
    for part in ("train", held_out):
        if not (root / part).is_dir():
            raise DataError(
                f"{root} lacks the folder {part}; it needs train, and val or test, with the classes"
            )
    smallest, largest = usual_scale(crop_size), round(crop_size * 480 / 224)
    train = ImageFolder(root / "train", RandomCrop(crop_size, (smallest, largest)), bad_files, workers)
    test = ImageFolder(root / held_out, CentreCrop(crop_size, smallest), bad_files, workers)
    if train.classes != test.classes:
        only = {
            "train": set(train.classes) - set(test.classes),
            held_out: set(test.classes) - set(train.classes),
        }
        differences = [f"only {part} has {first_few(sorted(names))}" for part, names in only.items() if names]
        raise DataError(f"{root}: train and {held_out} have different classes; {'; '.join(differences)}")
    return Dataset("folder", train, test, train.classes)


def class_folders(root):
    """The sorted names of the folders in `root`; DataError if there are none."""
    if not root.is_dir():
        raise DataError(f"ImageFolder: {root} is no folder; pass the one that holds a folder for each class")
    _, folders, _ = next(os.walk(root, onerror=refuse_folder))
    names = tuple(sorted(name for name in folders if not hidden(name)))
    if not names:
        raise DataError(f"ImageFolder: {root} holds no folders; put the photos into {root}/CLASS/")
    return names


def photos_in(folder):
    """The sorted paths of the photos in a folder and the folders below it."""
    endings = suffixes()
    found = []
    for place, folders, names in os.walk(folder, onerror=refuse_folder):
        folders[:] = [name for name in folders if not hidden(name)]  # os.walk goes where this list says
        found += [
            Path(place, name) for name in names if not hidden(name) and Path(name).suffix.lower() in endings
        ]
    return sorted(found)


def hidden(name):
    return name.startswith(".")


def refuse_folder(error):
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}") from error
