"""Recipes: each published protocol's learning rate at chosen steps, and its way through JSON."""

import json

import pytest

from minires import data
from minires.errors import CheckpointError, OptionError
from minires.train import RECIPES, Recipe, paper, quick


@pytest.fixture(scope="module")
def pictures():
    """50,000 images would only cost time here: what matters is that they are pictures."""
    return data.shapes(train=256, test=16)


def test_paper_is_the_cifar_protocol(pictures):
    recipe = paper("resnet20", pictures)
    assert (recipe.iterations, recipe.batch_size) == (64_000, 128)
    assert (recipe.momentum, recipe.weight_decay, recipe.nesterov) == (0.9, 1e-4, False)
    assert (recipe.crop_padding, recipe.flip, recipe.normalization) == (4, True, "pixel")
    rates = {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}
    for step, rate in rates.items():
        assert recipe.learning_rate_at(step) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "warms_up"), [("resnet56", False), ("resnet110", True), ("resnet1202", True)]
)
def test_only_deep_nets_warm_up_in_the_paper(pictures, model, warms_up):
    recipe = paper(model, pictures)
    assert recipe.learning_rate_at(0, lowest_error=90) == (0.01 if warms_up else 0.1)
    assert recipe.learning_rate_at(400, lowest_error=79.9) == 0.1
    assert recipe.learning_rate_at(32_000, lowest_error=79.9) == pytest.approx(0.01)


def test_quick_is_ten_epochs_of_a_cosine(pictures):
    recipe = quick("resnet20", pictures)
    assert recipe.iterations == 10 * 2
    assert recipe.learning_rate_at(0) == 0.1
    assert recipe.learning_rate_at(10) == pytest.approx(0.05)
    assert 0 < recipe.learning_rate_at(19) < 0.001


def test_digits_are_not_mirrored():
    recipe = paper("resnet20", data.digits())
    assert (recipe.crop_padding, recipe.flip) == (0, False)


def test_shortening_keeps_the_drops_in_proportion(pictures):
    recipe = paper("resnet20", pictures).shortened(400)
    assert (recipe.iterations, recipe.drops) == (400, (200, 300))


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(pictures, name):
    recipe = RECIPES[name]("resnet8", pictures, model_options={"widths": (2, 4, 8)}, seed=3)
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again.differences(recipe) == []
    assert [again.learning_rate_at(s) for s in range(20)] == [recipe.learning_rate_at(s) for s in range(20)]


def test_json_of_another_version_is_refused(pictures):
    values = quick("resnet8", pictures).to_json()
    del values["flip"]
    with pytest.raises(CheckpointError, match="flip"):
        Recipe.from_json(values)


def test_differences_name_the_fields_but_not_where_the_data_lies():
    one = Recipe(model="resnet8", data="cifar10", iterations=10, data_options={"data_dir": "here"})
    two = Recipe(model="resnet14", data="cifar10", iterations=20, data_options={"data_dir": "there"})
    assert one.differences(two) == ["model", "iterations"]


@pytest.mark.parametrize(("field", "value"), [("schedule", "cos"), ("normalization", "pixels"), ("seed", -1)])
def test_unknown_words_are_refused(field, value):
    with pytest.raises(OptionError, match=field):
        Recipe(**{"model": "resnet8", "data": "digits", "iterations": 1, field: value})


def test_a_batch_without_images_is_refused(pictures):
    with pytest.raises(OptionError, match="batch_size must be at least 1, not 0"):
        quick("resnet8", pictures, batch_size=0)


def test_the_shortest_run_does_not_start_with_a_dropped_rate(pictures):
    assert paper("resnet20", pictures).shortened(1).learning_rate_at(0) == 0.1


@pytest.mark.parametrize("field", ["iterations", "batch_size", "log_every", "evaluate_every"])
def test_numbers_must_be_positive(field):
    with pytest.raises(OptionError, match=field):
        Recipe(**{"model": "resnet8", "data": "digits", "iterations": 1} | {field: 0})
