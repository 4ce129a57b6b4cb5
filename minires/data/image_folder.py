"""Photos of any size in folders, one folder for each class, decoded when a batch needs them."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from numbers import Integral
from pathlib import Path

import numpy as np

from minires.backend import get_num_threads
from minires.data.dataset import Dataset
from minires.data.photo_crops import CentreCrop, RandomCrop, usual_scale
from minires.data.photo_decoding import as_pixels, open_photo, photo_suffixes, stack
from minires.data.randomness import draw_words
from minires.errors import DataError, OptionError, UnknownNameError, first_few

BAD_FILES = ("refuse", "skip")
SAMPLE_PHOTOS = 1000  # at most, for the statistics of a data set


class ImageFolder:
    """The photos `root/CLASS/**/FILE` as a part of a data set; a view crops or resizes each of them.

    Photos are files with an ending of a format that Pillow reads; other files, and hidden files and folders,
    are ignored. The files are sorted by class and then by path.

    view: what a network gets of a photo, such as a crop; called as view(RGB image of Pillow, generator), see
    minires/data/photo_crops.py.
    bad_files: "refuse" raises DataError where a file cannot be decoded, "skip" leaves it out of its batch.
    workers: the number of threads that decode; if left out, that of minires.get_num_threads(). The result
    does not depend on it.

    files: the paths; labels: int64 (n,); classes: the sorted names of the folders; skipped: the files that
    were left out, as {path: reason}.

    Raises DataError for a missing root, for no classes, and for classes without photos, UnknownNameError or
    OptionError for a bad `bad_files` or `workers`.
    """

    channels = 3
    of_one_size = False  # the photos have many sizes; a view may bring them to one

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

    def with_view(self, view):
        """An ImageFolder of the same photos with another view; both share `skipped`."""
        other = copy(self)
        other.view = view
        return other

    def seen_through(self, view):
        """The old name of `with_view`, with a warning."""
        warnings.warn(
            "ImageFolder.seen_through: write ImageFolder.with_view instead", DeprecationWarning, stacklevel=2
        )
        return self.with_view(view)

    def read(self, chosen, generator):
        """Images uint8 (N, 3, H, W) and labels (N,) of the chosen indices (N,).

        If the view gives a list of K images, the images are (N, K, 3, H, W). For each photo the view gets a
        generator of its own, seeded with a word of `generator`, so neither the order of the threads nor a bad
        file changes the other photos. Raises DataError for a bad file unless `bad_files` is "skip", for a
        photo that the view refuses, and if the images differ in size.
        """
        generators = map(np.random.default_rng, draw_words(generator, len(chosen)))
        with ThreadPoolExecutor(self.workers or get_num_threads()) as pool:
            results = list(pool.map(self._view_of_photo, chosen, generators))
        for i, result in zip(chosen, results, strict=True):
            if isinstance(result, DataError):
                self._skip(self.files[i], result)
        kept = [k for k, result in enumerate(results) if not isinstance(result, DataError)]
        images = stack([results[k] for k in kept]) if kept else np.zeros((0, self.channels, 1, 1), np.uint8)
        return images, self.labels[chosen][kept]

    def sample(self, count=SAMPLE_PHOTOS):
        """The images that statistics are computed from: uint8 (n, 3, size, size), always the same.

        They are the central squares of at most `count` photos, spread evenly over the files, resized to the
        size of the view. Raises OptionError for a view without a size, DataError if no photo can be read.
        """
        size = getattr(self.view, "size", None)
        if size is None:
            raise OptionError(f"sample: {self.view} has no size; call with_view(CentreCrop()) first")
        count = min(count, len(self))
        chosen = np.arange(count) * len(self) // count
        images, _ = self.with_view(CentreCrop(size, scale=size)).read(chosen, np.random.default_rng(0))
        if not len(images):
            raise DataError(f"ImageFolder: none of {count} photos in {self.root} can be read")
        return images

    def _view_of_photo(self, i, generator):
        """The view of photo i: uint8 (3, H, W) or (K, 3, H, W).

        With bad_files="skip", the DataError is returned if the photo cannot be decoded.
        """
        try:
            photo = open_photo(self.files[i])
        except DataError as error:
            if self.bad_files == "skip":
                return error  # `read` warns of it, in the order of the batch
            raise DataError(
                f'{error}; replace or delete it, or load the folder with bad_files="skip" '
                "(--data-option bad_files=skip)"
            ) from error
        try:
            return as_pixels(self.view(photo, generator))
        except DataError as error:
            raise DataError(f"{self.files[i]}: {error}") from error

    def _skip(self, file, error):
        """Enter a bad file in `skipped`, and warn of it the first time."""
        if file not in self.skipped:
            self.skipped[file] = str(error)
            warnings.warn(f"left out: {error}", stacklevel=3)


def image_folder(data_dir, crop_size=224, bad_files="refuse", workers=None):
    """The photos in `data_dir/train` and `data_dir/val` (or `test`) as a Dataset of two ImageFolders.

    The view of training photos is RandomCrop and that of test photos CentreCrop. Their scales are those of
    the papers, in proportion to crop_size: 256 to 480 and 256 for crops of 224. `bad_files` and `workers` are
    those of ImageFolder. Raises DataError if a part is missing or the two have different classes.
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
    names = tuple(sorted(name for name in folders if not is_hidden(name)))
    if not names:
        raise DataError(f"ImageFolder: {root} holds no folders; put the photos into {root}/CLASS/")
    return names


def photos_in(folder):
    """The sorted paths of the photos in a folder and the folders below it."""
    suffixes = photo_suffixes()
    photos = []
    for parent, folders, names in os.walk(folder, onerror=refuse_folder):
        folders[:] = [name for name in folders if not is_hidden(name)]  # os.walk goes into these folders only
        photos += [
            Path(parent, name)
            for name in names
            if not is_hidden(name) and Path(name).suffix.lower() in suffixes
        ]
    return sorted(photos)


def is_hidden(name):
    return name.startswith(".")


def refuse_folder(error):
    """For os.walk: raise DataError for a folder that cannot be listed."""
    raise DataError(f"cannot list the folder {error.filename}: {error.strerror}") from error
