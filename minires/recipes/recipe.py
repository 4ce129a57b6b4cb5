"""Recipe: everything that decides how a run ends, as data."""

from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from numbers import Integral, Real

from minires.data import NORMALIZATIONS
from minires.errors import CheckpointError, OptionError, UnknownNameError
from minires.optim import cosine, plateau, step_decay, warm_up, warm_up_for

# What the fields with a word may say, of which kind those with a number are, and how small they may be.
WORDS = {
    "schedule": ("steps", "cosine", "plateau"),
    "normalization": tuple(NORMALIZATIONS),
    "padding_mode": ("zero", "reflect"),
}
KINDS = {
    **dict.fromkeys(("iterations", "batch_size", "log_every", "evaluate_every", "seed"), Integral),
    **dict.fromkeys(("patience", "max_drops", "warm_up_steps", "crop_size", "crop_padding"), Integral),
    **dict.fromkeys(("learning_rate", "drop_factor", "warm_up_rate", "warm_up_error"), Real),
    **dict.fromkeys(("momentum", "weight_decay", "colour_noise"), Real),
    **dict.fromkeys(("nesterov", "average_weights", "flip", "crop_area"), bool),
}
KIND_NAMES = {Integral: "a whole number", Real: "a number", bool: "true or false"}
MAY_BE_NONE = ("max_drops", "warm_up_steps", "warm_up_rate", "crop_size")
LEAST = {
    **dict.fromkeys(("iterations", "batch_size", "log_every", "evaluate_every"), 1),
    **dict.fromkeys(("patience", "max_drops", "warm_up_steps", "crop_size"), 1),
    **dict.fromkeys(("seed", "crop_padding", "colour_noise", "warm_up_rate"), 0),
    **dict.fromkeys(("learning_rate", "momentum", "weight_decay"), 0),
}


@dataclass(frozen=True)
class Recipe:
    """A training run as data: same recipe, machine and threads, same weights to the last bit.

    Errors are percentages, `iterations`, `drops`, `warm_up_steps` and the `..._every` fields are steps
    (batches). Pictures that are all small are augmented by `crop_padding` and `flip`, photos by `crop_size`,
    then `crop_scales` or `crop_area`, `flip` and `colour_noise`.

    Raises OptionError for values out of range, or that contradict each other.
    """

    model: str
    data: str
    iterations: int
    batch_size: int = 128
    seed: int = 0
    model_options: dict = field(default_factory=dict)
    data_options: dict = field(default_factory=dict)
    learning_rate: float = 0.1
    schedule: str = "steps"  # or "cosine" or "plateau"
    drops: tuple[int, ...] = ()  # for "steps": when the learning rate is multiplied by drop_factor
    drop_factor: float = 0.1
    patience: int = 5  # for "plateau": a drop after so many evaluations without a new lowest test error
    max_drops: int | None = None  # for "plateau": None for no limit
    warm_up_rate: float | None = None  # the learning rate at first: for warm_up_steps if these are given,
    warm_up_steps: int | None = None
    warm_up_error: float = 80.0  # and else until the training error falls below this
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    average_weights: bool = False  # evaluate the mean of the weights after each step of the second half
    normalization: str = "pixel"  # or "channel" or "unit"
    crop_padding: int = 0
    padding_mode: str = "zero"  # or "reflect"
    flip: bool = False
    crop_size: int | None = None  # the side of the square that is cut out of a photo, in pixels
    crop_scales: tuple[int, int] | None = None  # before that, its shorter side gets a length in this range
    crop_area: bool = False  # or a part of random area and shape is resized to the square
    colour_noise: float = 0.0  # standard deviation along the principal components of the colours
    log_every: int = 100
    evaluate_every: int = 391

    def __post_init__(self):
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise UnknownNameError(name, getattr(self, name), words)
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if value is None and name in MAY_BE_NONE:
                continue
            if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
                raise OptionError(f"recipe: {name} must be {KIND_NAMES[kind]}, not {value!r}")
        if not all(isinstance(drop, Integral) for drop in self.drops):
            raise OptionError(f"recipe: drops must be whole numbers, not {self.drops!r}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise OptionError(f"recipe: {name} must be at least {least}, not {value}")
        if "generator" in self.model_options:
            raise OptionError("recipe: model_options cannot hold a generator; the seed decides the weights")
        if not 0 < self.drop_factor < 1:
            raise OptionError(f"recipe: drop_factor must be between 0 and 1, not {self.drop_factor}")
        if self.warm_up_steps is not None and self.warm_up_rate is None:
            raise OptionError(f"recipe: warm_up_steps {self.warm_up_steps} needs a warm_up_rate")
        self._check_crops()

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
        """Whether crops come from the central square of a photo: AlexNet's one scale has it so."""
        return self.crop_scales is not None and self.crop_scales[0] == self.crop_scales[1]

    def learning_rate_at(self, step, lowest_error=100.0, evaluations=()):
        """The learning rate after `step` steps and what was measured in them.

        lowest_error: the lowest training error; evaluations: all test errors, in order. In percent.
        """
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
        return schedule(step, lowest_error, evaluations)

    def shortened(self, iterations):
        """The same protocol over fewer or more iterations: drops and warm-up steps move in proportion.

        A plateau's patience stays as many evaluations as it was.
        """

        def scaled(step):
            return max(1, round(step * iterations / self.iterations))

        warm = None if self.warm_up_steps is None else scaled(self.warm_up_steps)
        drops = tuple(scaled(drop) for drop in self.drops)
        return replace(self, iterations=iterations, drops=drops, warm_up_steps=warm)

    def to_json(self):
        """A dict for json.dumps."""
        return asdict(self)

    @classmethod
    def from_json(cls, values):
        """The inverse of `to_json`. A field that came after the recipe was written takes its default.

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
        """Names of the fields in which another recipe differs; where the data lies and who reads it aside."""
        mine, theirs = self.to_json(), other.to_json()
        for values in (mine, theirs):
            options = values["data_options"].items()
            values["data_options"] = {k: v for k, v in options if k not in ("data_dir", "workers")}
        return [name for name in mine if _listed(mine[name]) != _listed(theirs[name])]


def _listed(value):
    """Tuples as lists, as JSON gives them back."""
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (list, tuple)) else value
