"""Networks' predictions for images: probabilities, classifiers, ensembles."""

import numpy as np
import pytest
from PIL import Image

from minires import Tensor, data, nn, no_grad
from minires.data import CentreCrop, TenCrops, class_names
from minires.errors import CheckpointError, DataError, OptionError
from minires.models import CifarResNet, create, write_weights
from minires.models.convnet import ConvNet
from minires.nn.functional import softmax
from minires.nn.init import skip_init
from minires.train import (
    Classifier,
    evaluate_run,
    evaluate_together,
    guesses,
    load_run,
    probabilities,
    quick,
    score,
    train,
)
from minires.train.classifier import CIFAR
from minires.train.evaluation import build_test_loader
from minires.train.prediction import probabilities_of_whole_photos

NARROW = {"widths": (4, 6, 8)}


@pytest.fixture
def net(rng):
    return CifarResNet(8, generator=rng, **NARROW)


def softmax_of(net, x):
    with no_grad():
        return softmax(net.eval()(Tensor(x))).numpy()


def test_probabilities_are_the_softmax_in_evaluation(net, rng):
    x = rng.standard_normal((3, 3, 16, 16)).astype("float32")
    net(Tensor(x))  # moves the running statistics
    p = probabilities(net, x)
    assert net.training
    np.testing.assert_array_equal(p, softmax_of(net, x))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_several_views_are_averaged_after_the_softmax(net, rng):
    x = (3 * rng.standard_normal((2, 10, 3, 16, 16))).astype("float32")
    expected = np.stack([softmax_of(net, views).mean(axis=0) for views in x])
    np.testing.assert_allclose(probabilities(net, x), expected, rtol=1e-5)


def test_a_whole_photo_of_any_size(net, rng):
    x = rng.standard_normal((1, 3, 20, 28)).astype("float32")
    np.testing.assert_array_equal(probabilities_of_whole_photos(net, x), softmax_of(net, x))


@pytest.fixture
def convnet(rng):
    """Two convolutional layers and two fully connected ones over 3 x 3 positions, each of 4 x 4 pixels."""
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4))
    layers = nn.Sequential(nn.Linear(4 * 9, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 5))
    return ConvNet(features, 3, layers, generator=rng).eval()


def test_score_map_of_one_window_is_the_network(convnet, rng):
    x = Tensor(rng.standard_normal((2, 3, 12, 12)), dtype="float32")
    with no_grad():
        y = convnet.score_map(x).numpy()
        assert y.shape == (2, 5, 1, 1)
        np.testing.assert_allclose(y[:, :, 0, 0], convnet(x).numpy(), rtol=0, atol=1e-6)


def test_score_map_slides_the_classifier_over_a_larger_photo(convnet, rng):
    x = Tensor(rng.standard_normal((1, 3, 20, 16)), dtype="float32")
    with no_grad():
        y, features = convnet.score_map(x).numpy(), convnet.features(x)
        for i in range(3):
            for j in range(2):
                window = convnet.classifier(features[:, :, i : i + 3, j : j + 3].flatten(1)).numpy()
                np.testing.assert_allclose(y[:, :, i, j], window, rtol=0, atol=1e-6)
    assert y.shape == (1, 5, 3, 2)
    p = probabilities_of_whole_photos(convnet, x.numpy())
    np.testing.assert_allclose(p, softmax(Tensor(y.mean(axis=(2, 3)))).numpy(), rtol=1e-5)


def test_guesses_are_sorted():
    best = guesses(np.array([0.1, 0.6, 0.3]), ("cat", "dog", "bird"), count=2)
    assert [(guess.name, guess.label, guess.probability) for guess in best] == [
        ("dog", 1, 0.6),
        ("bird", 2, 0.3),
    ]


# ---- classifiers


@pytest.fixture
def photo(rng):
    return Image.fromarray(rng.integers(0, 256, (40, 52, 3), dtype=np.uint8))


@pytest.fixture
def weights(tmp_path, net):
    write_weights(net.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_classifier_normalizes_and_crops(net, weights, photo):
    classifier = Classifier.from_weights("resnet8", weights, NARROW)
    assert classifier.classes[:2] == ("airplane", "automobile")
    pixels = np.asarray(CentreCrop(32, 32)(photo)).transpose(2, 0, 1) / 255
    mean, std = (np.array(values)[:, None, None] for values in CIFAR)
    x = ((pixels - mean) / std)[None].astype("float32")
    np.testing.assert_allclose(classifier(photo), softmax_of(net, x)[0], rtol=1e-4)


def test_classifier_averages_ten_crops(net, weights, photo):
    classifier = Classifier.from_weights("resnet8", weights, NARROW, mean=(0.5,) * 3, std=(0.25,) * 3)
    crops = [np.asarray(crop).transpose(2, 0, 1) for crop in TenCrops(32, 37)(photo)]
    x = ((np.stack(crops) / 255 - 0.5) / 0.25).astype("float32")
    np.testing.assert_allclose(classifier(photo, crops=10), softmax_of(net, x).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5, 0.5)}, "mean must be 3 numbers, one for each channel, not \\(0.5, 0.5\\)"),
        ({"std": (0.5, 0, 0.5)}, "std must be 3 positive numbers"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(weights, options, message):
    with pytest.raises(OptionError, match=message):
        Classifier.from_weights("resnet8", weights, NARROW, **options)


def test_weights_that_are_not_finite_are_refused(tmp_path, net, photo):
    net.fc.bias.data[0] = np.nan
    write_weights(net.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="the network's probabilities are not finite"):
        Classifier.from_weights("resnet8", tmp_path / "w.safetensors", NARROW)(photo)


@pytest.mark.parametrize("heads", [True, False])
def test_googlenet_loads_with_and_without_its_heads(tmp_path, heads):
    """Libraries remove the heads from trained weights."""
    with skip_init():
        state = create("googlenet", heads=heads, classes=4).state_dict()
    write_weights(state, tmp_path / "w.safetensors")
    classifier = Classifier.from_weights("googlenet", tmp_path / "w.safetensors", {"classes": 4})
    assert (classifier.model.aux1 is not None) == heads
    assert len(classifier.classes) == 4


def test_weights_of_another_shape_are_refused(weights):
    with pytest.raises(CheckpointError, match=r"conv1.weight has shape \(4, 3, 3, 3\), not \(16, 3, 3, 3\)"):
        Classifier.from_weights("resnet8", weights)


def test_other_numbers_of_crops_are_refused(weights, photo):
    with pytest.raises(OptionError, match="crops must be 1 or 10, not 5"):
        Classifier.from_weights("resnet8", weights, NARROW)(photo, crops=5)


def test_the_known_classes():
    imagenet, cifar10, cifar100 = (class_names(n) for n in (1000, 10, 100))
    assert [len(set(names)) for names in (imagenet, cifar10, cifar100)] == [1000, 10, 100]
    assert (imagenet[0], imagenet[207], imagenet[-1]) == ("tench", "golden retriever", "toilet tissue")
    assert cifar100 == tuple(sorted(cifar100))
    assert class_names(3) == ("class 0", "class 1", "class 2")


def test_class_names_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("red fox\ncat\n\n")
    assert class_names(2, tmp_path / "names.txt") == ("red fox", "cat")
    with pytest.raises(
        DataError, match=r"names.txt names 2 classes, but the network has 10; write one name on each line"
    ):
        class_names(10, tmp_path / "names.txt")
    with pytest.raises(DataError, match=r"cannot read class names from .*nowhere"):
        class_names(10, tmp_path / "nowhere")


# ---- runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two short runs on digits that differ in their seed."""
    folder, digits = tmp_path_factory.mktemp("runs"), data.digits()
    for seed in (0, 1):
        recipe = quick("resnet8", digits, seed=seed, model_options={"widths": (4, 6, 8)}).shortened(30)
        train(recipe, folder / f"seed{seed}", dataset=digits)
    return [folder / f"seed{seed}" for seed in (0, 1)]


def test_an_ensemble_averages_probabilities(runs):
    results, together = evaluate_together(runs)
    for path, (result_path, result_step, single) in zip(runs, results, strict=True):
        step, loss, error = evaluate_run(path)
        assert (result_path, result_step, single.error) == (path, step, pytest.approx(error))
        assert single.loss == pytest.approx(loss, rel=1e-5)
    trained = [load_run(path) for path in runs]
    loader = build_test_loader(trained[0])
    p = [np.concatenate([probabilities(run.model, x) for x, _ in loader.epoch()]) for run in trained]
    labels = loader.split.labels
    assert together.error == pytest.approx(100 * ((p[0] + p[1]).argmax(1) != labels).mean())
    assert together.loss <= (results[0][2].loss + results[1][2].loss) / 2  # -log is convex


def test_top_five_of_a_score():
    p = np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]] * 4)
    s = score(p, np.array([0, 1, 4, 5]))
    assert (s.error, s.top5_error) == (75, 25)
    assert s.loss == pytest.approx(-np.log([0.3, 0.2, 0.1, 0.08]).mean())


def test_of_equal_probabilities_the_first_is_the_best():
    """As with argmax: a network that gives all classes the same probability is right for one class in ten."""
    s = score(np.full((10, 10), 0.1), np.arange(10))
    assert (s.error, s.top5_error) == (90, 50)
    assert score(np.eye(10)[[0, 0]], np.array([0, 7])).top5_error == 50


def test_runs_on_other_images_are_not_averaged(runs, tmp_path):
    pictures = data.shapes(train=64, test=20)
    recipe = quick("resnet8", pictures, model_options={"widths": (4, 6, 8)}).shortened(1)
    train(recipe, tmp_path / "other", dataset=pictures)
    with pytest.raises(OptionError, match="different test images; evaluate them one by one"):
        evaluate_together([runs[0], tmp_path / "other"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": 10}, r"seed0 has small pictures \(digits\); crops and scales are for photos"),
        ({"scales": (16, 32)}, "crops and scales are for photos"),
        ({"crops": 3}, "crops must be 1 or 10, not 3"),
    ],
)
def test_crops_and_scales_that_do_not_fit_are_refused(runs, options, message):
    with pytest.raises(OptionError, match=message):
        evaluate_together(runs[:1], **options)


def test_a_run_classifies_photos_as_it_was_trained(runs, photo):
    """Digits are grey and 8 x 8 pixels; their mean is that of the run."""
    classifier = Classifier.from_run(runs[0])
    assert (classifier.size, classifier.channels, classifier.classes[3]) == (8, 1, "3")
    p = classifier(photo)
    levels = np.asarray(CentreCrop(8, 8)(photo)).astype(float) @ [0.299, 0.587, 0.114]
    x = classifier.normalize(np.rint(levels)[None, None].astype(np.uint8))
    np.testing.assert_allclose(p, softmax_of(classifier.model, x)[0], rtol=1e-5)


def test_probabilities_are_those_of_the_networks_own_logits(rng):
    class WithHeads(nn.Module):
        def forward(self, x):
            y = x.mean((2, 3))
            return (y, 2 * y) if self.training else y

    x = rng.standard_normal((2, 3, 4, 4)).astype("float32")
    assert probabilities(WithHeads(), x).shape == (2, 3)
