"""convert, predict and evaluate at the command line: their output, files and errors."""

import re

import numpy as np
import pytest
from command import minires, minires_process
from PIL import Image
from safetensors.numpy import load_file, save_file

from minires.data import class_names
from minires.models import CifarResNet, create, write_weights

SMALL = ("--model", "resnet8", "--option", "widths=4,6,8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights under the names of minires and under others, three photos, and a file that is no photo."""
    path = tmp_path_factory.mktemp("weights")
    rng = np.random.default_rng(0)
    state = CifarResNet(8, widths=(4, 6, 8), generator=rng).state_dict()
    save_file(state, path / "native.safetensors")
    save_file(
        {f"module.{name.replace('fc', 'linear')}": a for name, a in state.items()},
        path / "other.safetensors",
    )
    for i, size in enumerate([(40, 52), (32, 32), (200, 90)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path / f"photo{i}.png")
    (path / "broken.jpg").write_bytes(b"no photo")
    return path


def test_convert_renames_and_fits(folder, tmp_path):
    renames = ("--rename", "^module.=", "--rename", "linear=fc")
    result = minires("convert", folder / "other.safetensors", tmp_path / "new.safetensors", *SMALL, *renames)
    assert result.returncode == 0, result.stderr
    assert "tensors, which fit resnet8" in result.stdout
    new, expected = load_file(tmp_path / "new.safetensors"), load_file(folder / "native.safetensors")
    assert new.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(new[name], array)


def test_convert_lists_what_does_not_fit_and_writes_nothing(folder, tmp_path):
    target = tmp_path / "new.safetensors"
    result = minires("convert", folder / "other.safetensors", target, *SMALL, "--rename", "^module.=")
    assert result.returncode == 2
    assert set(result.stdout.split("\n")[:4]) == {
        "missing fc.weight",
        "missing fc.bias",
        "unexpected linear.weight",
        "unexpected linear.bias",
    }
    assert "2 tensors are missing and 0 have another shape or dtype; nothing is written" in result.stderr
    assert not target.exists()


def test_convert_leaves_out_what_the_network_does_not_have(folder, tmp_path):
    state = load_file(folder / "native.safetensors") | {"head.weight": np.zeros(3, np.float32)}
    save_file(state, tmp_path / "more.safetensors")
    result = minires("convert", tmp_path / "more.safetensors", tmp_path / "new.safetensors", *SMALL)
    assert result.returncode == 0, result.stderr
    assert "unexpected head.weight" in result.stdout
    assert "head.weight" not in load_file(tmp_path / "new.safetensors")


def test_convert_without_a_network_only_renames(folder, tmp_path):
    result = minires(
        "convert", folder / "other.safetensors", tmp_path / "new.safetensors", "--rename", "^module.="
    )
    assert result.returncode == 0, result.stderr
    assert "not compared with a network (give --model)" in result.stdout
    assert "linear.weight" in load_file(tmp_path / "new.safetensors")


def test_predict_lists_five_classes_for_each_photo_and_draws_them(folder, tmp_path):
    photos = sorted(folder.glob("photo*.png"))
    weights = ("--weights", folder / "native.safetensors")
    result = minires("predict", *photos, *SMALL, *weights, "--picture", tmp_path / "guesses.png")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"(\w+) +│ +([\d.]+) %", result.stdout)
    assert len(rows) == 15
    assert {name for name, _ in rows} <= set(class_names(10))
    for i in range(3):
        shares = [float(share) for _, share in rows[5 * i : 5 * i + 5]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 100
    with Image.open(tmp_path / "guesses.png") as picture:
        assert picture.format == "PNG"


def test_predict_by_ten_crops_with_given_names_and_statistics(folder, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"kind {i}" for i in range(10)))
    result = minires(
        "predict",
        folder / "photo0.png",
        *SMALL,
        *("--weights", folder / "native.safetensors", "--classes", tmp_path / "names.txt"),
        *("--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--crops", 10),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("kind ") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("photo0.png", "--weights", "native.safetensors"),
            "give the network that the weights are for, as --model",
        ),
        (("photo0.png", "--weights", "no.safetensors", *SMALL), "cannot read weights from no.safetensors"),
        (("no.png", "--weights", "native.safetensors", *SMALL), "cannot read the photo no.png: No such file"),
        (
            ("broken.jpg", "--weights", "native.safetensors", *SMALL),
            "cannot read the photo broken.jpg: Pillow does not recognize",
        ),
        (
            ("photo0.png", "--weights", "other.safetensors", *SMALL),
            "weights do not fit CifarResNet: missing",
        ),
        (
            ("photo0.png", "--weights", "native.safetensors", *SMALL, "--mean", "a,b,c"),
            "--mean must be numbers separated by commas, not 'a,b,c'",
        ),
        (
            ("photo0.png", "--weights", "native.safetensors", *SMALL, "--crops", "2"),
            "crops must be 1 or 10, not 2",
        ),
        (("photo0.png", "--weights", "."), ". holds no run"),
    ],
)
def test_predict_refuses_in_one_line(folder, arguments, message):
    result = minires("predict", *arguments, folder=folder)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("minires: ")
    assert message in line


@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize(("model", "noted"), [("resnet50", 1), ("resnet50_v1_5", 0)])
def test_which_strides_the_weights_of_libraries_are_for_is_said_once(
    folder, tmp_path, model, noted, counters
):
    """By `predict`, and by `convert`, which leaves out PyTorch's counters."""
    state = create(model, generator=0, widths=(4, 4, 4, 4), classes=10).state_dict()
    if counters:
        state["bn1.num_batches_tracked"] = np.array(7)
    write_weights(state, tmp_path / "w.safetensors")
    words = ("--model", model, "--option", "widths=4,4,4,4", "--option", "classes=10")
    for result in (
        minires("predict", folder / "photo0.png", "--weights", tmp_path / "w.safetensors", *words),
        minires("convert", tmp_path / "w.safetensors", tmp_path / "converted.safetensors", *words),
    ):
        assert result.returncode == 0, result.stderr
        said = "torchvision and timm fit it, but are meant for resnet50_v1_5"
        assert (result.stdout + result.stderr).count(said) == noted


def test_an_ensemble_of_runs(tmp_path):
    training = ("--iterations", 6, "--batch-size", 16, "--lr", 0.05, "--option", "widths=2,4,8")
    for seed in (0, 1):
        run = minires("train", "resnet8", *training, "--seed", seed, "--out", tmp_path / f"seed{seed}")
        assert run.returncode == 0, run.stderr
    result = minires("evaluate", tmp_path / "seed0", tmp_path / "seed1")
    assert result.returncode == 0, result.stderr
    assert "ensemble of 2" in result.stdout
    assert result.stdout.count(" % ") == 6
    photo = tmp_path / "photo.png"
    Image.new("L", (30, 20), 128).save(photo)
    guess = minires("predict", photo, "--weights", tmp_path / "seed0")
    assert guess.returncode == 0, guess.stderr
    assert guess.stdout.count(" %") == 5
    refused = minires("predict", photo, "--weights", tmp_path / "seed0", "--model", "resnet8")
    assert "is a run, which has a network" in refused.stderr


def test_a_network_learns_from_a_folder_of_photos(folder, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name, level in (("dark", 60), ("light", 190)):
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for i in range(6):
                pixels = rng.normal(level, 30, (36, 44, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / part / name / f"{i}.png")
    (tmp_path / "photos" / "train" / "dark" / "broken.png").write_bytes(b"no photo")
    words = ("train", "resnet8", "--data", "folder", "--data-dir", tmp_path / "photos", "--batch-size", 6)
    words += ("--iterations", 12, "--option", "widths=4,8,8", "--out", tmp_path / "run")
    refused = minires(*words)
    assert refused.returncode == 2
    assert "broken.png" in refused.stderr
    assert 'load the folder with bad_files="skip"' in refused.stderr
    result = minires_process(*words, "--data-option", "bad_files=skip", "--overwrite", warnings="default")
    assert result.returncode == 0, result.stderr
    assert "left out: cannot read the photo" in result.stderr
    guess = minires("predict", folder / "photo0.png", "--weights", tmp_path / "run", "--crops", 10)
    assert guess.returncode == 0, guess.stderr
    assert {"dark", "light"} < set(guess.stdout.split())
    scales = minires("evaluate", tmp_path / "run", "--scales", "32,48")
    assert scales.returncode == 0, scales.stderr
    assert "top-5 error" in scales.stdout


@pytest.mark.parametrize(("yes", "no"), [("true", "false"), ("True", "False")])
def test_truth_values_of_options_may_be_written_as_in_python(yes, no):
    for value, multiply_adds in ((yes, "3,857,973,248"), (no, "4,089,184,256")):
        result = minires("summary", "resnet50", "--option", f"stride_in_1x1={value}")
        assert multiply_adds in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("convert", "native.safetensors", "new.npz"),
            "weights are written as safetensors; call the file new.safe",
        ),
        (
            ("convert", "native.safetensors", "n.safetensors", "--option", "a=1"),
            "--option is for a network; name the network, for example --model",
        ),
        (
            ("convert", "native.safetensors", "n.safetensors", "--rename", "=x"),
            "a rename must be OLD=NEW, not '=x'",
        ),
        (("train", "resnet8", "--option", "generator=3"), "model_options cannot hold a generator"),
        pytest.param(
            ("train", "alexnet", "--recipe", "paper"),
            "cuts crops of 224 out of photos (--data folder), but the",
            marks=pytest.mark.slow,  # 60 million weights are drawn
        ),
        (("train", "resnet8", "--data-option", "size=3"), "data set 'digits': got an unexpected keyword"),
        (("train", "resnet8", "--data", "folder", "--data-dir", "nowhere"), "nowhere lacks the folder train"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(folder, arguments, message):
    result = minires(*arguments, folder=folder)
    assert result.returncode == 2, result.stdout
    (line,) = result.stderr.splitlines()
    assert message in line
