"""A loader's batches on the GPU: the same bits as on the CPU, also where drawing them is recorded."""

import numpy as np
import pytest

from minires.backend.cuda.graph import Recorder
from minires.data import (
    NORMALIZATIONS,
    ColourNoise,
    Compose,
    CropAndFlip,
    Loader,
    Normalization,
    Split,
    principal_components,
)
from minires.data.augment import to_unit
from minires.data.device_loader import DeviceLoader, HostLoader, on_device
from minires.errors import DataError


def split(n=11, C=3, H=6, W=5):
    rng = np.random.default_rng(n)
    return Split(rng.integers(0, 256, (n, C, H, W), np.uint8), rng.integers(0, 10, n))


def assert_same(ours, expected):
    """Batches with the same bits, ours on the GPU."""
    for array, other in zip(ours, expected, strict=True):
        array = array.get()
        assert (array.shape, array.dtype) == (other.shape, other.dtype)
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("padding_mode", ["zero", "reflect"])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("C", [1, 3])
def test_batches_are_those_of_the_loader(cupy, padding_mode, flip, normalization, C):
    """In any order of steps: each one depends on seed and step alone."""
    data = split(C=C)
    options = {
        "normalize": NORMALIZATIONS[normalization](data.images),
        "augment": CropAndFlip(2, flip, padding_mode),
        "seed": 2**70,
    }
    loader, here = Loader(data, 4, **options), on_device(Loader(data, 4, **options), classes=10)
    assert (type(here), len(here)) == (DeviceLoader, 3)
    for step in (0, 1, 2, 3, 100, 5, 4, 1):
        assert_same(here.batch(step), loader.batch(step))
        assert here.prepare(step) == len(loader.batch(step)[1])


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}, {"seed": 3}])
def test_epochs_without_augmentation(cupy, options):
    data = split()
    loader, here = Loader(data, 4, **options), on_device(Loader(data, 4, **options))
    assert type(here) is DeviceLoader
    for epoch in (0, 1, 0):
        for ours, expected in zip(here.epoch(epoch), loader.epoch(epoch), strict=True):
            assert_same(ours, expected)


def test_images_that_do_not_lie_in_order(cupy):
    data = split()
    turned = Split(np.asfortranarray(data.images), np.repeat(data.labels, 2)[::2])
    loader = Loader(turned, 4, augment=CropAndFlip(1))
    assert_same(on_device(loader).batch(1), loader.batch(1))


def test_a_recorded_draw_makes_every_batch(cupy):
    """Over three epochs and back; the last batch of an epoch has a recording of its own."""
    loader = Loader(split(), 4, augment=CropAndFlip(2), seed=5)
    here, recorder, recorded = on_device(loader), Recorder(), {}
    with recorder.working():
        for step in (0, 2):
            N, batch = len(here.batch(step)[1]), []
            recorded[N] = recorder.record(lambda N=N, batch=batch: batch.extend(here.draw(N))), batch
        assert sorted(recorded) == [3, 4]
        for step in (*range(9), 4, 4, 1):
            repeat, batch = recorded[here.prepare(step)]
            repeat()
            assert_same(batch, loader.batch(step))


def test_two_runs_have_the_same_bits(cupy):
    one, two = (on_device(Loader(split(), 4, augment=CropAndFlip(2), seed=5)) for _ in range(2))
    for step in range(4):
        for ours, again in zip(one.batch(step), two.batch(step), strict=True):
            np.testing.assert_array_equal(ours.get(), again.get())


class OtherSplit(Split):
    """Who knows how it reads."""


def loaders():
    data = split()
    noise = ColourNoise(*principal_components(data.images))
    yield "colour noise", Loader(data, 4, augment=noise)
    yield "two augmentations", Loader(data, 4, augment=Compose((CropAndFlip(1), noise)))
    yield "two crops", Loader(data, 4, augment=Compose((CropAndFlip(1), CropAndFlip(2))))
    yield "another split", Loader(OtherSplit(data.images, data.labels), 4)
    yield "another normalization", Loader(data, 4, normalize=lambda images: to_unit(images) * 2)
    yield "statistics in float64", Loader(data, 4, normalize=Normalization(np.full((3, 1, 1), 0.3), 1.0))


@pytest.mark.parametrize(("name", "loader"), list(loaders()))
def test_what_a_gpu_does_not_make_the_host_does(cupy, name, loader):
    here = on_device(loader)
    assert (type(here), len(here)) == (HostLoader, len(loader))
    assert_same(here.batch(4), loader.batch(4))
    for step in (0, 5, 1):  # two shapes
        assert_same(here.draw(here.prepare(step)), loader.batch(step))
    for ours, expected in zip(here.epoch(1), loader.epoch(1), strict=True):
        assert_same(ours, expected)


def test_a_composition_of_one_crop_or_of_nothing_is_made_on_the_gpu(cupy):
    for parts in ((CropAndFlip(1),), ()):
        loader = Loader(split(), 4, augment=Compose(parts))
        assert type(on_device(loader)) is DeviceLoader
        assert_same(on_device(loader).batch(3), loader.batch(3))


@pytest.mark.parametrize("wrong", [-1, 10])
def test_labels_are_checked_before_a_graph_cannot(cupy, wrong):
    data = split()
    data.labels[7] = wrong
    with pytest.raises(DataError, match=rf"label {wrong} is out of range for 10 classes \(0 to 9\)"):
        on_device(Loader(data, 4), classes=10)
    on_device(Loader(data, 4))
