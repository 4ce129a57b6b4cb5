"""CIFAR-10 and CIFAR-100 from the official files: 50,000 + 10,000 colour images of 32x32 pixels.

A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. The files and both of their
layouts are described at https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from minires.data.dataset import Dataset, Split
from minires.data.download import fetch
from minires.data.restricted_pickle import unpickle
from minires.errors import DataError

IMAGE_BYTES = 3 * 32 * 32
URL = "https://www.cs.toronto.edu/~kriz/{}.tar.gz"
SHA256 = {
    "cifar-10-binary": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "cifar-100-binary": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
}


def cifar10(data_dir=None):
    """CIFAR-10 as a Dataset: images uint8 (n, 3, 32, 32), labels int64 0..9, in the order of the files.

    Without `data_dir` the official binary archive (162 MiB) is downloaded to the cache folder. With it, the
    files are read from that archive (.tar.gz, .tgz, .tar) or that folder, which may hold the archive, the
    official folder or the files themselves, in the binary or the Python version. No archive is extracted.

    Raises DataError if a file is missing, truncated, corrupt or not CIFAR-10, DownloadError if there is no
    `data_dir` and the download fails.
    """
    return _load_cifar("cifar10", data_dir)


def cifar100(data_dir=None):
    """CIFAR-100 with its 100 fine labels as a Dataset; everything else is as in `cifar10`."""
    return _load_cifar("cifar100", data_dir)


@dataclass(frozen=True)
class Layout:
    """The files of one official archive: their folder, their names, and the records in each.

    A subclass for each version says how to read them: class_names(data, path) -> list of str, and
    images_and_labels(data, records, path) -> images uint8 (records, 3072) and labels (records,). data: the
    bytes of the file; path: where it lies, for error messages.
    """

    archive: str  # without .tar.gz
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str  # the file with the names of the classes
    classes: int
    records: tuple[int, int]  # in each training file, in the test file

    @property
    def files(self):
        return (*self.train, self.test, self.meta)


@dataclass(frozen=True)
class BinaryLayout(Layout):
    """Records of `label_bytes` label bytes, of which the last is used, and 3,072 bytes of the image.

    `meta` has one class name on each line.
    """

    label_bytes: int

    def class_names(self, data, path):
        return data.decode("utf-8", errors="replace").split()

    def images_and_labels(self, data, records, path):
        width = self.label_bytes + IMAGE_BYTES
        if len(data) != records * width:
            raise DataError(
                f"{path} has {len(data)} bytes, expected {records * width} ({records} records of {width}); "
                f"the file is truncated or not the official one, get it again"
            )
        table = np.frombuffer(data, np.uint8).reshape(records, width)
        return table[:, self.label_bytes :], table[:, self.label_bytes - 1]


@dataclass(frozen=True)
class PythonLayout(Layout):
    """Pickled dictionaries: b"data" uint8 (n, 3072) and a list of labels; `meta` has the names."""

    label_key: bytes
    names_key: bytes

    def class_names(self, data, path):
        names = _entry(unpickle(data, path), self.names_key, list, path)
        if not all(isinstance(name, bytes) for name in names):
            raise DataError(f"{path} has class names that are not strings; it is not an official file")
        return [name.decode("utf-8", errors="replace") for name in names]

    def images_and_labels(self, data, records, path):
        batch = unpickle(data, path)
        images = _entry(batch, b"data", np.ndarray, path)
        labels = _entry(batch, self.label_key, list, path)
        if images.shape != (records, IMAGE_BYTES) or images.dtype != np.uint8 or len(labels) != records:
            raise DataError(
                f"{path} has images {images.dtype} {images.shape} and {len(labels)} labels, expected "
                f"uint8 ({records}, {IMAGE_BYTES}) and {records}; "
                f"the file is truncated or not the official one"
            )
        if not all(isinstance(label, int) for label in labels):
            raise DataError(f"{path} has labels that are not integers; it is not an official file")
        return images, np.array(labels)


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
_BATCHES_BIN = tuple(f"{batch}.bin" for batch in _BATCHES)
# fmt: off
LAYOUTS = {  # archive, folder, train, test, meta, classes, records, then the fields of the version
    "cifar10": (
        BinaryLayout("cifar-10-binary", "cifar-10-batches-bin", _BATCHES_BIN, "test_batch.bin",
                     "batches.meta.txt", 10, (10_000, 10_000), label_bytes=1),
        PythonLayout("cifar-10-python", "cifar-10-batches-py", _BATCHES, "test_batch", "batches.meta",
                     10, (10_000, 10_000), label_key=b"labels", names_key=b"label_names"),
    ),
    "cifar100": (
        BinaryLayout("cifar-100-binary", "cifar-100-binary", ("train.bin",), "test.bin",
                     "fine_label_names.txt", 100, (50_000, 10_000), label_bytes=2),
        PythonLayout("cifar-100-python", "cifar-100-python", ("train",), "test", "meta",
                     100, (50_000, 10_000), label_key=b"fine_labels", names_key=b"fine_label_names"),
    ),
}
# fmt: on


def _load_cifar(name, data_dir):
    layouts = LAYOUTS[name]
    if data_dir is None:
        archive = layouts[0].archive
        data_dir = fetch(URL.format(archive), SHA256[archive])
    layout, source, files = _find_files(Path(data_dir).expanduser(), layouts)
    missing = [file for file in layout.files if file not in files]
    if missing:
        raise DataError(f"{source} lacks {', '.join(missing)}; {layout.folder} has {', '.join(layout.files)}")
    classes = tuple(layout.class_names(files[layout.meta], source / layout.meta))
    if len(classes) != layout.classes:
        raise DataError(f"{source / layout.meta} names {len(classes)} classes, expected {layout.classes}")
    train = [_parse(layout, files[file], layout.records[0], source / file) for file in layout.train]
    test = [_parse(layout, files[layout.test], layout.records[1], source / layout.test)]
    return Dataset(name, _join(train), _join(test), classes)


def _find_files(path, layouts):
    """(layout, its folder or archive, {file name: bytes}) of the version that is most complete at `path`.

    Complete folders come before archives, and the binary version before the Python version.
    """
    if path.is_file():
        return _read_archive(path, layouts)
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist; pass the folder or the archive that holds {layouts[0].folder}"
        )

    def files_present(folder, layout):
        return [file for file in layout.files if (folder / file).is_file()]

    places = [(path / layout.folder, layout) for layout in layouts] + [(path, layout) for layout in layouts]
    folder, layout = max(places, key=lambda place: len(files_present(*place)))
    files = files_present(folder, layout)
    if len(files) < len(layout.files):
        names = [layout.archive + suffix for layout in layouts for suffix in (".tar.gz", ".tgz", ".tar")]
        archives = [path / name for name in names if (path / name).is_file()]
        if archives:
            return _read_archive(archives[0], layouts)
    if not files:
        raise DataError(f"nothing to read in {path}; looked for {_sources(layouts)}")
    try:
        return layout, folder, {file: (folder / file).read_bytes() for file in files}
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from error


def _read_archive(path, layouts):
    names = {file for layout in layouts for file in layout.files}
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in names:
                    files[name] = archive.extractfile(member).read()
            while archive.fileobj.read(1 << 20):  # gzip verifies its checksum only at the end
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        reason = str(error).split("\n")[0].rstrip(":")
        raise DataError(
            f"cannot read the archive {path}: {reason}; it may be truncated, get it again"
        ) from error
    if not files:
        raise DataError(f"nothing to read in the archive {path}; looked for {_sources(layouts)}")
    return max(layouts, key=lambda layout: len(files.keys() & set(layout.files))), path, files


def _sources(layouts):
    """The official folders and archives, for error messages."""
    return " or ".join(f"{layout.folder} (from {layout.archive}.tar.gz)" for layout in layouts)


def _parse(layout, data, records, path):
    """One file's images (records, 3, 32, 32) and labels (records,), checked."""
    images, labels = layout.images_and_labels(data, records, path)
    bad = np.flatnonzero((labels < 0) | (labels >= layout.classes))
    if len(bad):
        raise DataError(
            f"{path} has label {labels[bad[0]]} in record {bad[0]}, expected 0..{layout.classes - 1}; "
            f"the file is corrupt or of another data set"
        )
    return images.reshape(records, 3, 32, 32), labels.astype(np.int64)


def _join(parts):
    """A Split of the images and labels of several files."""
    images, labels = zip(*parts, strict=True)
    return Split(np.concatenate(images), np.concatenate(labels))


def _entry(content, key, expected_type, path):
    """content[key], which must be of that type."""
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, expected_type):
        raise DataError(
            f"{path} holds no {expected_type.__name__} named {key.decode()}; it is not an official file"
        )
    return value
