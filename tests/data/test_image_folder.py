"""Folders of photos: their files, the contents of a batch, and the messages about bad files."""

import time
import warnings

import numpy as np
import pytest
from PIL import Image

from minires.data import (
    NORMALIZATIONS,
    CentreCrop,
    ImageFolder,
    Loader,
    RandomCrop,
    TenCrops,
    Whole,
    image_folder,
    load,
    principal_components,
)
from minires.data.image_folder import photos_in
from minires.errors import DataError, OptionError, UnknownNameError


def photo(seed, W=12, H=10):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (H, W, 3), np.uint8))


@pytest.fixture
def root(tmp_path):
    """Nine photos of 12 x 10 and 10 x 12 pixels: ant 3, bee 4 (one in a folder below), cat 2."""
    for i, name in enumerate(
        [
            *("ant/1.png", "ant/2.PNG", "ant/3.bmp"),
            *("bee/a.png", "bee/b.png", "bee/c.gif", "bee/more/d.png"),
            *("cat/x.png", "cat/y.png"),
        ]
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (photo(i, 12, 10) if i % 2 else photo(i, 10, 12)).save(path)
    return tmp_path / "photos"


def rng(seed=0):
    return np.random.default_rng(seed)


CENTRE_CROP = CentreCrop(10, scale=None)


def test_files_labels_and_classes(root):
    for other in ("ant/notes.txt", "ant/.hidden.png", "bee/.thumbnails/t.png", ".cache/x.png", "list.png"):
        (root / other).parent.mkdir(exist_ok=True)
        (root / other).touch()
    folder = ImageFolder(root, CENTRE_CROP)
    assert folder.classes == ("ant", "bee", "cat")
    assert [file.relative_to(root).as_posix() for file in folder.files] == [
        *("ant/1.png", "ant/2.PNG", "ant/3.bmp"),
        *("bee/a.png", "bee/b.png", "bee/c.gif", "bee/more/d.png"),
        *("cat/x.png", "cat/y.png"),
    ]
    assert folder.labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert folder.labels.dtype == np.int64
    assert len(folder) == 9
    assert folder.channels == 3
    assert repr(folder) == f"ImageFolder(9 photos of 3 classes in {root})"


def test_a_batch_holds_the_chosen_photos_in_that_order(root):
    folder = ImageFolder(root, CENTRE_CROP)
    images, labels = folder.read(np.array([7, 0, 3]), rng())
    assert (images.shape, images.dtype, labels.dtype) == ((3, 3, 10, 10), np.uint8, np.int64)
    assert labels.tolist() == [2, 0, 1]
    for image, file in zip(images, ("cat/x.png", "ant/1.png", "bee/a.png"), strict=True):
        expected = np.asarray(CENTRE_CROP(Image.open(root / file))).transpose(2, 0, 1)
        np.testing.assert_array_equal(image, expected)


class UnevenlySlowCrop:
    """A random view that takes longer for some photos, so that they are not done in order."""

    def __call__(self, image, generator):
        crop = RandomCrop(8, scales=(8, 14))(image, generator)
        time.sleep(0.02 * (image.getpixel((0, 0))[0] % 3))
        return crop


def test_neither_threads_nor_their_order_change_a_batch(root):
    chosen = np.array([3, 1, 4, 1, 5, 8, 2])
    expected = ImageFolder(root, RandomCrop(8, scales=(8, 14)), workers=1).read(chosen, rng(5))
    assert (expected[0][1] != expected[0][3]).any(), "a photo that is chosen twice gets two different crops"
    for workers in (1, 2, 7, None):
        images, labels = ImageFolder(root, UnevenlySlowCrop(), workers=workers).read(chosen, rng(5))
        np.testing.assert_array_equal(images, expected[0])
        np.testing.assert_array_equal(labels, expected[1])
    other = ImageFolder(root, UnevenlySlowCrop()).read(chosen, rng(6))[0]
    assert (other != expected[0]).any()


def test_the_same_photos_with_another_view(root):
    folder = ImageFolder(root, CENTRE_CROP)
    smaller = folder.with_view(CentreCrop(6, scale=None))
    assert smaller.read([0], rng())[0].shape == (1, 3, 6, 6)
    assert folder.read([0], rng())[0].shape == (1, 3, 10, 10)
    assert smaller.files == folder.files
    assert smaller.skipped is folder.skipped


def test_the_old_name_of_with_view(root):
    folder, view = ImageFolder(root, CENTRE_CROP), CentreCrop(6, scale=None)
    with pytest.warns(DeprecationWarning, match=r"write ImageFolder\.with_view instead") as warned:
        smaller = folder.seen_through(view)
    assert warned[0].filename == __file__
    assert (smaller.view, smaller.files) == (view, folder.files)


def test_a_view_of_ten_crops_gives_ten_images_for_each_photo(root):
    images, labels = ImageFolder(root, TenCrops(7, scale=8)).read([0, 5], rng())
    assert images.shape == (2, 10, 3, 7, 7)
    assert labels.shape == (2,)


def test_views_of_several_sizes_make_no_batch(root):
    folder = ImageFolder(root, Whole(10))
    assert folder.read([0, 2], rng())[0].shape == (2, 3, 12, 10)
    with pytest.raises(DataError, match=r"images of 12 x 10 and of 10 x 12 pixels do not fit into one batch"):
        folder.read([0, 1], rng())


def test_a_photo_smaller_than_the_crop_is_named_with_both_sizes(root):
    for bad_files in ("refuse", "skip"):  # such a photo is not damaged
        with pytest.raises(DataError, match=r"1\.png: a photo of 10 x 12 pixels is smaller .* 11 x 11"):
            ImageFolder(root, CentreCrop(11, scale=None), bad_files).read([0], rng())


def test_a_bad_file_is_refused_by_name(root):
    path = root / "bee" / "b.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"b\.png: .*truncated.*; replace or delete it, or .*bad_files=.skip"):
        ImageFolder(root, CENTRE_CROP).read(np.arange(9), rng())
    (root / "bee" / "b.png").write_text("no photo")
    with pytest.raises(DataError, match=r"b\.png: Pillow does not recognize its format"):
        ImageFolder(root, CENTRE_CROP).read([4], rng())


def test_a_bad_file_is_left_out_on_request_with_one_warning(root):
    view = RandomCrop(8, scales=(8, 14))
    images, labels = ImageFolder(root, view).read([0, 4, 8], rng())
    (root / "bee" / "b.png").write_text("no photo")
    folder = ImageFolder(root, view, bad_files="skip")
    with pytest.warns(UserWarning, match=r"left out: cannot read the photo .*b\.png: Pillow") as warned:
        kept, kept_labels = folder.read([0, 4, 8], rng())
    assert len(warned) == 1
    assert warned[0].filename == __file__
    np.testing.assert_array_equal(kept, images[[0, 2]])  # the other photos are unchanged
    assert (labels.tolist(), kept_labels.tolist()) == ([0, 1, 2], [0, 2])
    assert list(folder.skipped) == [root / "bee" / "b.png"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder.read([4, 5], rng())
        folder.with_view(CENTRE_CROP).read([4, 5], rng())


def test_a_batch_without_a_readable_photo(root):
    for name in ("x.png", "y.png"):
        (root / "cat" / name).write_text("no photo")
    folder = ImageFolder(root, CENTRE_CROP, bad_files="skip")
    with pytest.warns(UserWarning, match="left out"):
        images, labels = folder.read([7, 8], rng())
    assert (len(images), len(labels), len(folder.skipped)) == (0, 0, 2)
    loader = Loader(folder, 1, shuffle=False)
    with pytest.raises(DataError, match="Loader: none of the 1 images of a batch can be read"):
        loader.batch(7)
    assert sum(len(labels) for _, labels in loader.epoch()) == len(folder) - 2
    assert all(len(labels) for _, labels in loader.epoch())


def test_what_a_folder_refuses(root, tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder; pass the one that holds"):
        ImageFolder(tmp_path / "nowhere", CENTRE_CROP)
    with pytest.raises(DataError, match=r"1\.png is no folder"):
        ImageFolder(root / "ant" / "1.png", CENTRE_CROP)
    with pytest.raises(DataError, match=r"cat holds no folders; put the photos into .*cat/CLASS/"):
        ImageFolder(root / "cat", CENTRE_CROP)
    with pytest.raises(UnknownNameError, match="unknown bad_files 'ignore'; known are refuse, skip"):
        ImageFolder(root, CENTRE_CROP, bad_files="ignore")
    for workers in (0, 1.5):
        with pytest.raises(OptionError, match=f"workers must be a positive whole number, not {workers}"):
            ImageFolder(root, CENTRE_CROP, workers=workers)
    with pytest.raises(DataError, match=r"cannot list the folder .*nowhere: No such file"):
        photos_in(tmp_path / "nowhere")  # as for a folder without permission


def test_empty_classes_are_named(root):
    (root / "dog").mkdir()
    (root / "eel").mkdir()
    (root / "eel" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no photos in dog, eel of .*photos; put some there"):
        ImageFolder(root, CENTRE_CROP)
    for i in range(6):
        (root / f"empty{i}").mkdir()
    with pytest.raises(DataError, match="no photos in dog, eel, empty0, empty1, empty2, and 3 more of"):
        ImageFolder(root, CENTRE_CROP)


def test_the_sample_is_fixed_and_spread_evenly(root):
    folder = ImageFolder(root, RandomCrop(8, scales=(9, 20)))
    all_images = folder.with_view(CentreCrop(8, scale=8)).read(np.arange(9), rng())[0]
    np.testing.assert_array_equal(folder.sample(), all_images)
    np.testing.assert_array_equal(folder.sample(3), all_images[[0, 3, 6]])
    np.testing.assert_array_equal(folder.sample(4), all_images[[0, 2, 4, 6]])
    with pytest.raises(OptionError, match=r"Whole\(scale=8\) has no size"):
        folder.with_view(Whole(8)).sample()


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations_of_photos_are_those_of_the_sample(root, name):
    folder = ImageFolder(root, CentreCrop(8, scale=8))
    images = folder.read(np.arange(9), rng())[0]
    x = NORMALIZATIONS[name](folder.sample())(images)
    np.testing.assert_array_equal(x, NORMALIZATIONS[name](images)(images))
    assert principal_components(folder.sample())[0].shape == (3, 3)


def test_a_loader_of_photos_depends_on_seed_and_step_alone(root):
    folder = ImageFolder(root, RandomCrop(8, scales=(8, 14)))
    one, two, other = (Loader(folder, 4, seed=seed) for seed in (1, 1, 2))
    batches = [one.batch(step) for step in range(6)]
    for step in (5, 0, 3):
        for actual, expected in zip(two.batch(step), batches[step], strict=True):
            np.testing.assert_array_equal(actual, expected)
    assert [len(labels) for _, labels in batches] == [4, 4, 1] * 2
    assert sorted(np.concatenate([labels for _, labels in batches[:3]])) == folder.labels.tolist()
    assert (other.batch(0)[0] != batches[0][0]).any()
    first, again = Loader(folder, 9, shuffle=False), Loader(folder, 9, shuffle=False)
    assert (first.batch(0)[0] != again.batch(1)[0]).any(), "other crops in the next epoch"


@pytest.fixture
def data_dir(root, tmp_path):
    """The photos of `root` as train, and one photo of each class as val."""
    root.rename(tmp_path / "train")
    for name in ("ant", "bee", "cat"):
        (tmp_path / "val" / name).mkdir(parents=True)
        photo(1).save(tmp_path / "val" / name / "1.png")
    return tmp_path


def test_a_data_set_of_folders(data_dir):
    data = load("folder", data_dir=str(data_dir), crop_size=7, workers=2)
    assert (data.name, data.classes) == ("folder", ("ant", "bee", "cat"))
    assert (len(data.train), len(data.test)) == (9, 3)
    assert data.train.view == RandomCrop(7, scales=(8, 15))
    assert data.test.view == CentreCrop(7, scale=8)
    assert data.test.root == data_dir / "val"
    (data_dir / "val").rename(data_dir / "test")
    full = image_folder(data_dir, bad_files="skip")
    assert full.test.root == data_dir / "test"
    assert (full.train.view, full.test.view) == (RandomCrop(224, (256, 480)), CentreCrop(224, 256))
    assert (full.train.bad_files, full.test.bad_files, data.train.workers) == ("skip", "skip", 2)


def test_val_goes_before_test(data_dir):
    (data_dir / "test").mkdir()
    assert image_folder(data_dir).test.root == data_dir / "val"


def test_classes_that_differ_are_named(data_dir):
    (data_dir / "val" / "cat").rename(data_dir / "val" / "dog")
    with pytest.raises(DataError, match=r"have different classes; only train has cat; only val has dog$"):
        image_folder(data_dir)
    (data_dir / "train" / "dog").mkdir()
    photo(0).save(data_dir / "train" / "dog" / "1.png")
    with pytest.raises(DataError, match=r"train and val have different classes; only train has cat$"):
        image_folder(data_dir)


def test_a_missing_part_is_named(data_dir):
    (data_dir / "val").rename(data_dir / "validation")
    with pytest.raises(DataError, match="lacks the folder test; it needs train, and val or test"):
        image_folder(data_dir)
    (data_dir / "validation").rename(data_dir / "val")
    (data_dir / "train").rename(data_dir / "training")
    with pytest.raises(DataError, match="lacks the folder train; it needs"):
        image_folder(data_dir)
    with pytest.raises(DataError, match="nowhere lacks the folder train"):
        image_folder(data_dir / "nowhere")


def test_the_folder_must_be_given():
    with pytest.raises(OptionError, match="data set 'folder': missing a required argument: 'data_dir'"):
        load("folder")
