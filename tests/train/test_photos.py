"""Training on folders of photos: it learns, and a stopped run goes on bit for bit."""

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from minires import data
from minires.data import CentreCrop, RandomAreaCrop, RandomCrop, TenCrops, Whole, as_pixels, open_photo
from minires.errors import OptionError
from minires.train import (
    RECIPES,
    Recipe,
    RunFolder,
    build_loaders,
    evaluate_run,
    evaluate_together,
    load_run,
    probabilities,
    train,
)


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
    train(plan, tmp_path / "whole", dataset=dataset)

    def fail(trainer):
        if trainer.state.step == 7:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(plan, tmp_path / "cut", dataset=dataset, on_step=fail, checkpoint_every=3)
    resumed = train(plan, tmp_path / "cut", resume=True)  # reads the folders anew
    assert resumed.state.step == 12
    for name in ("weights.safetensors", "optimizer.safetensors"):
        whole, cut = (load_file(RunFolder(tmp_path / run).latest() / name) for run in ("whole", "cut"))
        assert whole.keys() == cut.keys()
        for key in whole:
            np.testing.assert_array_equal(whole[key], cut[key], err_msg=key)


@pytest.fixture
def run(tmp_path, dataset):
    train(recipe(dataset, iterations=6), tmp_path / "run", dataset=dataset)
    return tmp_path / "run"


def test_ten_crops_of_a_run(run):
    ((trained, score),), _ = evaluate_together([run], crops=10)
    test = trained.dataset.test
    crops = np.stack([as_pixels(TenCrops(32, 37)(open_photo(file))) for file in test.files])
    p = probabilities(trained.model, trained.test_loader.normalize(crops))
    assert score.error == pytest.approx(100 * (p.argmax(1) != test.labels).mean())
    assert score.loss == pytest.approx(-np.log(p[np.arange(len(p)), test.labels]).mean(), rel=1e-5)


def test_whole_photos_at_several_scales(run):
    ((trained, score),), _ = evaluate_together([run], scales=(32, 40))
    test, p = trained.dataset.test, 0
    for scale in (32, 40):
        whole = [as_pixels([Whole(scale)(open_photo(file))]) for file in test.files]
        p = p + np.concatenate(
            [probabilities(trained.model, trained.test_loader.normalize(x)) for x in whole]
        )
    own = (p / 2)[np.arange(len(p)), test.labels]
    assert score.loss == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_whole_photos_after_a_mean_of_each_pixel(tmp_path, dataset):
    """A 32 x 32 mean fits no other size; the mean of its pixels fits all."""
    train(recipe(dataset, iterations=2, normalization="pixel"), tmp_path / "run", dataset=dataset)
    ((trained, _),), together = evaluate_together([tmp_path / "run"], scales=(40,))
    assert trained.test_loader.normalize.mean.shape == (3, 32, 32)
    assert np.isfinite(together.loss)


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


def test_the_recipe_of_small_pictures_is_refused_for_photos_and_the_other_way_round(dataset):
    with pytest.raises(OptionError, match="crop_padding is for small pictures; photos have crop_size"):
        build_loaders(recipe(dataset, crop_size=None, crop_scales=None, crop_padding=4), dataset)
    digits = data.digits()
    with pytest.raises(
        OptionError, match="crop_size 32 is for photos in folders; digits has pictures of one"
    ):
        build_loaders(recipe(dataset), digits)


@pytest.mark.parametrize("name", [name for name in RECIPES if "svhn" not in name and "cifar" not in name])
def test_protocols_for_photos_build_their_batches(dataset, name):
    model = {"alexnet": "alexnet", "googlenet": "googlenet"}.get(name, "resnet18")
    plan = RECIPES[name](model, dataset, batch_size=2)
    images, labels = build_loaders(plan, dataset)[0].batch(0)
    assert images.shape == (2, 3, 224, 224)
    assert labels.shape == (2,)


def test_a_run_knows_its_photos(run):
    trained = load_run(run)
    assert (trained.step, trained.dataset.classes) == (6, ("dark", "light", "red"))
