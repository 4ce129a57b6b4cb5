"""A ResNet-20 trained in another framework gives the same logits and errors with minires."""

import importlib.util

import numpy as np
import pytest

from minires import Tensor, models, no_grad

safetensors = pytest.importorskip("safetensors.numpy")

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@pytest.fixture(scope="module")
def network(shared):
    state = safetensors.load_file(shared / "reference" / "cifar_resnet20.safetensors")
    net = models.create("resnet20")
    net.load_state_dict({name.replace("linear.", "fc."): array for name, array in state.items()})
    return net.eval()


@pytest.fixture(scope="module")
def expected(shared):
    with np.load(shared / "reference" / "cifar_resnet20_logits.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def images_and_labels(shared):
    """Images as the network expects them, (10000, 3, 32, 32), and labels."""
    spec = importlib.util.spec_from_file_location("make_cifar10", shared / "data" / "make_cifar10.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with np.load(shared / "data" / "cifar10-jpeg.npz") as archive:
        images, labels = script.decode(archive, "test")
    return (images.astype(np.float32) / 255 - MEAN) / STD, labels


def test_logits_of_the_first_256_images(network, expected, images_and_labels):
    images, _ = images_and_labels
    with no_grad():
        logits = network(Tensor(images[:256])).numpy()
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_errors_on_the_whole_test_set(network, expected, images_and_labels):
    """Two images may be classified differently: rounding decides where two logits are nearly equal."""
    images, labels = images_and_labels
    wrong = 0
    with no_grad():
        for start in range(0, len(images), 50):
            batch = slice(start, start + 50)
            wrong += int((network(Tensor(images[batch])).numpy().argmax(1) != labels[batch]).sum())
    assert abs(wrong - int(expected["wrong"])) <= 2
