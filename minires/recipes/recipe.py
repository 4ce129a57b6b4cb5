"""Recipe: everything that decides how a run ends, as data."""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace

from minires.data import NORMALIZATIONS
from minires.errors import CheckpointError, OptionError
from minires.optim import cosine, plateau, step_decay, warm_up, warm_up_for
from minires.recipes.fields import check_fields, flag, number, whole_number, whole_numbers, word


@dataclass(frozen=True)
class Recipe:
    """A training run as data. The same recipe on the same machine, with as many threads, gives the same bits.

    Errors are percentages, `iterations`, `drops`, `warm_up_steps` and the `..._every` fields are steps
    (batches). Pictures that are all small are augmented by `crop_padding` and `flip`, photos by `crop_size`,
    then `crop_scales` or `crop_area`, `flip` and `colour_noise`.

    Raises OptionError for values out of range, or that contradict each other.
    """

    model: str
    data: str
    iterations: int = whole_number(least=1)
    batch_size: int = whole_number(128, least=1)
    seed: int = whole_number(0, least=0)
    model_options: dict = field(default_factory=dict)
    data_options: dict = field(default_factory=dict)

    learning_rate: float = number(0.1, least=0)
    schedule: str = word("steps", ("steps", "cosine", "plateau"))
    drops: tuple[int, ...] = whole_numbers()  # for "steps": when the rate is multiplied by drop_factor
    drop_factor: float = number(0.1, bounds=(0, 1))
    # For "plateau": a drop after `patience` evaluations without a new lowest test error, at most max_drops.
    patience: int = whole_number(5, least=1)
    max_drops: int | None = whole_number(None, least=1, optional=True)
    # The learning rate at first: for warm_up_steps, or without these until the training error falls below
    # warm_up_error.
    warm_up_rate: float | None = number(None, least=0, optional=True)
    warm_up_steps: int | None = whole_number(None, least=1, optional=True)
    warm_up_error: float = number(80.0, least=0)
    momentum: float = number(0.9, least=0)
    nesterov: bool = flag(False)
    weight_decay: float = number(1e-4, least=0)
    average_weights: bool = flag(False)  # evaluate the mean of the weights after each step of the second half

    normalization: str = word("pixel", NORMALIZATIONS)
    crop_padding: int = whole_number(0, least=0)
    padding_mode: str = word("zero", ("zero", "reflect"))
    flip: bool = flag(False)
    crop_size: int | None = whole_number(None, least=1, optional=True)  # side of the square cut from a photo
    crop_scales: tuple[int, int] | None = None  # before that, its shorter side gets a length in this range
    crop_area: bool = flag(False)  # or a part of random area and shape is resized to the square
    colour_noise: float = number(0.0, least=0)  # deviation along the principal components of the colours

    log_every: int = whole_number(100, least=1)
    evaluate_every: int = whole_number(391, least=1)

    def __post_init__(self):
        check_fields(self)
        if "generator" in self.model_options:
            raise OptionError("recipe: model_options cannot hold a generator; the seed decides the weights")
        if self.warm_up_steps is not None and self.warm_up_rate is None:
            raise OptionError(f"recipe: warm_up_steps {self.warm_up_steps} needs a warm_up_rate")
        self._check_crops()
        self._schedule()  # refuses numbers that make no schedule

    def _check_crops(self):
        size, scales = self.crop_size, self.crop_scales
        if size is None:
            if scales is not None or self.crop_area:
                raise OptionError("recipe: crop_scales and crop_area need a crop_size")
            return
        if self.crop_padding:
            raise OptionError(
                f"recipe: crop_size {size} is for photos and crop_padding {self.crop_padding} for small "
                "pictures; set one of them"
            )
        if scales is not None and self.crop_area:
            raise OptionError(f"recipe: crop_area takes the place of crop_scales {scales}; set one of them")
        pair = isinstance(scales, (tuple, list)) and len(scales) == 2
        if scales is not None and not (pair and size <= scales[0] <= scales[1]):
            raise OptionError(
                f"recipe: crop_scales must be (low, high) with crop_size {size} <= low <= high, not {scales}"
            )

    @property
    def central_square(self):
        """Whether crops come from the central square of a photo, as AlexNet's with its one scale do."""
        return self.crop_scales is not None and self.crop_scales[0] == self.crop_scales[1]

    def learning_rate_at(self, step, lowest_error=100.0, evaluations=()):
        """The learning rate after `step` steps.

        lowest_error: the lowest training error so far; evaluations: all test errors so far, in order. Both in
        percent.
        """
        return self._schedule()(step, lowest_error, evaluations)

    def _schedule(self):
        """The learning rate as a function, see optim/schedule.py."""
        if self.schedule == "cosine":
            schedule = cosine(self.learning_rate, self.iterations)
        elif self.schedule == "plateau":
            schedule = plateau(self.learning_rate, self.patience, self.max_drops, self.drop_factor)
        else:
            schedule = step_decay(self.learning_rate, self.drops, self.drop_factor)
        if self.warm_up_steps is not None:
            schedule = warm_up_for(self.warm_up_rate, self.warm_up_steps, schedule)
        elif self.warm_up_rate is not None:
            schedule = warm_up(self.warm_up_rate, self.warm_up_error, schedule)
        return schedule

    def shortened(self, iterations):
        """The same protocol over fewer or more iterations: drops and warm-up steps move in proportion.

        A plateau's patience keeps its number of evaluations.
        """

        def scaled(step):
            return max(1, round(step * iterations / self.iterations))

        warm_up_steps = None if self.warm_up_steps is None else scaled(self.warm_up_steps)
        drops = tuple(scaled(drop) for drop in self.drops)
        return replace(self, iterations=iterations, drops=drops, warm_up_steps=warm_up_steps)

    def to_json(self):
        """A dict for json.dumps."""
        return asdict(self)

    @classmethod
    def from_json(cls, values):
        """The inverse of `to_json`. A field that is missing in an older recipe takes its default.

        Raises CheckpointError for an unknown field, and for one that is missing and has no default.
        """
        optional = {f.name for f in fields(cls) if (f.default, f.default_factory) != (MISSING, MISSING)}
        known = {f.name for f in fields(cls)}
        unknown, missing = set(values) - known, known - optional - set(values)
        if unknown or missing:
            raise CheckpointError(
                f"not a recipe that this version knows; unknown fields {sorted(unknown)}, missing "
                f"{sorted(missing)}; use the version of minires that wrote it"
            )
        lists = ("drops", "crop_scales")
        return cls(**{k: tuple(v) if k in lists and v is not None else v for k, v in values.items()})

    def differences(self, other):
        """Names of the fields in which another recipe differs, except the data's folder and workers."""
        own_values, other_values = self.to_json(), other.to_json()
        for values in (own_values, other_values):
            options = values["data_options"].items()
            values["data_options"] = {k: v for k, v in options if k not in ("data_dir", "workers")}
        return [name for name, value in own_values.items() if _listed(value) != _listed(other_values[name])]


def _listed(value):
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (list, tuple)) else value
