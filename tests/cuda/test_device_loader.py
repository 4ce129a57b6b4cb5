"""A loader's batches on the GPU: the same bits as on the CPU, also if drawing them is recorded in a graph."""

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


def assert_same(batch, expected):
    """Assert that a batch on the GPU has the same bits as one on the CPU."""
    for array, expected_array in zip(batch, expected, strict=True):
        array = array.get()
        assert (array.shape, array.dtype) == (expected_array.shape, expected_array.dtype)
        np.testing.assert_array_equal(array, expected_array)


@pytest.mark.parametrize("padding_mode", ["zero", "reflect"])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("C", [1, 3])
def test_batches_are_those_of_the_loader(cupy, padding_mode, flip, normalization, C):
    """In any order of steps: each batch depends on the seed and the step alone."""
    data = split(C=C)
    options = {
        "normalize": NORMALIZATIONS[normalization](data.images),
        "augment": CropAndFlip(2, flip, padding_mode),
        "seed": 2**70,
    }
    loader, gpu_loader = Loader(data, 4, **options), on_device(Loader(data, 4, **options), classes=10)
    assert (type(gpu_loader), len(gpu_loader)) == (DeviceLoader, 3)
    for step in (0, 1, 2, 3, 100, 5, 4, 1):
        assert_same(gpu_loader.batch(step), loader.batch(step))
        assert gpu_loader.prepare(step) == len(loader.batch(step)[1])


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True}, {"seed": 3}])
def test_epochs_without_augmentation(cupy, options):
    data = split()
    loader, gpu_loader = Loader(data, 4, **options), on_device(Loader(data, 4, **options))
    assert type(gpu_loader) is DeviceLoader
    for epoch in (0, 1, 0):
        for batch, expected in zip(gpu_loader.epoch(epoch), loader.epoch(epoch), strict=True):
            assert_same(batch, expected)


def test_images_that_are_stored_in_another_order(cupy):
    data = split()
    reordered = Split(np.asfortranarray(data.images), np.repeat(data.labels, 2)[::2])
    loader = Loader(reordered, 4, augment=CropAndFlip(1))
    assert_same(on_device(loader).batch(1), loader.batch(1))


def test_a_recorded_draw_makes_every_batch(cupy):
    """Over three epochs and back. The last, smaller batch of an epoch has its own recording."""
    loader = Loader(split(), 4, augment=CropAndFlip(2), seed=5)
    gpu_loader, recorder, recorded = on_device(loader), Recorder(), {}
    with recorder.working():
        for step in (0, 2):
            N, batch = len(gpu_loader.batch(step)[1]), []
            recorded[N] = recorder.record(lambda N=N, batch=batch: batch.extend(gpu_loader.draw(N))), batch
        assert sorted(recorded) == [3, 4]
        for step in (*range(9), 4, 4, 1):
            repeat, batch = recorded[gpu_loader.prepare(step)]
            repeat()
            assert_same(batch, loader.batch(step))


def test_two_runs_have_the_same_bits(cupy):
    first, second = (on_device(Loader(split(), 4, augment=CropAndFlip(2), seed=5)) for _ in range(2))
    for step in range(4):
        for one, other in zip(first.batch(step), second.batch(step), strict=True):
            np.testing.assert_array_equal(one.get(), other.get())


class OtherSplit(Split):
    """A subclass, which might read its images in another way."""


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
def test_batches_that_the_gpu_cannot_make_are_made_on_the_cpu(cupy, name, loader):
    gpu_loader = on_device(loader)
    assert (type(gpu_loader), len(gpu_loader)) == (HostLoader, len(loader))
    assert_same(gpu_loader.batch(4), loader.batch(4))
    for step in (0, 5, 1):  # two shapes
        assert_same(gpu_loader.draw(gpu_loader.prepare(step)), loader.batch(step))
    for batch, expected in zip(gpu_loader.epoch(1), loader.epoch(1), strict=True):
        assert_same(batch, expected)


def test_a_composition_of_one_crop_or_of_nothing_is_made_on_the_gpu(cupy):
    for parts in ((CropAndFlip(1),), ()):
        loader = Loader(split(), 4, augment=Compose(parts))
        assert type(on_device(loader)) is DeviceLoader
        assert_same(on_device(loader).batch(3), loader.batch(3))


@pytest.mark.parametrize("wrong", [-1, 10])
def test_labels_are_checked_at_the_start_because_a_graph_cannot_check_them(cupy, wrong):
    data = split()
    data.labels[7] = wrong
    with pytest.raises(DataError, match=rf"label {wrong} is out of range for 10 classes \(0 to 9\)"):
        on_device(Loader(data, 4), classes=10)
    on_device(Loader(data, 4))
