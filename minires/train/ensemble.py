"""Several looks at the test images: ten crops, several scales, several networks; probabilities averaged."""

from dataclasses import dataclass

import numpy as np

from minires.data import ImageFolder, Loader, Normalization, TenCrops, Whole
from minires.errors import DataError, OptionError
from minires.train.evaluation import load_run
from minires.train.prediction import probabilities, probabilities_of_whole


@dataclass(frozen=True)
class Score:
    """How good probabilities are: the mean loss; how often, in percent, the label is not among the best."""

    loss: float
    error: float  # the best one
    top5_error: float  # the best five


def score(p, labels):
    """The Score of probabilities (n, classes) for labels (n,)."""
    own = p[np.arange(len(labels)), labels]
    better = (p > own[:, None]).sum(axis=1)  # classes that are more probable than the label
    tiny = np.finfo(p.dtype).tiny  # a probability may have been rounded to 0
    return Score(
        loss=float(-np.log(np.maximum(own, tiny)).mean()),
        error=100 * float((better >= 1).mean()),
        top5_error=100 * float((better >= 5).mean()),
    )


def evaluate_together(paths, data_dir=None, crops=1, scales=()):
    """Runs one by one and as an ensemble: ([(run, Score), ...], Score of their averaged probabilities).

    crops: 10 looks at photos in ten crops (Krizhevsky et al. 2012, section 4.1).
    scales: looks at whole photos, their shorter side at each of these lengths, and applies the network at
        every position (He et al. 2015, section 3.4: 224, 256, 384, 480, 640).
    Raises OptionError for runs whose test images or classes differ, and for crops and scales of pictures that
    are no photos.
    """
    results, total, first = [], 0, None
    for path in paths:
        run = load_run(path, data_dir)
        p, labels = look(run, crops, scales)
        if first is None:
            first = run, labels
        elif run.dataset.classes != first[0].dataset.classes or not np.array_equal(labels, first[1]):
            raise OptionError(
                f"{path} and {first[0].path} have different test images; evaluate them one by one"
            )
        results.append((run, score(p, labels)))
        total = total + p
    return results, score(total / len(results), first[1])


def look(run, crops=1, scales=()):
    """(probabilities (n, classes), labels (n,)) of a TrainedRun for its test images."""
    if crops not in (1, 10):
        raise OptionError(f"crops must be 1 or 10, not {crops!r}")
    test = run.test_loader.split
    if (crops == 10 or scales) and not isinstance(test, ImageFolder):
        raise OptionError(
            f"{run.path} has small pictures ({run.recipe.data}); crops and scales are for photos"
        )
    if crops == 10 and scales:
        raise OptionError("give crops or scales, not both")
    normalize = run.test_loader.normalize
    if scales:
        looks = [every(run.model, test.seen_through(Whole(s)), any_size(normalize), 1) for s in scales]
        return sum(p for p, _ in looks) / len(looks), looks[0][1]
    if crops == 10:
        test = test.seen_through(TenCrops(test.view.size, round(test.view.size * 8 / 7)))
    return every(run.model, test, normalize, max(1, run.test_loader.batch_size // crops))


def every(model, split, normalize, batch_size):
    """(probabilities, labels) of all images of a split."""
    loader = Loader(split, batch_size, normalize=normalize, shuffle=False)
    whole = isinstance(getattr(split, "view", None), Whole)
    ask = probabilities_of_whole if whole else probabilities
    parts = [(ask(model, x), labels) for x, labels in loader.epoch()]
    if not parts:
        raise DataError("there are no images to evaluate on")
    p, labels = zip(*parts, strict=True)
    return np.concatenate(p), np.concatenate(labels)


def any_size(normalize):
    """A normalization for images of any size: the mean of each pixel becomes that of its channel."""
    mean = np.asarray(normalize.mean)
    return Normalization(mean.mean(axis=(-2, -1), keepdims=True) if mean.ndim else mean, normalize.std)
