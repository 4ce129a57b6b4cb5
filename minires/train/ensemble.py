"""Probabilities of the test images, averaged over ten crops, several scales, or several networks."""

from dataclasses import dataclass

import numpy as np

from minires.data import Loader, Normalization, TenCrops, Whole
from minires.errors import DataError, OptionError
from minires.train.evaluation import build_test_loader, load_run
from minires.train.prediction import for_inference, probabilities, probabilities_of_whole_photos


@dataclass(frozen=True)
class Score:
    """How good probabilities are: the mean loss, and the share of wrong predictions in percent."""

    loss: float
    error: float  # the label is not the most probable class
    top5_error: float  # the label is not among the five most probable classes


def score(p, labels):
    """The Score of probabilities (n, classes) for labels (n,). Of equal ones the first counts as highest."""
    label_p = p[np.arange(len(labels)), labels][:, None]
    lower_index = np.arange(p.shape[1]) < labels[:, None]
    rank = ((p > label_p) | ((p == label_p) & lower_index)).sum(axis=1)  # 0 for the most probable class
    tiny = np.finfo(p.dtype).tiny  # a probability may have been rounded to 0
    return Score(
        loss=float(-np.log(np.maximum(label_p, tiny)).mean()),
        error=100 * float((rank >= 1).mean()),
        top5_error=100 * float((rank >= 5).mean()),
    )


def evaluate_together(paths, data_dir=None, crops=1, scales=(), device="cpu"):
    """Runs one by one and as an ensemble: ([(path, step, Score), ...], Score of their mean probabilities).

    crops: 10 averages over ten crops of each photo (Krizhevsky et al. 2012, section 4.1).
    scales: averages over whole photos, their shorter side at each of these lengths; the network is applied at
        every position (He et al. 2015, section 3.4: 224, 256, 384, 480, 640).
    Raises OptionError for runs whose test images differ, and for crops or scales of data without photos.
    """
    results, total, first = [], 0, None
    for path in paths:
        run = load_run(path, data_dir, device)
        loader = build_test_loader(run, data_dir)
        if first is None:
            first, first_split = run, loader.split
        elif run.input_format.classes != first.input_format.classes or not same_images(
            loader.split, first_split
        ):
            raise OptionError(f"{path} and {first.path} have different test images; evaluate them one by one")
        p, labels = probabilities_of_run(run, loader, crops, scales)
        results.append((path, run.step, score(p, labels)))
        total = total + p
    return results, score(total / len(results), labels)


def same_images(split, other):
    """Whether two test splits are of the same images."""
    if split.of_one_size and other.of_one_size:
        return split is other or all(
            np.array_equal(getattr(split, name), getattr(other, name)) for name in ("images", "labels")
        )
    if split.of_one_size or other.of_one_size:
        return False
    return [file.resolve() for file in split.files] == [file.resolve() for file in other.files]


def probabilities_of_run(run, loader, crops=1, scales=()):
    """(probabilities (n, classes), labels (n,)) of a TrainedRun for its test images."""
    split, normalize, model = loader.split, loader.normalize, for_inference(run.model)
    if crops not in (1, 10):
        raise OptionError(f"crops must be 1 or 10, not {crops!r}")
    if crops == 10 and scales:
        raise OptionError("give crops or scales, not both")
    if (crops == 10 or scales) and split.of_one_size:
        raise OptionError(
            f"{run.path} has small pictures ({run.recipe.data}); crops and scales are for photos"
        )
    if scales:
        predictions = [
            probabilities_of_split(model, split.with_view(Whole(s)), for_any_size(normalize), 1)
            for s in scales
        ]
        return sum(p for p, _ in predictions) / len(predictions), predictions[0][1]
    if crops == 10:
        view = split.view
        split = split.with_view(TenCrops(view.size, view.scale, central_square=run.recipe.central_square))
    return probabilities_of_split(model, split, normalize, max(1, loader.batch_size // crops))


def probabilities_of_split(model, split, normalize, batch_size):
    """(probabilities, labels) of all images of a split."""
    loader = Loader(split, batch_size, normalize=normalize, shuffle=False)
    at_every_position = isinstance(getattr(split, "view", None), Whole)
    predict = probabilities_of_whole_photos if at_every_position else probabilities
    parts = [(predict(model, x), labels) for x, labels in loader.epoch()]
    if not parts:
        raise DataError("there are no images to evaluate on")
    p, labels = zip(*parts, strict=True)
    return np.concatenate(p), np.concatenate(labels)


def for_any_size(normalize):
    """A normalization for images of any size: the mean of each pixel becomes that of its channel."""
    mean = normalize.mean
    return Normalization(mean.mean(axis=(-2, -1), keepdims=True) if mean.ndim else mean, normalize.std)
