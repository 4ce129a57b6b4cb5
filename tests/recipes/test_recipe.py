"""Recipes as data: the learning rate, conversion to JSON and back, and values that are refused."""

import json

import pytest

from minires import data
from minires.errors import CheckpointError, OptionError
from minires.train import RECIPES, Recipe, build_loaders, paper, quick


@pytest.fixture(scope="module")
def pictures():
    """A small data set of pictures, not photos: 50,000 images would only take more time."""
    return data.shapes(train=256, test=16)


def make_recipe(**changes):
    return Recipe(**{"model": "resnet8", "data": "digits", "iterations": 100} | changes)


def test_a_drop_multiplies_the_rate_by_the_drop_factor():
    recipe = make_recipe(learning_rate=0.1, drops=(10, 20), drop_factor=0.2)
    assert [recipe.learning_rate_at(step) for step in (9, 10, 19, 20)] == pytest.approx(
        [0.1, 0.02, 0.02, 0.004]
    )


def test_warm_up_steps_replace_the_warm_up_error():
    recipe = make_recipe(warm_up_rate=0.01, warm_up_steps=40, warm_up_error=80.0, drops=(50,))
    for error in (100.0, 5.0):
        rates = [recipe.learning_rate_at(step, lowest_error=error) for step in (0, 39, 40, 49, 50)]
        assert rates == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.01])


def test_the_plateau_schedule_depends_on_the_evaluations_alone():
    recipe = make_recipe(schedule="plateau", patience=2, max_drops=1, drop_factor=0.5, drops=(1,))
    assert recipe.learning_rate_at(99) == 0.1
    assert recipe.learning_rate_at(99, 100.0, [30.0, 31.0]) == 0.1
    assert recipe.learning_rate_at(0, 100.0, [30.0, 31.0, 30.0]) == 0.05
    assert recipe.learning_rate_at(0, 100.0, [30.0] * 50) == 0.05


def test_shortening_keeps_drops_and_warm_up_in_proportion(pictures):
    recipe = paper("resnet20", pictures).shortened(400)
    assert (recipe.iterations, recipe.drops, recipe.warm_up_steps) == (400, (200, 300), None)
    recipe = paper("preact_resnet164", pictures).shortened(6400)
    assert (recipe.drops, recipe.warm_up_steps) == ((3200, 4800), 40)


def test_the_shortest_run_does_not_start_with_a_dropped_rate(pictures):
    assert paper("resnet20", pictures).shortened(1).learning_rate_at(0) == 0.1


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(pictures, name):
    recipe = RECIPES[name]("resnet8", pictures, model_options={"widths": (2, 4, 8)}, seed=3)
    restored = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert restored.differences(recipe) == []
    assert (restored.drops, restored.crop_scales) == (recipe.drops, recipe.crop_scales)
    errors = (50.0, 40.0, *[40.0] * 20)
    for step in range(0, recipe.iterations, max(1, recipe.iterations // 50)):
        for evaluations in ((), errors[:8], errors):
            rates = [r.learning_rate_at(step, 60.0, evaluations) for r in (restored, recipe)]
            assert rates[0] == rates[1]


OLDER_RECIPE = {
    "model": "resnet110",
    "data": "cifar10",
    "iterations": 64000,
    "batch_size": 128,
    "seed": 0,
    "model_options": {},
    "data_options": {"data_dir": "somewhere"},
    "learning_rate": 0.1,
    "schedule": "steps",
    "drops": [32000, 48000],
    "warm_up_rate": 0.01,
    "warm_up_error": 80.0,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.0001,
    "normalization": "pixel",
    "crop_padding": 4,
    "flip": True,
    "log_every": 100,
    "evaluate_every": 391,
}


def test_a_recipe_of_an_older_version_keeps_its_meaning(make_dataset):
    """The fields of a file that was written before drop_factor and other fields existed."""
    recipe = Recipe.from_json(OLDER_RECIPE)
    assert recipe.differences(paper("resnet110", make_dataset("cifar10", 50_000))) == []
    assert recipe.learning_rate_at(0, lowest_error=90.0) == 0.01
    assert recipe.learning_rate_at(48_000, lowest_error=10.0) == pytest.approx(0.001)
    assert recipe.crop_scales is None


def test_json_of_a_newer_version_is_refused():
    with pytest.raises(CheckpointError, match=r"unknown fields \['mixup'\], missing \[\]; use the version"):
        Recipe.from_json(OLDER_RECIPE | {"mixup": 0.2})


def test_json_without_a_field_that_has_no_default_is_refused():
    values = {name: value for name, value in OLDER_RECIPE.items() if name not in ("model", "flip")}
    with pytest.raises(CheckpointError, match=r"unknown fields \[\], missing \['model'\]"):
        Recipe.from_json(values)


def test_differences_name_the_fields_but_not_the_folder_of_the_data():
    recipe = Recipe(model="resnet8", data="cifar10", iterations=10, data_options={"data_dir": "here"})
    other = Recipe(model="resnet14", data="cifar10", iterations=20, data_options={"data_dir": "there"})
    assert recipe.differences(other) == ["model", "iterations"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("schedule", "cos"), ("normalization", "pixels"), ("padding_mode", "reflection"), ("seed", -1)],
)
def test_unknown_words_and_a_negative_seed_are_refused(field, value):
    with pytest.raises(OptionError, match=field):
        make_recipe(**{field: value})


def test_a_batch_without_images_is_refused(pictures):
    with pytest.raises(OptionError, match="batch_size must be at least 1, not 0"):
        quick("resnet8", pictures, batch_size=0)


@pytest.mark.parametrize(
    "field",
    ["iterations", "batch_size", "log_every", "evaluate_every", "patience", "max_drops", "crop_size"],
)
def test_numbers_must_be_positive(field):
    with pytest.raises(OptionError, match=f"{field} must be at least 1, not 0"):
        make_recipe(**{field: 0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_padding": -1}, "crop_padding must be at least 0, not -1"),
        ({"colour_noise": -0.1}, "colour_noise must be at least 0, not -0.1"),
        ({"colour_noise": float("nan")}, "colour_noise must be at least 0, not nan"),
        ({"drop_factor": 0}, "drop_factor must be between 0 and 1, not 0"),
        ({"drop_factor": 1.0}, "drop_factor must be between 0 and 1, not 1.0"),
        ({"drop_factor": 10}, "drop_factor must be between 0 and 1, not 10"),
        ({"drops": (1.5,)}, r"drops must be whole numbers, not \(1.5,\)"),
        ({"drops": (True,)}, r"drops must be whole numbers, not \(True,\)"),
        ({"drops": 10}, "drops must be whole numbers, not 10"),
        ({"drops": None}, "drops must be whole numbers, not None"),
        ({"drops": (48_000, 32_000)}, r"drops must be in order, not \(48000, 32000\)"),
        ({"drops": (-1,)}, "drops must be at least 0, not -1"),
        ({"learning_rate": float("inf")}, "must be finite, not inf"),
        ({"warm_up_error": float("nan")}, "warm_up_error must be at least 0, not nan"),
        ({"warm_up_rate": 0.01, "warm_up_error": 0}, "until_error must be above 0"),
        ({"warm_up_rate": 0.01, "warm_up_steps": 0}, "warm_up_steps must be at least 1, not 0"),
        ({"warm_up_steps": 400}, "warm_up_steps 400 needs a warm_up_rate"),
        ({"crop_scales": (256, 480)}, "crop_scales and crop_area need a crop_size"),
        ({"crop_area": True}, "crop_scales and crop_area need a crop_size"),
        ({"crop_size": 224, "crop_padding": 4}, "crop_size 224 .*crop_padding 4 .*set one"),
        (
            {"crop_size": 224, "crop_scales": (256, 480), "crop_area": True},
            r"crop_area .*\(256, 480\); set one",
        ),
        ({"crop_size": 224, "crop_scales": (480, 256)}, r"crop_size 224 <= low <= high, not \(480, 256\)"),
        ({"crop_size": 224, "crop_scales": (200, 256)}, r"crop_size 224 <= low <= high, not \(200, 256\)"),
        ({"crop_size": 224, "crop_scales": (256,)}, r"crop_scales must be \(low, high\)"),
        ({"crop_size": 224, "crop_scales": 256}, r"crop_scales must be \(low, high\)"),
    ],
)
def test_values_out_of_range_or_in_conflict_are_refused(changes, message):
    with pytest.raises(OptionError, match=message) as caught:
        make_recipe(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_padding": 4, "padding_mode": "reflect"},
        {"crop_size": 24},
        {"crop_size": 24, "crop_scales": (28, 40)},
        {"crop_size": 24, "crop_area": True},
        {"colour_noise": 0.1},
        {"normalization": "unit"},
    ],
    ids=lambda changes: next(reversed(changes)),
)
def test_a_field_changes_the_batches_or_is_refused(pictures, changes):
    """A field is never ignored without an error."""
    fields = {"data": "shapes", "batch_size": 16}
    padding = {"crop_padding": changes.get("crop_padding", 0)}
    plain, labels = build_loaders(make_recipe(**fields | padding), pictures)[0].batch(0)
    try:
        changed, changed_labels = build_loaders(make_recipe(**fields | changes), pictures)[0].batch(0)
    except OptionError:
        return
    assert (labels == changed_labels).all()
    assert plain.shape != changed.shape or (plain != changed).any()
