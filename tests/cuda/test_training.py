"""Complete training runs on the device: the same as on the CPU, recorded or not, interrupted or not."""

import time
import warnings

import numpy as np
import pytest

from minires.data import Dataset, Split
from minires.errors import DeviceError, DeviceMemoryError, OptionError, TrainingInterrupted
from minires.train import Hardware, Recipe, RunFolder, Trainer, train
from minires.train.step_runner import RecordingStepRunner

RUNGS = ("explicit", "implicit", "fused")


@pytest.fixture(scope="module")
def dataset():
    """Five images of 8 x 8 for training, so that with batches of 3 the last one of an epoch is smaller."""
    return Dataset("noise", noise(5), noise(4), ("a", "b", "c"))


def noise(n):
    rng = np.random.default_rng(n)
    return Split(rng.integers(0, 256, (n, 3, 8, 8), np.uint8), rng.integers(0, 3, n))


def recipe(model="resnet8", iterations=7, **changes):
    """Seven steps: enough to record both sizes of batch, each after two steps with this size."""
    options = {
        "model_options": {"widths": [4, 6, 8]},
        "batch_size": 3,
        "learning_rate": 0.05,
        "crop_padding": 1,
        "flip": True,
        "log_every": 2,
        "evaluate_every": 4,
        "drops": (4,),
    }
    return Recipe(model, "noise", iterations, **options | changes)


def weights(run):
    return run.model.state_dict()


def largest_difference(a, b):
    """The largest difference between two state dicts, relative to each tensor's largest entry."""
    assert a.keys() == b.keys()
    return max(np.abs(a[name] - b[name]).max() / max(np.abs(a[name]).max(), 1e-3) for name in a)


def same_bits(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("rung", "model"),
    [
        pytest.param("explicit", "resnet8", marks=pytest.mark.slow),
        ("implicit", "resnet8"),
        ("fused", "resnet8"),
        pytest.param("fused", "plain8", marks=pytest.mark.slow),
        ("fused", "preact_resnet8"),
    ],
)
def test_a_run_is_the_same_as_on_the_cpu(cupy, rung, model, dataset):
    short = recipe(model, iterations=3, log_every=1, drops=(2,))
    on_cpu = train(short, dataset=dataset)
    on_gpu = train(short, dataset=dataset, hardware=Hardware.choose("cuda", rung, "fp32"))
    assert largest_difference(weights(on_cpu), weights(on_gpu)) < 1e-4
    for expected, row in zip(on_cpu.history.rows, on_gpu.history.rows, strict=True):
        for name in ("loss", "test_loss"):
            assert expected.get(name, 0) == pytest.approx(row.get(name, 0), rel=1e-4)
        for name in ("train_error", "test_error", "learning_rate", "step"):
            assert expected.get(name) == row.get(name)


@pytest.mark.parametrize("rung", [pytest.param("implicit", marks=pytest.mark.slow), "fused"])
def test_recorded_steps_give_the_same_bits_as_other_steps(cupy, rung, dataset, monkeypatch):
    """Whether every step is computed by Python, or a recorded step is repeated."""
    hardware = Hardware.choose("cuda", rung)
    recorded = train(recipe(), dataset=dataset, hardware=hardware)
    assert sorted(recorded.step_runner.recordings) == [2, 3]  # both sizes of batch
    monkeypatch.setattr("minires.train.step_runner.STEPS_BEFORE_RECORDING", 1000)
    not_recorded = train(recipe(), dataset=dataset, hardware=hardware)
    assert not_recorded.step_runner.recordings == {}
    assert same_bits(weights(recorded), weights(not_recorded))
    assert without_seconds(recorded) == without_seconds(not_recorded)


def test_recorded_steps_of_groups_give_the_same_bits_and_follow_their_options(cupy, dataset, monkeypatch):
    """The second group has a tenth of the rate. After step 4 its momentum changes: it is recorded anew."""
    options = {"iterations": 8, "batch_size": 5, "drops": (3,), "log_every": 20, "evaluate_every": 20}

    def trained():
        trainer = Trainer(recipe(**options), dataset, Hardware.choose("cuda", "implicit"))
        optimizer, recordings = trainer.optimizer, []
        weights, others = optimizer.params[:-2], optimizer.params[-2:]
        optimizer.param_groups.clear()
        optimizer.add_param_group({"params": weights, "lr": 0.05, "momentum": 0.9})
        optimizer.add_param_group({"params": others, "lr": 0.005})

        def on_step(trainer):
            recordings.append(len(trainer.step_runner.recordings))
            if trainer.state.step == 4:
                optimizer.param_groups[1]["momentum"] = 0.5

        trainer.run(on_step)
        return trainer, recordings

    recorded, recordings = trained()
    assert recordings == [0, 0, 1, 1, 0, 0, 1, 1]
    monkeypatch.setattr("minires.train.step_runner.STEPS_BEFORE_RECORDING", 1000)
    not_recorded, recordings = trained()
    assert not any(recordings)
    assert same_bits(weights(recorded), weights(not_recorded))
    assert same_bits(recorded.optimizer.state_dict(), not_recorded.optimizer.state_dict())
    assert [group["lr"] for group in recorded.optimizer.param_groups] == pytest.approx([0.005, 0.0005])


def test_a_repeated_step_refuses_a_rate_out_of_range(cupy, dataset):
    trainer = Trainer(recipe(), dataset, Hardware.choose("cuda"))
    with trainer.working():
        for _ in range(6):
            trainer.step()
        assert trainer.step_runner.recordings
        trainer.optimizer.lr = float("nan")
        before = weights(trainer)
        with pytest.raises(OptionError, match="lr must be at least 0, not nan"):
            trainer.step_runner.run(6)
        assert same_bits(before, weights(trainer))


def without_seconds(run):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.history.rows]


def test_an_interrupted_and_resumed_run_is_the_same_as_an_uninterrupted_one(cupy, dataset, tmp_path):
    hardware = Hardware.choose("cuda")
    uninterrupted = train(recipe(), tmp_path / "uninterrupted", dataset=dataset, hardware=hardware)

    def stop_at_five(trainer):
        if trainer.state.step == 5:
            trainer.stop()

    with pytest.raises(TrainingInterrupted):
        train(recipe(), tmp_path / "run", dataset=dataset, hardware=hardware, on_step=stop_at_five)
    resumed = train(recipe(), tmp_path / "run", dataset=dataset, hardware=hardware, resume=True)
    assert same_bits(weights(uninterrupted), weights(resumed))
    assert without_seconds(uninterrupted) == without_seconds(resumed)
    assert RunFolder(tmp_path / "run").latest().name == "step-00000007"


def test_a_run_on_the_gpu_can_be_resumed_on_the_cpu(cupy, dataset, tmp_path):
    short = recipe()
    first = Trainer(short, dataset, Hardware.choose("cuda", precision="fp32"), RunFolder(tmp_path))
    with first.working():
        for _ in range(3):
            first.step()
        first.save()
    first.history.close()
    resumed = train(short, tmp_path, dataset=dataset, resume=True)
    assert largest_difference(weights(train(short, dataset=dataset)), weights(resumed)) < 1e-4


def test_tf32_rounds_and_fp32_does_not(cupy, dataset):
    def filters(hardware):
        run = train(recipe(iterations=1), dataset=dataset, hardware=hardware)
        return {name: array for name, array in weights(run).items() if "conv" in name}

    exact = filters(Hardware.choose("cpu"))
    fp32, tf32 = (
        largest_difference(exact, filters(Hardware.choose("cuda", precision=precision)))
        for precision in ("fp32", "tf32")
    )
    assert fp32 < 1e-6 < tf32 < 0.05


@pytest.mark.parametrize("rung", ["implicit", "fused"])
def test_in_bf16_maps_are_narrow_and_weights_are_not(cupy, rung, dataset):
    outputs = set()

    def remember_dtype(module, inputs, output):
        outputs.add((type(module).__name__, output.dtype.name))

    trainer = Trainer(recipe(iterations=5), dataset, Hardware.choose("cuda", rung, "bf16"))
    for module in trainer.model.modules():
        module.register_forward_hook(remember_dtype)
    with trainer.working():
        trainer.step()
    assert ("Conv2d", "bfloat16") in outputs
    assert {output for output in outputs if output[0] == "Linear"} == {("Linear", "float32")}
    assert {array.dtype.name for array in weights(trainer).values()} == {"float32"}
    assert {p.grad.dtype.name for p in trainer.model.parameters()} == {"float32"}
    exact = train(recipe(iterations=5), dataset=dataset)
    trainer.run()
    assert trainer.history.last("loss") == pytest.approx(exact.history.last("loss"), rel=0.1)
    assert trainer.step_runner.recordings


def test_bf16_needs_the_kernels_for_it(cupy):
    with pytest.raises(DeviceError, match="'bf16' is for the rungs implicit and fused"):
        Hardware.choose("cuda", "explicit", "bf16")


def test_dropout_keeps_a_step_from_being_recorded(cupy, dataset):
    options = {"shortcut": "dropout", "widths": [4, 6, 8]}
    run = train(
        recipe(iterations=4, model_options=options), dataset=dataset, hardware=Hardware.choose("cuda")
    )
    assert not isinstance(run.step_runner, RecordingStepRunner)
    assert "draws its random numbers on the CPU" in str(run.hardware)


def test_a_step_that_cannot_be_recorded_is_trained_with_a_warning(cupy, dataset):
    trainer = Trainer(recipe(iterations=5, log_every=1), dataset, Hardware.choose("cuda"))
    forward = trainer.model.forward

    def forward_with_check(x):
        y = forward(x)
        assert np.isfinite(float(y.data.sum()))  # copies a number to the host
        return y

    trainer.model.forward = forward_with_check
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.run()
    assert "cannot be recorded" in str(caught[0].message)
    assert trainer.state.step == 5
    assert trainer.history.last("loss") > 0


@pytest.mark.slow
def test_the_learning_rate_changes_in_repeated_steps(cupy, dataset):
    """From step 6 on it is practically 0, so that the weights stay as they are after six steps."""
    options = {"log_every": 10, "evaluate_every": 10}
    hardware = Hardware.choose("cuda")
    frozen = train(recipe(drops=(6,), drop_factor=1e-30, **options), dataset=dataset, hardware=hardware)
    before = train(recipe(iterations=6, drops=(), **options), dataset=dataset, hardware=hardware)
    parameters = [name for name in weights(before) if "running" not in name]
    assert frozen.step_runner.recordings
    assert all(np.array_equal(weights(frozen)[name], weights(before)[name]) for name in parameters)


@pytest.mark.slow
def test_the_error_about_too_large_a_batch_says_what_would_fit(device, dataset):
    more_images = Dataset("noise", noise(64), dataset.test, dataset.classes)
    device.memory = 2 << 20
    with pytest.raises(DeviceMemoryError, match=r"a batch of 64 .*would fit: --batch-size (\d+)") as caught:
        train(recipe(batch_size=64), dataset=more_images, hardware=Hardware.choose("cuda"))
    fits = int(str(caught.value).split()[-1])
    assert 4 <= fits < 64
    train(recipe(batch_size=fits, iterations=2), dataset=more_images, hardware=Hardware.choose("cuda"))
    with pytest.raises(DeviceMemoryError):
        train(recipe(batch_size=fits * 3 // 2), dataset=more_images, hardware=Hardware.choose("cuda"))


def test_the_error_says_if_the_network_does_not_fit(device, dataset):
    device.memory = 5 << 10
    with pytest.raises(DeviceMemoryError, match=r"the network and its images do not fit .* or --device cpu"):
        Trainer(recipe(), dataset, Hardware.choose("cuda"))


def test_a_network_that_does_not_fit_leaves_no_file(device, dataset, tmp_path):
    device.memory = 5 << 10
    with pytest.raises(DeviceMemoryError):
        train(recipe(), tmp_path / "run", dataset=dataset, hardware=Hardware.choose("cuda"))
    assert not (tmp_path / "run").exists()


def test_waiting_for_the_device_counts_as_training_time(cupy, dataset, monkeypatch):
    trainer = Trainer(recipe(), dataset, Hardware.choose("cuda"))
    read = trainer.sums.read

    def slowly():
        time.sleep(0.05)
        return read()

    monkeypatch.setattr(trainer.sums, "read", slowly)
    before = trainer.state.seconds
    trainer.report()
    assert trainer.state.seconds >= before + 0.05


def test_gradients_do_not_lie_in_the_memory_of_recorded_steps(cupy, dataset):
    """This memory is freed with the trainer, but its model may be used longer."""
    run = train(recipe(), dataset=dataset, hardware=Hardware.choose("cuda"))
    assert run.step_runner.recordings
    assert all(p.grad is None for p in run.model.parameters())


def test_training_goes_on_if_there_is_memory_for_steps_but_not_for_a_recording(cupy, device, dataset):
    """With CuPy's own pool, the recording would write to memory that is in use elsewhere."""
    more_images = Dataset("noise", noise(32), dataset.test, dataset.classes)
    device.memory = 800 << 10  # 600 KiB are too little for a step, 1,000 are enough for a recording, too
    with pytest.warns(UserWarning, match="cannot be recorded: out of memory: .* training goes on"):
        run = train(
            recipe(batch_size=16, iterations=4),
            dataset=more_images,
            hardware=Hardware.choose("cuda", "implicit"),
        )
    assert (run.state.step, run.step_runner.recordings) == (4, {})


def test_a_card_without_tensor_cores_takes_the_explicit_rung(device):
    device.compute_capability = "75"
    hardware = Hardware.choose("cuda")
    assert (hardware.rung, hardware.precision) == ("explicit", "fp32")
    for options in ({"precision": "tf32"}, {"rung": "fused"}):
        name, value = next(iter(options.items()))
        with pytest.raises(DeviceError, match=rf"{name} '{value}' needs .*has 7\.5; use --{name}"):
            Hardware.choose("cuda", **options)


@pytest.mark.parametrize("options", [{"rung": "fused"}, {"precision": "tf32"}])
def test_a_rung_without_a_gpu_is_refused(options):
    name, value = next(iter(options.items()))
    with pytest.raises(OptionError, match=f"--{name} {value} is for a GPU; add --device cuda"):
        Hardware.choose("cpu", **options)
