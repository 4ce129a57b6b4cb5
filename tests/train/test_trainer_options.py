"""Options of a recipe in the trainer: a plateau, the mean of the weights, auxiliary heads."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from minires import Tensor, data, nn
from minires.errors import CheckpointError
from minires.nn.functional import cross_entropy
from minires.train import History, Recipe, RunFolder, Trainer, evaluate, evaluate_run, train

DIGITS = data.digits()


def small_recipe(**changes):
    """Digits, eight layers, 24 steps, an evaluation after every second step."""
    options = {
        "model": "resnet8",
        "data": "digits",
        "iterations": 24,
        "batch_size": 32,
        "model_options": {"widths": [4, 8, 16]},
        "log_every": 1,
        "evaluate_every": 2,
    }
    return Recipe(**options | changes)


def interrupt_and_resume(recipe, folder, stop_at, checkpoint_every):
    """Train until an exception in step `stop_at`, then go on from the last checkpoint."""

    def fail(trainer):
        if trainer.state.step == stop_at:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, folder, dataset=DIGITS, on_step=fail, checkpoint_every=checkpoint_every)
    return train(recipe, folder, dataset=DIGITS, resume=True)


def assert_same_run(one, two):
    """All arrays of the last checkpoint bit for bit, and the same history except for the times."""
    folders = RunFolder(one), RunFolder(two)
    names = [sorted(file.name for file in folder.latest().glob("*.safetensors")) for folder in folders]
    assert names[0] == names[1]
    for name in names[0]:
        first, second = (load_file(folder.latest() / name) for folder in folders)
        assert first.keys() == second.keys()
        for key in first:
            np.testing.assert_array_equal(first[key], second[key], err_msg=key)
    rows = [History.load(folder.metrics_file).rows for folder in folders]
    for row in rows[0] + rows[1]:
        row.pop("seconds", None)
    assert rows[0] == rows[1]


@pytest.mark.parametrize("stop_at", [9, 14, 23])
def test_a_plateau_resumes_bit_for_bit(tmp_path, stop_at):
    options = {"learning_rate": 1.0, "evaluate_every": 1}  # so that the error often fails to improve
    recipe = small_recipe(schedule="plateau", patience=1, drop_factor=0.5, **options)
    uninterrupted = train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)
    rates = uninterrupted.history.series("learning_rate")[1]
    assert len(set(rates[:9])) > 1, "it drops before the interruption, or the test shows nothing"
    resumed = interrupt_and_resume(recipe, tmp_path / "resumed", stop_at, checkpoint_every=4)
    assert resumed.history.series("learning_rate")[1] == rates
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


def test_the_rate_of_a_plateau_follows_the_errors_in_the_history():
    recipe = small_recipe(schedule="plateau", patience=2, max_drops=2)
    history = train(recipe, dataset=DIGITS).history
    errors = dict(zip(*history.series("test_error"), strict=True))
    for step, rate in zip(*history.series("learning_rate"), strict=True):
        before = [errors[s] for s in sorted(errors) if s < step]  # the row is of the step that led to it
        assert rate == recipe.learning_rate_at(step - 1, 100.0, before)


@pytest.mark.parametrize("stop_at", [7, 15, 22])
def test_the_mean_of_the_weights_resumes_bit_for_bit(tmp_path, stop_at):
    """Interrupted before and in the half that is averaged."""
    recipe = small_recipe(average_weights=True)
    train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)
    interrupt_and_resume(recipe, tmp_path / "resumed", stop_at, checkpoint_every=4)
    assert "average.safetensors" in {file.name for file in RunFolder(tmp_path / "resumed").latest().iterdir()}
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "resumed")


def test_the_mean_is_over_the_second_half_and_only_for_evaluation():
    states, trainer = [], Trainer(small_recipe(average_weights=True), DIGITS)
    trainer.run(lambda t: states.append({n: a.copy() for n, a in t.model.state_dict().items()}))
    plain = train(small_recipe(), dataset=DIGITS)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(trainer.model.state_dict()[name], array, err_msg=name)
    losses = [run.history.series("test_loss")[1] for run in (trainer, plain)]
    assert losses[0][:6] == losses[1][:6], "steps 2 to 12: nothing is averaged yet"
    assert all(mean != last for mean, last in zip(losses[0][6:], losses[1][6:], strict=True))
    means = {name: np.mean([s[name] for s in states[12:]], axis=0, dtype=np.float64) for name in states[0]}
    plain.model.load_state_dict(means)
    assert evaluate(plain.model, plain.test_loader) == tuple(
        trainer.history.last(column) for column in ("test_loss", "test_error")
    )


def test_a_run_of_one_step_has_a_mean():
    runs = [train(small_recipe(iterations=1, average_weights=a), dataset=DIGITS) for a in (True, False)]
    assert runs[0].average.count == 1
    assert runs[0].history.last("test_loss") == runs[1].history.last("test_loss")


def test_evaluating_a_folder_uses_the_mean(tmp_path):
    run = train(small_recipe(average_weights=True), tmp_path, dataset=DIGITS)
    expected = (24, run.history.last("test_loss"), run.history.last("test_error"))
    assert evaluate_run(tmp_path) == expected
    assert evaluate(run.model, run.test_loader)[0] != expected[1], "the last weights give another loss"


def test_a_lost_mean_is_named(tmp_path):
    recipe = small_recipe(average_weights=True, iterations=4)
    train(recipe, tmp_path, dataset=DIGITS)
    (RunFolder(tmp_path).latest() / "average.safetensors").unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        train(recipe, tmp_path, dataset=DIGITS, resume=True)


def test_without_a_mean_nothing_is_kept_of_it(tmp_path):
    train(small_recipe(iterations=2), tmp_path, dataset=DIGITS)
    names = {file.name for file in RunFolder(tmp_path).latest().iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "state.json"}


NEW_FIELDS = {
    *("drop_factor", "patience", "max_drops", "warm_up_steps", "average_weights", "padding_mode"),
    *("crop_size", "crop_scales", "crop_area", "colour_noise"),
}


def test_a_run_of_an_older_version_goes_on(tmp_path):
    """Its recipe.json lacks the fields that were added later."""
    recipe = small_recipe(drops=(12, 18))
    train(recipe, tmp_path / "uninterrupted", dataset=DIGITS)

    def fail(trainer):
        if trainer.state.step == 13:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, tmp_path / "older", dataset=DIGITS, on_step=fail, checkpoint_every=5)
    file = RunFolder(tmp_path / "older").recipe_file
    content = json.loads(file.read_text())
    assert content["recipe"].keys() >= NEW_FIELDS
    content["recipe"] = {k: v for k, v in content["recipe"].items() if k not in NEW_FIELDS}
    file.write_text(json.dumps(content))
    train(recipe, tmp_path / "older", dataset=DIGITS, resume=True)
    assert_same_run(tmp_path / "uninterrupted", tmp_path / "older")


class NetWithHeads(nn.Module):
    """Three linear classifiers; in training it returns the logits of all three, as GoogLeNet does."""

    def __init__(self, in_channels, classes, generator):
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(64 * in_channels, classes, generator=generator)
        self.head1 = nn.Linear(64 * in_channels, classes, generator=generator)
        self.head2 = nn.Linear(64 * in_channels, classes, generator=generator)

    def forward(self, x):
        x = self.flatten(x)
        return (self.fc(x), self.head1(x), self.head2(x)) if self.training else self.fc(x)


def test_auxiliary_heads_train_but_do_not_predict(monkeypatch):
    monkeypatch.setattr("minires.train.build.create", lambda name, **options: NetWithHeads(**options))
    trainer = Trainer(small_recipe(model_options={}, weight_decay=0.0, iterations=60), DIGITS)
    images, labels = trainer.train_loader.batch(0)
    x = nn.Flatten()(Tensor(images))
    layers = (trainer.model.fc, trainer.model.head1, trainer.model.head2)
    losses = [cross_entropy(layer(x), labels).item() for layer in layers]
    before = [layer.weight.numpy().copy() for layer in layers]
    trainer.step()
    assert trainer.history.last("loss") == pytest.approx(losses[0] + 0.3 * (losses[1] + losses[2]), rel=1e-6)
    assert all((layer.weight.numpy() != w).any() for layer, w in zip(layers, before, strict=True))
    trainer.run()
    assert trainer.history.last("test_error") < 15
    assert trainer.history.last("train_error") < 20
