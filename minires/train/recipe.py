"""Recipe: everything that decides how a run ends, as data. One function for each published protocol."""

import re
from dataclasses import asdict, dataclass, field, fields, replace

from minires.data import NORMALIZATIONS
from minires.errors import CheckpointError, OptionError, UnknownNameError
from minires.optim import cosine, step_decay, warm_up

SCHEDULES = ("steps", "cosine")


@dataclass(frozen=True)
class Recipe:
    """A training run as data: same recipe, machine and threads, same weights to the last bit.

    Errors are percentages, `iterations`, `drops` and the `..._every` fields are steps (batches).
    """

    model: str
    data: str
    iterations: int
    batch_size: int = 128
    seed: int = 0
    model_options: dict = field(default_factory=dict)
    data_options: dict = field(default_factory=dict)
    learning_rate: float = 0.1
    schedule: str = "steps"  # or "cosine"
    drops: tuple[int, ...] = ()  # for "steps": the learning rate is divided by 10 at each
    warm_up_rate: float | None = None  # the learning rate until the training error falls below warm_up_error
    warm_up_error: float = 80.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    normalization: str = "pixel"  # or "channel"
    crop_padding: int = 0
    flip: bool = False
    log_every: int = 100
    evaluate_every: int = 391

    def __post_init__(self):
        for name in ("iterations", "batch_size", "log_every", "evaluate_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"recipe: {name} must be at least 1, not {getattr(self, name)}")
        if self.schedule not in SCHEDULES:
            raise UnknownNameError("schedule", self.schedule, SCHEDULES)
        if self.normalization not in NORMALIZATIONS:
            raise UnknownNameError("normalization", self.normalization, NORMALIZATIONS)
        if self.seed < 0:
            raise OptionError(f"recipe: seed must be at least 0, not {self.seed}")

    def learning_rate_at(self, step, lowest_error=100.0):
        """The learning rate after `step` steps, the lowest training error so far being `lowest_error` %."""
        if self.schedule == "cosine":
            schedule = cosine(self.learning_rate, self.iterations)
        else:
            schedule = step_decay(self.learning_rate, self.drops)
        if self.warm_up_rate is not None:
            schedule = warm_up(self.warm_up_rate, self.warm_up_error, schedule)
        return schedule(step, lowest_error)

    def shortened(self, iterations):
        """The same protocol over fewer or more iterations: the drops move in proportion."""
        drops = tuple(max(1, round(drop * iterations / self.iterations)) for drop in self.drops)
        return replace(self, iterations=iterations, drops=drops)

    def to_json(self):
        """A dict for json.dumps."""
        return asdict(self)

    @classmethod
    def from_json(cls, values):
        """The inverse of `to_json`; CheckpointError if a field is missing or of another version."""
        known = {f.name for f in fields(cls)}
        if set(values) != known:
            raise CheckpointError(
                f"not a recipe of this version; fields that differ: {sorted(set(values) ^ known)}"
            )
        return cls(**values | {"drops": tuple(values["drops"])})

    def differences(self, other):
        """Names of the fields in which another recipe differs; where the data lies does not count."""
        mine, theirs = self.to_json(), other.to_json()
        for values in (mine, theirs):
            values["data_options"] = {k: v for k, v in values["data_options"].items() if k != "data_dir"}
        return [name for name in mine if _listed(mine[name]) != _listed(theirs[name])]


def _listed(value):
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (list, tuple)) else value


def augmentation(dataset):
    """Pad 4, crop and flip for pictures; nothing for digits, whose mirror images mean something else."""
    return {} if dataset.name == "digits" else {"crop_padding": 4, "flip": True}


def epoch_length(dataset, batch_size):
    """Batches in an epoch, a smaller last one included."""
    if batch_size < 1:
        raise OptionError(f"recipe: batch_size must be at least 1, not {batch_size}")
    return -(-len(dataset.train) // batch_size)


def paper(model, dataset, **options):
    """The ResNet paper's CIFAR protocol (He et al. 2015, section 4.2).

    64,000 iterations of 128 images, learning rate 0.1 divided by 10 at 32,000 and 48,000, weight decay 1e-4,
    momentum 0.9, per-pixel mean subtracted, pad 4, random crop and flip; from 110 layers on a warm-up at 0.01
    until the training error is below 80 %.
    """
    depth = re.search(r"\d+", model)
    warm = {"warm_up_rate": 0.01} if depth and int(depth[0]) >= 110 else {}
    batch_size = options.setdefault("batch_size", 128)
    defaults = {
        "iterations": 64_000,
        "drops": (32_000, 48_000),
        "evaluate_every": epoch_length(dataset, batch_size),
    }
    return Recipe(model=model, data=dataset.name, **defaults | augmentation(dataset) | warm | options)


def quick(model, dataset, **options):
    """Ten epochs for a laptop: cosine schedule, Nesterov momentum and five times the paper's weight decay."""
    batch_size = options.setdefault("batch_size", 128)
    epoch = epoch_length(dataset, batch_size)
    defaults = {
        "iterations": 10 * epoch,
        "schedule": "cosine",
        "nesterov": True,
        "weight_decay": 5e-4,
        "log_every": min(100, epoch),
        "evaluate_every": epoch,
    }
    return Recipe(model=model, data=dataset.name, **defaults | augmentation(dataset) | options)


RECIPES = {"paper": paper, "quick": quick}
