"""Training on folders of photos: it learns, and a stopped run goes on bit for bit."""

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from minires import data
from minires.train import Recipe, RunFolder, evaluate_run, train


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
