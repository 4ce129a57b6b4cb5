"""One net of each CIFAR family, and one with each type of shortcut, learns: short runs of the trainer."""

import importlib.util

import numpy as np
import pytest

from minires import data
from minires.data import Dataset, Split
from minires.models.shortcuts import SHORTCUTS
from minires.train import Recipe, train

SHAPES = data.shapes(train=40, test=10, size=12)
NARROW = {"widths": [8, 16, 32]}


def net(model, options=None, **changes):
    """A model's name, its options, and the fields of its recipe that differ from those of other models."""
    return model, options or {}, changes


def with_shortcut(name, **options):
    return net("resnet8", NARROW | {"shortcut": name} | options)


FAMILIES = {
    "basic": net("resnet8", NARROW),
    "bottleneck": net("resnet11", {"widths": [4, 8, 16], "bottleneck": True, "shortcut": "B"}),
    "plain": net("plain20", NARROW, iterations=80),
    "preact": net("preact_resnet8", NARROW),
    "wide": net("wrn_10_2", {"dropout": 0.3}),
    "resnext": net("resnext11_4x4d", iterations=20, learning_rate=0.02),
    # Without batch norm it needs a small step; at 0.02 the ReLUs of its last layer die.
    "nin": net("nin", {"dropout": 0.2}, iterations=120, learning_rate=0.004),
    "B": with_shortcut("B"),
    "C": with_shortcut("C"),
    "constant_scaling": with_shortcut("constant_scaling"),
    # At the papers' -6 this gate lets almost nothing of F through at first.
    "exclusive_gating": with_shortcut("exclusive_gating", gate_bias=0.0),
    "shortcut_gating": with_shortcut("shortcut_gating"),
    "conv1x1": with_shortcut("conv1x1"),
    "dropout": with_shortcut("dropout"),
}


def losses(net, dataset=SHAPES, **changes):
    """The mean losses of the first and of the last five steps."""
    model, options, net_changes = net
    recipe = {"iterations": 40, "batch_size": 20, "learning_rate": 0.05} | net_changes | changes
    recipe |= {"log_every": 1, "evaluate_every": 1000, "normalization": "channel"}
    run = train(Recipe(model=model, data=dataset.name, model_options=options, **recipe), dataset=dataset)
    rows = run.history.series("loss")[1]
    assert len(rows) == recipe["iterations"]
    return np.mean(rows[:5]), np.mean(rows[-5:])


def test_every_shortcut_has_its_run():
    assert set(SHORTCUTS) - {"A", "none"} <= set(FAMILIES)


# The net without batch norm takes as long as all others together. Two shortcuts are in the fast tests.
SLOW = {"nin", "B", "C", "constant_scaling", "shortcut_gating", "conv1x1"}
LEARNING = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in FAMILIES]


@pytest.mark.parametrize("family", LEARNING)
def test_the_loss_falls_to_less_than_half(family):
    first, last = losses(FAMILIES[family])
    assert last < 0.5 * first


@pytest.mark.slow
@pytest.mark.parametrize("family", ["basic", "exclusive_gating", "dropout", "wide"])
def test_without_learning_the_loss_stays(family):
    """Batches, dropout and batch norm's statistics alone do not make the loss fall."""
    first, last = losses(FAMILIES[family], learning_rate=0.0)
    assert 0.9 * first < last < 1.1 * first


@pytest.fixture(scope="module")
def photos(shared):
    """400 real CIFAR-10 images, 40 of each class: 320 to train on."""
    folder = shared / "data"
    spec = importlib.util.spec_from_file_location("make_cifar10", folder / "make_cifar10.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with np.load(folder / "cifar10-jpeg.npz") as archive:
        chosen = slice(None, None, 25)  # the file has them in the order of their classes
        label, size, scan = (archive[f"test_{name}"] for name in ("label", "size", "scan"))
        ends = np.cumsum(size, dtype=np.int64)[chosen]
        scans = [scan[end - n : end] for end, n in zip(ends, size[chosen], strict=True)]
        part = {"test_label": label[chosen], "test_size": size[chosen], "test_scan": np.concatenate(scans)}
        images, labels = script.decode(part | {"header": archive["header"]}, "test")
    labels = labels.astype(np.int64)
    assert np.bincount(labels).tolist() == [40] * 10
    return Dataset(
        "cifar10", Split(images[:320], labels[:320]), Split(images[320:], labels[320:]), tuple("0123456789")
    )


def test_the_loss_falls_on_real_photos(photos):
    """It falls below log(10), too, the loss of guessing."""
    first, last = losses(net("wrn_10_1", iterations=30, batch_size=32), photos)
    assert last < 0.9 * first
    assert last < 2.1
