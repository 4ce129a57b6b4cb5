import gzip
import io
import os
import pickle
import struct
import tarfile
import warnings
from dataclasses import replace

import numpy as np
import pytest

from minires.data import cifar
from minires.data.cifar import LAYOUTS, cifar10, cifar100
from minires.errors import DataError

TRAIN, TEST = 4, 3  # records in each of the small files below
READERS = {"cifar10": cifar10, "cifar100": cifar100}
VERSIONS = [(name, version) for name in READERS for version in ("binary", "python")]
OFFICIAL = dict(LAYOUTS)


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    for name, layouts in OFFICIAL.items():
        small = tuple(replace(layout, records=(TRAIN, TEST)) for layout in layouts)
        monkeypatch.setitem(cifar.LAYOUTS, name, small)


def layout_of(name, version):
    return cifar.LAYOUTS[name][version == "python"]


def content(layout):
    """{file: (images (n, 3072), labels, coarse labels)}; the same for both versions of a data set."""
    parts = {}
    for seed, file in enumerate((*layout.train, layout.test)):
        rng = np.random.default_rng(seed)
        n = TEST if file == layout.test else TRAIN
        images = rng.integers(0, 256, (n, 3072), np.uint8)
        parts[file] = images, rng.integers(0, layout.classes, n), rng.integers(0, 20, n)
    return parts


def class_names(layout):
    return [f"class_{k}" for k in range(layout.classes)]


def binary_files(layout):
    files = {layout.meta: ("\n".join(class_names(layout)) + "\n\n").encode()}
    for file, (images, labels, coarse) in content(layout).items():
        columns = [labels[:, None]] if layout.label_bytes == 1 else [coarse[:, None], labels[:, None]]
        files[file] = np.hstack([*columns, images]).astype(np.uint8).tobytes()
    return files


# Python 2 wrote protocol 2 with opcodes that Python 3 reads and never writes: U and T for its byte strings,
# and the old name of NumPy's module. These functions write such pickles, opcode by opcode (see pickletools).


def py2_string(data):
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<I", len(data)) + data


def py2_int(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def py2_list(items):
    return b"](" + b"".join(items) + b"e"


def py2_array(array):
    rows, columns = array.shape
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + py2_string(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + py2_string(b"u1") + b"K\x00K\x01\x87R"
    dtype += b"(K\x03" + py2_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = py2_int(rows) + py2_int(columns) + b"\x86"
    return empty + b"(K\x01" + shape + dtype + b"\x89" + py2_string(array.tobytes()) + b"tb"


def py2_pickle(entries):
    return b"\x80\x02}(" + b"".join(py2_string(key) + value for key, value in entries.items()) + b"u."


def python_files(layout):
    names = py2_list(py2_string(name.encode()) for name in class_names(layout))
    files = {layout.meta: py2_pickle({b"num_vis": py2_int(3072), layout.names_key: names})}
    for file, (images, labels, _) in content(layout).items():
        files[file] = py2_pickle(
            {
                b"batch_label": py2_string(b"training batch 1 of 5"),
                layout.label_key: py2_list(py2_int(int(label)) for label in labels),
                b"data": py2_array(images),
                b"filenames": py2_list(py2_string(b"picture.png") for _ in labels),
            }
        )
    return files


def files_of(layout):
    return binary_files(layout) if isinstance(layout, cifar.BinaryLayout) else python_files(layout)


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_archive(path, layout, files):
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in {"readme.html": b"<p>", **files}.items():
            member = tarfile.TarInfo(f"{layout.folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def assert_is_the_content(data, layout):
    parts = content(layout)
    for split, names in ((data.train, layout.train), (data.test, [layout.test])):
        images = np.concatenate([parts[name][0] for name in names]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([parts[name][1] for name in names])
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
    assert data.classes == tuple(class_names(layout))


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_reads_the_folder_its_parent_and_a_renamed_copy(tmp_path, name, version):
    layout = layout_of(name, version)
    folder = write_folder(tmp_path / layout.folder, files_of(layout))
    copy = write_folder(tmp_path / "elsewhere" / "renamed", files_of(layout))
    for place in (folder, str(folder), tmp_path, copy):
        data = READERS[name](place)
        assert_is_the_content(data, layout)
        assert data.name == name


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_reads_the_archive_and_a_folder_with_it(tmp_path, name, version, suffix):
    layout = layout_of(name, version)
    archive = write_archive(tmp_path / f"{layout.archive}{suffix}", layout, files_of(layout))
    for place in (archive, tmp_path):
        assert_is_the_content(READERS[name](place), layout)
    assert os.listdir(tmp_path) == [archive.name]  # nothing was extracted


def test_archive_under_another_name(tmp_path):
    layout = layout_of("cifar10", "binary")
    archive = write_archive(tmp_path / "my.tar", layout, files_of(layout))
    assert_is_the_content(cifar10(archive), layout)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    layout = layout_of("cifar10", "binary")
    write_folder(tmp_path / "data", files_of(layout))
    assert_is_the_content(cifar10("~/data"), layout)


def test_complete_version_is_preferred_to_a_partial_one(tmp_path):
    binary, python = cifar.LAYOUTS["cifar10"]
    partial = files_of(binary)
    del partial[binary.test]
    write_folder(tmp_path / binary.folder, partial)
    write_archive(tmp_path / "cifar-10-python.tar.gz", python, files_of(python))
    assert_is_the_content(cifar10(tmp_path), python)


def test_without_a_folder_the_official_binary_archive_is_fetched(tmp_path, monkeypatch):
    for name, read in READERS.items():
        layout = layout_of(name, "binary")
        archive = write_archive(tmp_path / f"{layout.archive}.tar.gz", layout, files_of(layout))
        calls = []
        monkeypatch.setattr(
            cifar, "fetch", lambda *args, calls=calls, archive=archive: calls.append(args) or archive
        )
        assert_is_the_content(read(), layout)
        url = f"https://www.cs.toronto.edu/~kriz/{layout.archive}.tar.gz"
        assert calls == [(url, cifar.SHA256[layout.archive])]


def test_official_counts():
    for layouts, per_file in ((OFFICIAL["cifar10"], 10_000), (OFFICIAL["cifar100"], 50_000)):
        for layout in layouts:
            assert layout.records == (per_file, 10_000)
            assert len(layout.train) * per_file == 50_000


def test_official_size_of_a_binary_file_is_checked(tmp_path, monkeypatch):
    """data_batch_1.bin must have its official size; a whole number of records is not enough."""
    layout = layout_of("cifar10", "binary")
    monkeypatch.setitem(cifar.LAYOUTS, "cifar10", OFFICIAL["cifar10"])
    write_folder(tmp_path, files_of(layout))
    with pytest.raises(DataError, match=r"data_batch_1.bin has 12292 bytes, expected 30730000"):
        cifar10(tmp_path)


def test_helpers_write_valid_pickles():
    """An ordinary unpickler reads from the stream what the helpers above were given."""
    images = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    stream = py2_pickle({b"data": py2_array(images), b"labels": py2_list([py2_int(7), py2_int(300)])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions of NumPy warn about the old dtype's integers
        read = pickle.loads(stream, encoding="bytes")
    np.testing.assert_array_equal(read[b"data"], images)
    assert read[b"labels"] == [7, 300]


# Bad input


def refused(read, place):
    """The message with which read(place) raises DataError, which must be one line."""
    with pytest.raises(DataError) as caught:
        read(place)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_missing_file_is_named(tmp_path, name, version):
    layout = layout_of(name, version)
    files = files_of(layout)
    del files[layout.test]
    folder = write_folder(tmp_path / layout.folder, files)
    archive = write_archive(tmp_path / "a.tar.gz", layout, files)
    for place, where in ((folder, folder), (tmp_path, folder), (archive, archive)):
        message = refused(READERS[name], place)
        assert f"{where} lacks {layout.test}; {layout.folder} has " in message
        assert layout.train[0] in message


def test_nothing_there(tmp_path):
    (tmp_path / "holiday.txt").write_text("")
    message = refused(cifar10, tmp_path)
    assert str(tmp_path) in message
    for name in (
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-py",
        "cifar-10-python.tar.gz",
    ):
        assert name in message
    assert "does not exist" in refused(cifar10, tmp_path / "nowhere")


def test_archive_of_another_data_set(tmp_path):
    layout = layout_of("cifar10", "binary")
    archive = write_archive(tmp_path / "a.tar.gz", layout, files_of(layout))
    assert "nothing to read in the archive" in refused(cifar100, archive)


@pytest.mark.parametrize("missing", [1, 3073])
def test_truncated_binary_file(tmp_path, missing):
    """A part of a record is missing, or a whole record."""
    layout = layout_of("cifar10", "binary")
    files = files_of(layout)
    files["data_batch_3.bin"] = files["data_batch_3.bin"][:-missing]
    write_folder(tmp_path, files)
    message = refused(cifar10, tmp_path)
    assert f"data_batch_3.bin has {4 * 3073 - missing} bytes, expected {4 * 3073}" in message
    assert "truncated" in message


@pytest.mark.parametrize("keep", [0, 1, 30, 5000, -1])
def test_truncated_python_file(tmp_path, keep):
    layout = layout_of("cifar10", "python")
    files = files_of(layout)
    files["data_batch_3"] = files["data_batch_3"][:keep]
    write_folder(tmp_path, files)
    message = refused(cifar10, tmp_path)
    assert f"data_batch_3 ({len(files['data_batch_3'])} bytes) is truncated or corrupt" in message


def test_python_file_with_too_few_images(tmp_path, monkeypatch):
    layout = layout_of("cifar10", "python")
    write_folder(tmp_path, files_of(layout))
    monkeypatch.setitem(cifar.LAYOUTS, "cifar10", OFFICIAL["cifar10"])
    message = refused(cifar10, tmp_path)
    assert (
        "data_batch_1 has images uint8 (4, 3072) and 4 labels, expected uint8 (10000, 3072) and 10000"
        in message
    )


@pytest.mark.parametrize("name", READERS)
def test_label_out_of_range(tmp_path, name):
    layout = layout_of(name, "binary")
    files = files_of(layout)
    broken = bytearray(files[layout.test])
    width = layout.label_bytes + 3072
    broken[2 * width + layout.label_bytes - 1] = layout.classes
    write_folder(tmp_path, {**files, layout.test: bytes(broken)})
    message = refused(READERS[name], tmp_path)
    assert (
        f"{layout.test} has label {layout.classes} in record 2, expected 0..{layout.classes - 1}" in message
    )


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (b"J\xff\xff\xff\xff", "has label -1 in record 3"),
        (b"\x8a\x0a" + b"\xff" * 9 + b"\x7f", "in record 3, expected 0..9"),  # an integer of 80 bits
        (py2_string(b"cat"), "labels that are not integers"),
        (b"]", "labels that are not integers"),
    ],
)
def test_bad_label_in_a_python_file(tmp_path, label, message):
    layout = layout_of("cifar10", "python")
    labels = py2_list([py2_int(0), py2_int(1), py2_int(2), label])
    entries = {b"data": py2_array(np.zeros((TRAIN, 3072), np.uint8)), b"labels": labels}
    write_folder(tmp_path, {**files_of(layout), "data_batch_1": py2_pickle(entries)})
    assert message in refused(cifar10, tmp_path)


@pytest.mark.parametrize("stream", [py2_pickle({}), b"\x80\x02].", py2_pickle({b"data": py2_list([])})])
def test_pickle_of_something_else(tmp_path, stream):
    layout = layout_of("cifar10", "python")
    write_folder(tmp_path, {**files_of(layout), "data_batch_1": stream})
    assert "data_batch_1 holds no ndarray named data" in refused(cifar10, tmp_path)


def test_wrong_number_of_classes(tmp_path):
    layout = layout_of("cifar10", "binary")
    write_folder(tmp_path, {**files_of(layout), layout.meta: b"cat\ndog\n"})
    assert "batches.meta.txt names 2 classes, expected 10" in refused(cifar10, tmp_path)


def test_class_names_that_are_not_strings(tmp_path):
    layout = layout_of("cifar10", "python")
    stream = py2_pickle({b"label_names": py2_list([py2_int(k) for k in range(10)])})
    write_folder(tmp_path, {**files_of(layout), layout.meta: stream})
    assert "batches.meta has class names that are not strings" in refused(cifar10, tmp_path)


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar"])
@pytest.mark.parametrize("keep", [0.05, 0.5, 0.9])
def test_truncated_archive(tmp_path, suffix, keep):
    layout = layout_of("cifar10", "binary")
    archive = write_archive(tmp_path / f"a{suffix}", layout, files_of(layout))
    archive.write_bytes(archive.read_bytes()[: int(keep * archive.stat().st_size)])
    message = refused(cifar10, archive)
    assert str(archive) in message
    assert "cannot read the archive" in message or " lacks " in message


def test_one_wrong_byte_in_the_archive(tmp_path):
    """The byte is a pixel, so only gzip's checksum reveals it. Uncompressed, the test can find it."""
    layout = layout_of("cifar10", "binary")
    plain = write_archive(tmp_path / "a.tar", layout, files_of(layout)).read_bytes()
    data = bytearray(gzip.compress(plain, compresslevel=0))
    data[data.index(files_of(layout)["data_batch_2.bin"][100:200])] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(data)
    message = refused(cifar10, tmp_path / "a.tar.gz")
    assert "cannot read the archive" in message
    assert "CRC" in message


def test_file_that_is_no_archive(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"not an archive" * 100)
    assert "photo.png" in refused(cifar10, tmp_path / "photo.png")


# Harmful pickles: each would run a command or open a file if an ordinary unpickler read it


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_with_a_command_is_refused(tmp_path, protocol):
    trace = tmp_path / "was_here"
    stream = pickle.dumps({"data": Harmful(trace)}, protocol)
    layout = layout_of("cifar10", "python")
    write_folder(tmp_path, {**files_of(layout), "data_batch_1": stream})
    message = refused(cifar10, tmp_path)
    assert not trace.exists()
    assert "data_batch_1 is not an official file and may be harmful" in message
    assert f"refused {os.system.__module__}.system" in message

    pickle.loads(stream)
    assert trace.exists()  # an ordinary unpickler runs the command, so the refusal stopped it


@pytest.mark.parametrize(
    "global_opcode",
    [
        b"c__builtin__\neval\n",
        b"cbuiltins\ngetattr\n",
        b"cnumpy\nload\n",
        b"cnumpy\nndarray.tofile\n",
        b"cnumpy.core.multiarray\nfromfile\n",
        b"cnumpy._core.multiarray\n_reconstruct\n",
        b"i__builtin__\neval\n",
    ],
)
def test_every_other_global_is_refused(tmp_path, global_opcode):
    layout = layout_of("cifar10", "python")
    write_folder(tmp_path, {**files_of(layout), layout.meta: b"\x80\x02(" + global_opcode + b"."})
    module, name = global_opcode[1:].decode().split()
    assert f"refused {module}.{name}" in refused(cifar10, tmp_path)


def test_array_of_objects_is_refused(tmp_path):
    layout = layout_of("cifar10", "python")
    stream = b"\x80\x02cnumpy\ndtype\n" + py2_string(b"O8") + b"K\x00K\x01\x87R."
    write_folder(tmp_path, {**files_of(layout), "data_batch_1": stream})
    assert "refused an array of b'O8'" in refused(cifar10, tmp_path)
