"""Training on folders of photos: it learns, and a stopped run goes on bit for bit."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from minires import data
from minires.data import CentreCrop, RandomAreaCrop, RandomCrop, TenCrops, Whole, as_pixels, open_photo
from minires.errors import CheckpointError, DataError, OptionError, ShapeError
from minires.train import (
    RECIPES,
    Classifier,
    Recipe,
    RunFolder,
    build_loaders,
    evaluate_run,
    evaluate_together,
    load_run,
    probabilities,
    train,
)
from minires.train.input_format import InputFormat


@pytest.fixture
def dataset(tmp_path):
    """Noisy photos of 32 to 40 pixels a side: dark, light, and red ones."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 4)):
        for name, colour in (("dark", (60, 60, 60)), ("light", (190, 190, 190)), ("red", (190, 60, 60))):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(count):
                H, W = generator.integers(32, 41, 2)
                pixels = np.clip(generator.normal(colour, 40, (H, W, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / name / f"{i}.jpg")
    return data.load("folder", data_dir=tmp_path / "data", crop_size=32)


def recipe(dataset, **changes):
    options = {
        "model": "resnet8",
        "data": "folder",
        "data_options": {"data_dir": str(dataset.train.root.parent), "crop_size": 32},
        "iterations": 12,
        "batch_size": 9,
        "model_options": {"widths": [4, 8, 16]},
        "normalization": "channel",
        "crop_size": 32,
        "crop_scales": (37, 69),
        "flip": True,
        "log_every": 2,
        "evaluate_every": 6,
    }
    return Recipe(**options | changes)


def test_a_net_learns_from_photos(tmp_path, dataset):
    run = train(recipe(dataset, iterations=24), tmp_path / "run", dataset=dataset)
    assert run.history.last("train_error") < 20
    assert run.history.last("loss") < run.history.series("loss")[1][0] / 2
    step, loss, error = evaluate_run(tmp_path / "run")
    assert (step, loss, error) == (24, run.history.last("test_loss"), run.history.last("test_error"))


@pytest.mark.parametrize("normalization", ["pixel", "channel", "unit"])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, dataset, normalization):
    plan = recipe(dataset, normalization=normalization)
    train(plan, tmp_path / "uninterrupted", dataset=dataset)

    def fail(trainer):
        if trainer.state.step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(plan, tmp_path / "resumed", dataset=dataset, on_step=fail, checkpoint_every=3)
    resumed = train(plan, tmp_path / "resumed", resume=True)  # reads the folders anew
    assert resumed.state.step == 12
    for name in ("weights.safetensors", "optimizer.safetensors"):
        expected, arrays = (
            load_file(RunFolder(tmp_path / run).latest() / name) for run in ("uninterrupted", "resumed")
        )
        assert expected.keys() == arrays.keys()
        for key in expected:
            np.testing.assert_array_equal(arrays[key], expected[key], err_msg=key)


@pytest.fixture
def run(tmp_path, dataset):
    train(recipe(dataset, iterations=6), tmp_path / "run", dataset=dataset)
    return tmp_path / "run"


def test_ten_crops_of_a_run(run, dataset):
    ((_, step, score),), _ = evaluate_together([run], crops=10)
    trained = load_run(run)
    crops = np.stack([as_pixels(TenCrops(32, 37)(open_photo(file))) for file in dataset.test.files])
    p = probabilities(trained.model, trained.input_format.normalize(crops))
    assert step == 6
    assert score.error == pytest.approx(100 * (p.argmax(1) != dataset.test.labels).mean())
    assert score.loss == pytest.approx(-np.log(p[np.arange(len(p)), dataset.test.labels]).mean(), rel=1e-5)


def test_whole_photos_at_several_scales(run, dataset):
    ((_, _, score),), _ = evaluate_together([run], scales=(32, 40))
    trained, p = load_run(run), 0
    for scale in (32, 40):
        photos = [as_pixels([Whole(scale)(open_photo(file))]) for file in dataset.test.files]
        inputs = [trained.input_format.normalize(x) for x in photos]
        p = p + np.concatenate([probabilities(trained.model, x) for x in inputs])
    label_p = (p / 2)[np.arange(len(p)), dataset.test.labels]
    assert score.loss == pytest.approx(-np.log(label_p).mean(), rel=1e-5)


def test_whole_photos_after_a_mean_of_each_pixel(tmp_path, dataset):
    """A 32 x 32 mean fits no other size; the mean of its pixels fits all."""
    train(recipe(dataset, iterations=2, normalization="pixel"), tmp_path / "run", dataset=dataset)
    _, together = evaluate_together([tmp_path / "run"], scales=(40,))
    assert load_run(tmp_path / "run").input_format.mean.shape == (3, 32, 32)
    assert np.isfinite(together.loss)


@pytest.mark.parametrize("options", [{}, {"crops": 10}, {"scales": (32,)}])
def test_unreadable_photos_are_left_out_of_every_evaluation(tmp_path, dataset, options):
    """In batches of one photo, so that an unreadable photo leaves an empty batch."""
    plan = recipe(dataset, iterations=2, batch_size=1)
    skipping = plan.data_options | {"bad_files": "skip"}
    train(replace(plan, data_options=skipping), tmp_path / "run", dataset=dataset)
    for file in dataset.test.files[:2]:
        file.write_bytes(b"no photo")
    with pytest.warns(UserWarning, match="left out"):
        ((_, _, score),), _ = evaluate_together([tmp_path / "run"], **options)
    assert np.isfinite(score.loss)


def test_the_corners_of_the_central_square(photo_of_numbers):
    """AlexNet's ten crops: the ends of the photo's longer side are left out."""
    crops = TenCrops(4, 8, central_square=True)(photo_of_numbers)
    assert [np.asarray(crop)[0, 0, 0] for crop in crops[:4]] == [4, 8, 4 + 64, 8 + 64]


@pytest.fixture
def photo_of_numbers():
    """8 x 16 pixels; the value of each is its column plus 16 times its row."""
    numbers = (np.arange(16) + 16 * np.arange(8)[:, None]).astype(np.uint8)
    return Image.fromarray(np.repeat(numbers[:, :, None], 3, axis=2))


def test_a_run_classifies_photos_at_the_size_of_its_training(run, dataset):
    classifier = Classifier.from_run(run)
    assert (classifier.size, classifier.classes) == (32, ("dark", "light", "red"))
    file = dataset.test.files[0]
    x = classifier.normalize(as_pixels([CentreCrop(32, 37)(open_photo(file))]))
    np.testing.assert_allclose(classifier(open_photo(file)), probabilities(classifier.model, x)[0], rtol=1e-5)
    assert classifier.scale == 37  # as the run was tested


def test_a_run_needs_its_data_no_more_to_classify(tmp_path, run, dataset):
    photo = open_photo(dataset.test.files[0])
    before = Classifier.from_run(run)(photo)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(Classifier.from_run(run)(photo), before)
    assert evaluate_run(run, tmp_path / "elsewhere")[0] == 6


def test_a_run_does_not_go_on_with_other_photos(tmp_path, run, dataset):
    other = Image.new("RGB", (40, 40), "yellow")
    for file in dataset.train.files[:20]:
        other.save(file)
    with pytest.raises(CheckpointError, match="other training images: their mean, std, colours differ"):
        train(recipe(dataset, iterations=6), run, resume=True)


def test_a_run_does_not_go_on_with_fewer_photos(run, dataset):
    """One photo less may not change a mean, but it changes the batches."""
    dataset.train.files[0].unlink()
    with pytest.raises(CheckpointError, match=r"began with other training images: their .*labels differ"):
        train(recipe(dataset, iterations=6), run, resume=True)


def test_grey_photos_are_the_same_however_their_components_turn(run):
    """Two eigenvalues are 0, and their components arbitrary."""
    kept = InputFormat.load(run / "input.safetensors")
    grey = replace(kept, eigenvalues=np.array([0.1, 0.0, 0.0]))
    kept = replace(grey, components=grey.components[:, [0, 2, 1]])
    kept.check_same(grey, "the run")
    with pytest.raises(CheckpointError, match="their colours differ"):
        replace(grey, components=grey.components[:, [1, 0, 2]]).check_same(grey, "the run")


def test_a_refused_resume_leaves_an_older_run_as_it_was(run, dataset):
    """A run without input.safetensors, resumed with the wrong data."""
    (run / "input.safetensors").unlink()
    (dataset.train.root / "fourth").mkdir()
    (dataset.test.root / "fourth").mkdir()
    for part in (dataset.train, dataset.test):
        Image.new("RGB", (40, 40)).save(part.root / "fourth" / "1.png")
    with pytest.raises(CheckpointError, match="of another model"):
        train(recipe(dataset, iterations=6), run, resume=True)
    assert not (run / "input.safetensors").exists()


def test_a_damaged_input_file_is_named_with_what_to_do(run):
    file = run / "input.safetensors"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(
        CheckpointError, match=r"input.safetensors is damaged: .*; delete it, and it is measured"
    ):
        evaluate_run(run)
    file.unlink()
    assert evaluate_run(run)[0] == 6


def test_a_folder_without_a_readable_photo_is_refused(tmp_path, dataset):
    for file in dataset.train.files:
        file.write_bytes(b"no photo")
    plan = recipe(dataset, data_options={"data_dir": str(tmp_path / "data"), "bad_files": "skip"})
    with pytest.warns(UserWarning, match="left out"), pytest.raises(DataError, match="none of 36 photos in"):
        train(plan, tmp_path / "run")


def test_a_crop_size_of_the_data_must_be_the_recipes(dataset):
    plan = recipe(dataset, data_options={"crop_size": 64})
    with pytest.raises(OptionError, match="the data's crop_size 64 is not the recipe's, 32; leave it out"):
        build_loaders(plan, dataset)


def test_a_network_that_cannot_take_the_images_leaves_no_folder(tmp_path):
    plan = Recipe(model="googlenet", data="digits", iterations=1)
    with pytest.raises(ShapeError, match=r"window, .* exceeds input \(1, 480, 1, 1\)"):
        train(plan, tmp_path / "run", dataset=data.digits())
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_with_other_classes(run, dataset):
    (dataset.train.root / "dark").rename(dataset.train.root / "black")
    (dataset.test.root / "dark").rename(dataset.test.root / "black")
    with pytest.raises(
        CheckpointError, match=r"began with the classes dark, light, red, but .* black, light"
    ):
        train(recipe(dataset, iterations=6), run, resume=True)
    with pytest.raises(CheckpointError, match="on the classes dark, light, red, but the data has black"):
        evaluate_run(run)


def test_runs_on_photos_of_other_folders_are_not_averaged(tmp_path, run, dataset):
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    plan = recipe(dataset, iterations=2, data_options={"data_dir": str(tmp_path / "other")})
    train(plan, tmp_path / "second")
    with pytest.raises(OptionError, match="different test images; evaluate them one by one"):
        evaluate_together([run, tmp_path / "second"])
    assert len(evaluate_together([run, tmp_path / "second"], data_dir=tmp_path / "data")[0]) == 2


def test_crops_and_scales_exclude_each_other(run):
    with pytest.raises(OptionError, match="give crops or scales, not both"):
        evaluate_together([run], crops=10, scales=(32,))


@pytest.mark.parametrize(
    ("changes", "view"),
    [
        ({"crop_scales": (37, 69)}, RandomCrop(32, (37, 69), flip=True)),
        ({"crop_scales": (37, 37), "flip": False}, RandomCrop(32, (37, 37), central_square=True, flip=False)),
        ({"crop_scales": None, "crop_area": True}, RandomAreaCrop(32, flip=True)),
    ],
)
def test_photos_are_seen_as_the_recipe_says(dataset, changes, view):
    train_loader, test_loader = build_loaders(recipe(dataset, **changes), dataset)
    assert train_loader.split.view == view
    assert test_loader.split.view == CentreCrop(32, 37)


def test_colours_change_as_the_recipe_says(dataset):
    """Noise along the principal components, in units of the normalization: one shift for each image."""
    plan = recipe(dataset, colour_noise=0.1)
    loud, quiet = (build_loaders(p, dataset)[0] for p in (plan, recipe(dataset)))
    (noisy, _), (x, _) = loud.batch(3), quiet.batch(3)
    shift = noisy - x
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:, :, :1, :1], shift.shape), atol=1e-5)
    assert np.abs(shift).max() > 1e-4


def test_crops_are_refused_for_pictures_of_one_size(dataset):
    with pytest.raises(OptionError, match=r"the recipe for resnet8 cuts crops of 32 out of photos .* digits"):
        build_loaders(recipe(dataset), data.digits())


def test_without_a_crop_size_photos_become_pictures_of_the_networks_size(dataset):
    """No random scale, and mirrored only if the recipe says so."""
    plan = recipe(dataset, crop_size=None, crop_scales=None, flip=False)
    training, testing = build_loaders(plan, dataset)
    assert training.split.view == testing.split.view == CentreCrop(32, 37)
    assert training.augment is None
    padded = replace(plan, crop_padding=4, flip=True)
    assert build_loaders(padded, dataset)[0].augment.augmentations == (data.CropAndFlip(4, True, "zero"),)


@pytest.mark.parametrize("name", [name for name in RECIPES if "svhn" not in name and "cifar" not in name])
def test_protocols_for_photos_build_their_batches(dataset, name):
    model = {"alexnet": "alexnet", "googlenet": "googlenet"}.get(name, "resnet18")
    plan = RECIPES[name](model, dataset, batch_size=2)
    images, labels = build_loaders(plan, dataset)[0].batch(0)
    assert images.shape == (2, 3, 224, 224)
    assert labels.shape == (2,)
