"""The training loop: a net learns, the run's files are complete, and resuming changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from minires import data, nn
from minires.errors import CheckpointError, DataError, DivergenceError, OptionError, TrainingInterrupted
from minires.train import Hardware, History, Recipe, RunFolder, Trainer, build_loaders, evaluate, train

DIGITS = data.digits()


def small_recipe(**changes):
    """Digits, eight layers, 24 steps."""
    options = {
        "model": "resnet8",
        "data": "digits",
        "iterations": 24,
        "batch_size": 32,
        "model_options": {"widths": [4, 8, 16]},
        "drops": (12, 18),
        "log_every": 5,
        "evaluate_every": 10,
    }
    return Recipe(**options | changes)


def weights_of(path):
    folder = RunFolder(path)
    return load_file(folder.latest() / "weights.safetensors"), load_file(
        folder.latest() / "optimizer.safetensors"
    )


def assert_same_run(one, two):
    """Weights and velocities bit for bit, and the same history except for the times."""
    for first, second in zip(weights_of(one), weights_of(two), strict=True):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    rows = [History.load(RunFolder(path).metrics_file).rows for path in (one, two)]
    for row in rows[0] + rows[1]:
        row.pop("seconds", None)
    assert rows[0] == rows[1]


def test_a_net_learns_the_digits():
    run = train(small_recipe(iterations=135, drops=(90,)), dataset=DIGITS)
    assert run.history.last("train_error") < 5
    assert run.history.last("test_error") < 15
    assert run.history.last("loss") < run.history.series("loss")[1][0] / 4


def test_the_run_folder_is_complete(tmp_path, curves):
    recipe = small_recipe()
    train(recipe, tmp_path / "run", dataset=DIGITS)
    folder = RunFolder(tmp_path / "run")
    assert folder.recipe().differences(recipe) == []
    assert folder.curves_file.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in folder.checkpoints.iterdir()] == ["step-00000024"]
    history = History.load(folder.metrics_file)
    assert history.series("loss")[0] == [5, 10, 15, 20, 24]
    assert history.series("test_error")[0] == [10, 20, 24]
    assert history.series("learning_rate")[1] == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])
    model = Trainer(recipe, DIGITS).model
    folder.load(folder.latest(), model)
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


def test_rows_are_the_means_since_the_row_before():
    single, grouped = (train(small_recipe(log_every=n), dataset=DIGITS).history for n in (1, 4))
    means = np.reshape(single.series("train_error")[1], (6, 4)).mean(axis=1)
    assert grouped.series("train_error")[1] == pytest.approx(means)


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        train(small_recipe(seed=seed), tmp_path / name, dataset=DIGITS)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "one", tmp_path / "three")


@pytest.mark.parametrize("stop_at", [1, 7, 10, 23])
def test_resuming_after_an_exception_is_bit_for_bit(tmp_path, stop_at):
    """Steps after the last checkpoint are lost and taken again, with the rows that they wrote."""
    recipe = small_recipe()
    train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)

    def fail(trainer):
        if trainer.state.step == stop_at:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "resumed", dataset=DIGITS, on_step=fail, checkpoint_every=3)
    resumed = train(recipe, tmp_path / "resumed", dataset=DIGITS, resume=True, checkpoint_every=3)
    assert resumed.state.step == 24
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    train(small_recipe(), tmp_path / "one", dataset=DIGITS)
    train(small_recipe(), tmp_path / "two", dataset=DIGITS)
    run = train(small_recipe(), tmp_path / "two", dataset=DIGITS, resume=True)
    assert run.history.last("step") == 24
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_augmented_batches_resume_as_well(tmp_path):
    recipe = small_recipe(
        crop_padding=1, flip=True, schedule="cosine", nesterov=True, normalization="channel"
    )
    train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)

    def interrupt(trainer):
        if trainer.state.step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted) as stop:
        train(recipe, tmp_path / "resumed", dataset=DIGITS, on_step=interrupt)
    assert stop.value.step == 9
    train(recipe, tmp_path / "resumed", dataset=DIGITS, resume=True)
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


def test_a_run_that_was_stopped_can_go_on_in_memory(tmp_path):
    trainer = Trainer(small_recipe(), DIGITS)
    with pytest.raises(TrainingInterrupted) as stop:
        trainer.run(lambda trainer: trainer.stop() if trainer.state.step == 5 else None)
    assert stop.value.step == 5
    trainer.run()
    uninterrupted = train(small_recipe(), dataset=DIGITS)
    for name, array in uninterrupted.model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], array, err_msg=name)


def test_the_warm_up_latch_survives_a_resume(tmp_path):
    """The rate rises from 0.01 once a row is below warm_up_error, and never goes back, resumed or not."""
    recipe = small_recipe(warm_up_rate=0.01, warm_up_error=75.0, log_every=2, drops=())
    uninterrupted = train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)
    rates = uninterrupted.history.series("learning_rate")[1]
    assert rates[0] == 0.01
    assert rates[-1] == 0.1
    assert rates == sorted(rates)

    def fail(trainer):
        if trainer.state.step == 20:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, tmp_path / "resumed", dataset=DIGITS, on_step=fail, checkpoint_every=1)
    train(recipe, tmp_path / "resumed", dataset=DIGITS, resume=True)
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


SCRIPT = """
import sys
from minires import data
from minires.train import Recipe, train
recipe = Recipe(model="resnet8", data="digits", iterations=200, batch_size=32, log_every=7,
                evaluate_every=25, model_options={"widths": [4, 8, 16]}, drops=(100, 150))
train(recipe, sys.argv[1], resume=True, checkpoint_every=5,
      on_step=lambda trainer: print(trainer.state.step, flush=True))
"""


@pytest.mark.slow
def test_killed_again_and_again_and_resumed_bit_for_bit(tmp_path):
    """SIGKILL at arbitrary moments, in the middle of steps and of checkpoints."""

    def start(path):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], stdout=subprocess.PIPE, text=True)

    uninterrupted = start(tmp_path / "uninterrupted")
    uninterrupted.communicate()
    assert uninterrupted.returncode == 0
    delays = np.random.default_rng(0).uniform(0.0, 0.3, 5)
    for delay in delays:
        process = start(tmp_path / "killed")
        process.stdout.readline()  # the first step is done
        time.sleep(delay)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    last = start(tmp_path / "killed")
    first_step = int(last.stdout.readline())
    last.communicate()
    assert last.returncode == 0
    assert first_step > 1, "it went on from a checkpoint"
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "killed")


class DroppingNet(nn.Module):
    """A net whose training depends on a generator of its own."""

    def __init__(self, in_channels, classes, generator):
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.5, generator=np.random.default_rng(5))
        self.fc = nn.Linear(64 * in_channels, classes, generator=generator)

    def forward(self, x):
        return self.fc(self.dropout(self.flatten(x)))


def test_the_generators_of_dropout_are_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr("minires.train.build.create", lambda name, **options: DroppingNet(**options))
    recipe = small_recipe(model_options={})
    train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)

    def fail(trainer):
        if trainer.state.step == 13:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, tmp_path / "resumed", dataset=DIGITS, on_step=fail, checkpoint_every=4)
    train(recipe, tmp_path / "resumed", dataset=DIGITS, resume=True)
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


def test_a_diverging_loss_stops_with_step_and_checkpoint(tmp_path):
    recipe = small_recipe(learning_rate=1e30, iterations=20)
    with pytest.raises(
        DivergenceError, match=r"the loss became .* around step \d+ .*learning rate 1e\+30.*step-0000000"
    ):
        train(recipe, tmp_path / "run", dataset=DIGITS, checkpoint_every=1)


def test_a_folder_with_a_run_is_refused_without_an_option(tmp_path):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    before = weights_of(tmp_path)[0]
    with pytest.raises(CheckpointError, match=r"already holds a run.*--resume.*--overwrite"):
        train(small_recipe(iterations=2, seed=1), tmp_path, dataset=DIGITS)
    assert all((before[name] == array).all() for name, array in weights_of(tmp_path)[0].items())
    train(small_recipe(iterations=2, seed=1), tmp_path, dataset=DIGITS, overwrite=True)
    assert any((before[name] != array).any() for name, array in weights_of(tmp_path)[0].items())


def test_overwriting_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resuming_another_recipe_names_what_differs(tmp_path):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    with pytest.raises(CheckpointError, match=r"model 'resnet8', not 'plain8'"):
        train(small_recipe(iterations=2, model="plain8"), tmp_path, dataset=DIGITS, resume=True)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    other = Trainer(small_recipe(model="resnet14"), DIGITS).model
    with pytest.raises(CheckpointError, match=r"of another model.*missing layer1\.1\.conv1\.weight"):
        RunFolder(tmp_path).load(RunFolder(tmp_path).latest(), other)


@pytest.mark.parametrize("file", ["weights.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named(tmp_path, file):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    path = RunFolder(tmp_path).latest() / file
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match=r"checkpoint .*step-00000002 is damaged"):
        train(small_recipe(iterations=2), tmp_path, dataset=DIGITS, resume=True)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CheckpointError, match="cannot write to"):
        train(small_recipe(), tmp_path / "file" / "run", dataset=DIGITS)


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    folder, run = RunFolder(tmp_path), Trainer(small_recipe(), DIGITS)

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minires.train.run_folder.save_file", no_space)
    with pytest.raises(CheckpointError, match="No space left"):
        folder.save(3, run.model, run.optimizer, {})
    assert folder.latest().name == "step-00000002"


def test_a_recipe_that_cannot_be_built_changes_no_file(tmp_path):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    with pytest.raises(OptionError, match="depth 9"):
        train(small_recipe(model="resnet9"), tmp_path, dataset=DIGITS, overwrite=True)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    with pytest.raises(OptionError, match="depth 9"):
        train(small_recipe(model="resnet9"), tmp_path / "new", dataset=DIGITS)
    assert not (tmp_path / "new").exists()


def test_a_taken_folder_is_refused_before_a_network_is_built(tmp_path, monkeypatch):
    train(small_recipe(iterations=1), tmp_path, dataset=DIGITS)
    monkeypatch.setattr("minires.train.trainer.build_model", None)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(small_recipe(iterations=1), tmp_path, dataset=DIGITS)


def test_the_batches_are_built_once(tmp_path, monkeypatch):
    built = []

    def counted(*arguments):
        built.append(arguments)
        return build_loaders(*arguments)

    monkeypatch.setattr("minires.train.trainer.build_loaders", counted)
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS, resume=True)
    assert len(built) == 2


def test_a_folder_given_later_works_as_before_with_a_warning(tmp_path):
    train(small_recipe(), tmp_path / "at construction", dataset=DIGITS)
    trainer = Trainer(small_recipe(), DIGITS)
    with pytest.warns(DeprecationWarning, match=r"write Trainer\(\.\.\., folder=folder\) instead"):
        trainer.keep_in(RunFolder(tmp_path / "later"))
    trainer.run()
    assert_same_run(tmp_path / "at construction", tmp_path / "later")
    resumed = Trainer(small_recipe(), DIGITS)
    with pytest.warns(DeprecationWarning, match="Trainer"):
        resumed.keep_in(RunFolder(tmp_path / "later"), resume=True)
    resumed.history.close()
    assert resumed.state.step == 24


def test_a_folder_may_be_a_path(tmp_path):
    trainer = Trainer(small_recipe(), DIGITS, folder=str(tmp_path / "run"))
    trainer.history.close()
    assert trainer.folder.path == tmp_path / "run"
    with pytest.raises(CheckpointError, match="already holds a run"):
        Trainer(small_recipe(), DIGITS, folder=RunFolder(tmp_path / "run"))


def test_hardware_made_without_choosing_is_the_cpu_with_a_warning():
    with pytest.warns(DeprecationWarning, match=r"write Hardware.choose\(\) instead"):
        hardware = Hardware()
    assert hardware == Hardware.choose("cpu")
    assert (hardware.device, hardware.rung, hardware.precision) == ("cpu", None, None)


def test_a_folder_given_later_leaves_the_network_alone(tmp_path):
    trainer = Trainer(small_recipe(), DIGITS)
    trainer.model.fc.weight.data[...] = 1.5
    model = trainer.model
    with pytest.warns(DeprecationWarning, match="Trainer"):
        trainer.keep_in(RunFolder(tmp_path))
    trainer.history.close()
    assert trainer.model is model
    assert (model.fc.weight.numpy() == 1.5).all()


@pytest.mark.parametrize("folder", ["checkpoints", "curves.png", "metrics.jsonl"])
def test_files_of_another_program_are_refused(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "other.pt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(CheckpointError, match=r"already holds a run|holds no run"):
            train(small_recipe(), tmp_path, dataset=DIGITS, resume=resume)
    assert (tmp_path / folder / "other.pt").read_text() == "precious"


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(OptionError, match="not both"):
        train(small_recipe(), tmp_path, dataset=DIGITS, resume=True, overwrite=True)


def test_ruined_weights_never_replace_a_good_checkpoint(tmp_path):
    def ruin(trainer):
        if trainer.state.step == 3:
            trainer.model.fc.weight.data[0, 0] = np.nan

    with pytest.raises(DivergenceError, match=r"fc\.weight became .*step-00000002"):
        train(small_recipe(), tmp_path, dataset=DIGITS, on_step=ruin, checkpoint_every=1)
    assert RunFolder(tmp_path).latest().name == "step-00000002"


def test_ctrl_c_in_the_last_step_raises_as_well(tmp_path):
    def interrupt(trainer):
        if trainer.state.step == 24:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted, match="nothing is saved"):
        train(small_recipe(), dataset=DIGITS, on_step=interrupt)
    with pytest.raises(TrainingInterrupted, match="the run is saved"):
        train(small_recipe(), tmp_path, dataset=DIGITS, on_step=interrupt)
    assert RunFolder(tmp_path).latest().name == "step-00000024"


def test_a_history_shorter_than_at_the_checkpoint_is_refused(tmp_path):
    train(small_recipe(iterations=5), tmp_path, dataset=DIGITS)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"metrics.jsonl has \d+ bytes, but had \d+ at the checkpoint"):
        train(small_recipe(iterations=5), tmp_path, dataset=DIGITS, resume=True)


def test_a_run_whose_checkpoints_were_deleted_starts_again(tmp_path):
    train(small_recipe(), tmp_path / "one", dataset=DIGITS)
    train(small_recipe(), tmp_path / "two", dataset=DIGITS)
    shutil.rmtree(tmp_path / "two" / "checkpoints")
    train(small_recipe(), tmp_path / "two", dataset=DIGITS, resume=True)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_a_data_set_without_test_images_is_refused():
    with pytest.raises(DataError, match="no images"):
        train(small_recipe(data="shapes", iterations=1), dataset=data.shapes(train=32, test=0))


def test_evaluation_uses_running_statistics_and_puts_the_mode_back():
    run = Trainer(small_recipe(), DIGITS)
    buffers = {name: array.copy() for name, array in run.model.state_dict().items()}
    loss, error = evaluate(run.model, run.test_loader)
    assert run.model.training
    assert error > 50, "an untrained net guesses"
    assert loss > 0
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(array, buffers[name])


def test_history_survives_a_torn_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 2.5}) + '\n{"step": 2, "lo')
    assert History.load(path).series("loss") == ([1], [2.5])


def test_a_missing_history_is_reported(tmp_path):
    with pytest.raises(CheckpointError, match="no history of a run"):
        History.load(tmp_path / "metrics.jsonl")
