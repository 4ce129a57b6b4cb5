"""Each published protocol: its learning rate at chosen steps, and its other fields."""

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest

from minires import data
from minires.errors import OptionError, UnknownNameError
from minires.recipes import build
from minires.train import RECIPES, Recipe, paper, quick

# Batches in an epoch, a smaller last one included: 50,000 / 128, 604,388 / 128, 1,281,167 / 256 and / 128.
CIFAR_EPOCH, SVHN_EPOCH, IMAGENET_EPOCH, IMAGENET_EPOCH_128 = 391, 4722, 5005, 10_010


@pytest.fixture(scope="module")
def datasets(make_dataset):
    """The three data sets of the protocols, with their true numbers of training images."""
    return {
        "cifar10": make_dataset("cifar10", 50_000),
        "svhn": make_dataset("svhn", 604_388),
        "imagenet": make_dataset("imagenet", 1_281_167, photos=True),
    }


# Protocol: network, data set, {step: learning rate} around every change, number of steps.
RATES = {
    "resnet-cifar": (
        *("resnet56", "cifar10"),
        {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001},
        64_000,
    ),
    "preact-cifar": (
        *("preact_resnet164", "cifar10"),
        {0: 0.01, 399: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001},
        64_000,
    ),
    "preact-imagenet": (
        *("preact_resnet164", "imagenet"),
        {
            0: 0.1,
            30 * IMAGENET_EPOCH - 1: 0.1,
            30 * IMAGENET_EPOCH: 0.01,
            60 * IMAGENET_EPOCH - 1: 0.01,
            60 * IMAGENET_EPOCH: 0.001,
            90 * IMAGENET_EPOCH - 1: 0.001,
        },
        90 * IMAGENET_EPOCH,
    ),
    "wide-cifar": (
        *("wrn_28_10", "cifar10"),
        {
            0: 0.1,
            60 * CIFAR_EPOCH - 1: 0.1,
            60 * CIFAR_EPOCH: 0.02,
            120 * CIFAR_EPOCH - 1: 0.02,
            120 * CIFAR_EPOCH: 0.004,
            160 * CIFAR_EPOCH - 1: 0.004,
            160 * CIFAR_EPOCH: 0.0008,
            200 * CIFAR_EPOCH - 1: 0.0008,
        },
        78_200,
    ),
    "wide-svhn": (
        *("wrn_16_8", "svhn"),
        {
            0: 0.01,
            80 * SVHN_EPOCH - 1: 0.01,
            80 * SVHN_EPOCH: 0.001,
            120 * SVHN_EPOCH - 1: 0.001,
            120 * SVHN_EPOCH: 0.0001,
            160 * SVHN_EPOCH - 1: 0.0001,
        },
        160 * SVHN_EPOCH,
    ),
    "resnext-cifar": (
        *("resnext29_8x64d", "cifar10"),
        {
            0: 0.1,
            150 * CIFAR_EPOCH - 1: 0.1,
            150 * CIFAR_EPOCH: 0.01,
            225 * CIFAR_EPOCH - 1: 0.01,
            225 * CIFAR_EPOCH: 0.001,
            300 * CIFAR_EPOCH - 1: 0.001,
        },
        117_300,
    ),
    "resnext-imagenet": (
        *("resnext50_32x4d", "imagenet"),
        {
            0: 0.1,
            30 * IMAGENET_EPOCH - 1: 0.1,
            30 * IMAGENET_EPOCH: 0.01,
            60 * IMAGENET_EPOCH - 1: 0.01,
            60 * IMAGENET_EPOCH: 0.001,
            90 * IMAGENET_EPOCH - 1: 0.001,
            90 * IMAGENET_EPOCH: 0.0001,
            100 * IMAGENET_EPOCH - 1: 0.0001,
        },
        100 * IMAGENET_EPOCH,
    ),
    "googlenet": (
        *("googlenet", "imagenet"),
        {
            0: 0.01,
            8 * IMAGENET_EPOCH_128 - 1: 0.01,
            8 * IMAGENET_EPOCH_128: 0.0096,
            16 * IMAGENET_EPOCH_128 - 1: 0.0096,
            16 * IMAGENET_EPOCH_128: 0.009216,
            88 * IMAGENET_EPOCH_128 - 1: 0.01 * 0.96**10,
            88 * IMAGENET_EPOCH_128: 0.01 * 0.96**11,
            90 * IMAGENET_EPOCH_128 - 1: 0.01 * 0.96**11,
        },
        90 * IMAGENET_EPOCH_128,
    ),
    "quick": (
        *("resnet20", "cifar10"),
        {0: 0.1, 5 * CIFAR_EPOCH: 0.05, 10 * CIFAR_EPOCH: 0.0},
        10 * CIFAR_EPOCH,
    ),
}

CIFAR_AUGMENTATION = {"crop_padding": 4, "flip": True}
PHOTO_AUGMENTATION = {"crop_size": 224, "flip": True}

# Protocol: network, data set, and the fields that differ from a Recipe's defaults, except COURSE_FIELDS.
OTHER_FIELDS = {
    "resnet-cifar": ("resnet56", "cifar10", {**CIFAR_AUGMENTATION}),
    "resnet-imagenet": (
        *("resnet50", "imagenet"),
        {**PHOTO_AUGMENTATION, "batch_size": 256, "crop_scales": (256, 480), "colour_noise": 0.1},
    ),
    "preact-cifar": ("preact_resnet164", "cifar10", {**CIFAR_AUGMENTATION}),
    "preact-imagenet": (
        *("preact_resnet164", "imagenet"),
        {**PHOTO_AUGMENTATION, "batch_size": 256, "crop_scales": (256, 480), "colour_noise": 0.1},
    ),
    "wide-cifar": (
        *("wrn_28_10", "cifar10"),
        {
            **CIFAR_AUGMENTATION,
            "nesterov": True,
            "weight_decay": 5e-4,
            "normalization": "channel",
            "padding_mode": "reflect",
        },
    ),
    "wide-svhn": (
        *("wrn_16_8", "svhn"),
        {
            "nesterov": True,
            "weight_decay": 5e-4,
            "normalization": "unit",
            "model_options": {"dropout": 0.4},
        },
    ),
    "resnext-cifar": (
        *("resnext29_8x64d", "cifar10"),
        {**CIFAR_AUGMENTATION, "nesterov": True, "weight_decay": 5e-4, "normalization": "channel"},
    ),
    "resnext-imagenet": (
        *("resnext50_32x4d", "imagenet"),
        {
            **PHOTO_AUGMENTATION,
            "batch_size": 256,
            "nesterov": True,
            "normalization": "channel",
            "crop_area": True,
            "colour_noise": 0.1,
        },
    ),
    "alexnet": (
        *("alexnet", "imagenet"),
        {**PHOTO_AUGMENTATION, "weight_decay": 5e-4, "crop_scales": (256, 256), "colour_noise": 0.1},
    ),
    "googlenet": (
        *("googlenet", "imagenet"),
        {**PHOTO_AUGMENTATION, "weight_decay": 5e-4, "crop_area": True, "average_weights": True},
    ),
    "quick": ("resnet20", "cifar10", {**CIFAR_AUGMENTATION, "nesterov": True, "weight_decay": 5e-4}),
}
# The fields for the course of the learning rate and for the evaluations; other tests check them.
COURSE_FIELDS = {
    *("iterations", "learning_rate", "schedule", "drops", "drop_factor", "patience", "max_drops"),
    *("warm_up_rate", "warm_up_steps", "evaluate_every"),
}
DEFAULTS = {"batch_size": 128, "momentum": 0.9, "weight_decay": 1e-4, "normalization": "pixel"}


def test_every_protocol_is_checked_here():
    assert set(RATES) | {"resnet-imagenet", "alexnet", "paper"} == set(RECIPES)
    assert set(OTHER_FIELDS) | {"paper"} == set(RECIPES)


@pytest.mark.parametrize("name", RATES)
def test_learning_rates(datasets, name):
    model, dataset, rates, iterations = RATES[name]
    recipe = RECIPES[name](model, datasets[dataset])
    assert recipe.iterations == iterations
    for step, rate in rates.items():
        assert recipe.learning_rate_at(step, lowest_error=50.0) == pytest.approx(rate, rel=1e-12), step


@pytest.mark.parametrize("name", OTHER_FIELDS)
def test_all_other_fields(datasets, name):
    model, dataset, expected = OTHER_FIELDS[name]
    recipe = RECIPES[name](model, datasets[dataset])
    plain = Recipe(model=model, data=dataset, iterations=1)
    names = set(recipe.differences(plain)) - COURSE_FIELDS
    assert {field: getattr(recipe, field) for field in names} == expected
    for field, value in (DEFAULTS | expected).items():
        assert getattr(recipe, field) == value, field


@pytest.mark.parametrize("name", RECIPES)
def test_an_evaluation_after_each_epoch(datasets, name):
    for dataset in datasets.values():
        recipe = RECIPES[name]("resnet50", dataset)
        assert recipe.evaluate_every == -(-len(dataset.train) // recipe.batch_size)


def test_the_imagenet_resnet_divides_its_rate_by_ten_at_every_plateau(datasets):
    recipe = RECIPES["resnet-imagenet"]("resnet34", datasets["imagenet"])
    assert recipe.iterations == 600_000
    errors = [60.0, 50.0, *[51.0] * 4]
    assert recipe.learning_rate_at(30_000, 60.0, errors) == 0.1
    for drops in range(1, 5):
        errors = [60.0, 50.0, *[51.0] * (5 * drops)]
        assert recipe.learning_rate_at(30_000, 60.0, errors) == pytest.approx(0.1**drops * 0.1)
        assert recipe.learning_rate_at(30_000, 60.0, [*errors, 49.0]) == pytest.approx(0.1**drops * 0.1)


def test_alexnet_lowers_its_rate_three_times(datasets):
    recipe = RECIPES["alexnet"]("alexnet", datasets["imagenet"])
    assert recipe.iterations == 90 * IMAGENET_EPOCH_128
    rates = [recipe.learning_rate_at(0, 60.0, [50.0] * n) for n in (0, 5, 6, 10, 11, 15, 16, 21, 90)]
    expected = [0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.00001, 0.00001, 0.00001]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "warms_up"), [("resnet56", False), ("resnet110", True), ("resnet1202", True)]
)
def test_only_deep_resnets_warm_up(datasets, model, warms_up):
    recipe = paper(model, datasets["cifar10"])
    assert recipe.learning_rate_at(0, lowest_error=90) == (0.01 if warms_up else 0.1)
    assert recipe.learning_rate_at(400, lowest_error=90) == (0.01 if warms_up else 0.1)
    assert recipe.learning_rate_at(400, lowest_error=79.9) == 0.1
    assert recipe.learning_rate_at(32_000, lowest_error=79.9) == pytest.approx(0.01)


def test_preactivation_nets_warm_up_at_every_depth_and_error(datasets):
    for model in ("preact_resnet20", "preact_resnet110"):
        recipe = paper(model, datasets["cifar10"])
        assert recipe.learning_rate_at(399, lowest_error=5.0) == 0.01
        assert recipe.learning_rate_at(400, lowest_error=99.0) == 0.1


@pytest.mark.parametrize(
    ("model", "picture_protocol", "photo_protocol"),
    [
        ("resnet20", "resnet-cifar", None),
        ("resnet110", "resnet-cifar", None),
        ("resnet50", "resnet-cifar", "resnet-imagenet"),
        ("plain34", "resnet-cifar", "resnet-imagenet"),
        ("preact_resnet110", "preact-cifar", None),
        ("wrn_28_10", "wide-cifar", None),
        ("wide_resnet50_2", "wide-cifar", "resnet-imagenet"),
        ("resnext29_8x64d", "resnext-cifar", None),
        ("resnext50_32x4d", "resnext-cifar", "resnext-imagenet"),
        ("alexnet", "alexnet", "alexnet"),
        ("alexnet_two_tower", "alexnet", "alexnet"),
        ("vgg19", "resnet-cifar", "resnet-imagenet"),
        ("googlenet", "googlenet", "googlenet"),
        ("googlenet_2014", "googlenet", "googlenet"),
        ("nin", "resnet-cifar", None),
    ],
)
def test_paper_gives_each_network_its_own_protocol(datasets, model, picture_protocol, photo_protocol):
    assert paper(model, datasets["cifar10"]) == RECIPES[picture_protocol](model, datasets["cifar10"])
    if photo_protocol is None:
        with pytest.raises(OptionError, match=f"the paper of {model} trains on pictures of 32 x 32 pixels"):
            paper(model, datasets["imagenet"])
    else:
        assert paper(model, datasets["imagenet"]) == RECIPES[photo_protocol](model, datasets["imagenet"])


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110, 1202])
def test_all_fields_of_the_cifar_resnets_recipe(datasets, depth):
    warm_up = {"warm_up_rate": 0.01, "warm_up_error": 80.0} if depth >= 110 else {}
    assert paper(f"resnet{depth}", datasets["cifar10"], seed=3) == Recipe(
        model=f"resnet{depth}",
        data="cifar10",
        iterations=64_000,
        batch_size=128,
        seed=3,
        learning_rate=0.1,
        schedule="steps",
        drops=(32_000, 48_000),
        momentum=0.9,
        nesterov=False,
        weight_decay=1e-4,
        normalization="pixel",
        crop_padding=4,
        flip=True,
        log_every=100,
        evaluate_every=391,
        **warm_up,
    )


def test_photos_are_cropped_to_the_networks_size(datasets):
    recipes = [quick(name, datasets["imagenet"]) for name in ("resnet50", "resnet20")]
    assert [r.crop_size for r in recipes] == [224, 32]
    assert [r.crop_scales for r in recipes] == [(256, 256), (37, 37)]


@pytest.mark.parametrize("name", ["resnet164", "resnet1001"])
def test_the_bottleneck_nets_of_identity_mappings_warm_up_for_400_steps(datasets, name):
    recipe = paper(name, datasets["cifar10"])
    assert (recipe.warm_up_rate, recipe.warm_up_steps) == (0.01, 400)


def test_nets_with_shortcuts_of_identity_mappings_warm_up_for_400_steps(datasets):
    recipe = paper("resnet110", datasets["cifar10"], model_options={"shortcut": "exclusive_gating"})
    assert recipe.warm_up_steps == 400
    assert paper("resnet110", datasets["cifar10"], model_options={"shortcut": "B"}).warm_up_steps is None


def test_only_a_depth_makes_a_net_warm_up(datasets):
    """The 2014 in googlenet_2014 is a year, not a depth."""
    assert RECIPES["resnet-cifar"]("googlenet_2014", datasets["cifar10"]).warm_up_rate is None


@pytest.mark.parametrize("name", ["resnet-cifar", "wide-cifar", "preact-cifar", "resnext-cifar", "quick"])
def test_digits_are_not_mirrored(datasets, name):
    for dataset in (data.digits(), datasets["svhn"]):
        recipe = RECIPES[name]("resnet20", dataset)
        assert (recipe.crop_padding, recipe.flip) == (0, False)


@pytest.mark.parametrize("name", RECIPES)
def test_options_replace_the_fields_of_a_protocol(datasets, name):
    options = {"learning_rate": 0.05, "batch_size": 64, "momentum": 0.8, "seed": 7, "evaluate_every": 10}
    recipe = RECIPES[name]("resnet20", datasets["cifar10"], **options)
    assert {field: getattr(recipe, field) for field in options} == options


def test_another_batch_size_changes_the_steps_of_an_epoch(datasets):
    recipe = RECIPES["wide-cifar"]("wrn_16_4", datasets["cifar10"], batch_size=100)
    assert (recipe.iterations, recipe.drops) == (100_000, (30_000, 60_000, 80_000))
    assert RECIPES["resnet-cifar"]("resnet20", datasets["cifar10"], batch_size=64).drops == (32_000, 48_000)


def test_dropout_of_wide_nets_on_svhn(datasets):
    wide_svhn = RECIPES["wide-svhn"]
    assert wide_svhn("wrn_16_4", datasets["svhn"], model_options={"dropout": 0.0}).model_options == {
        "dropout": 0.0
    }
    assert wide_svhn("resnet20", datasets["svhn"]).model_options == {}
    options = {"classes": 5}
    assert wide_svhn("wrn_16_4", datasets["svhn"], model_options=options).model_options == options | {
        "dropout": 0.4
    }
    assert options == {"classes": 5}


@pytest.mark.parametrize("name", RECIPES)
def test_the_numbers_of_a_recipe_are_python_numbers(datasets, name):
    """JSON cannot hold most of NumPy's scalars, and a float64 scalar turns float32 arrays into float64."""
    recipe = RECIPES[name]("resnet20", datasets["cifar10"])
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            assert not isinstance(number, np.generic), field.name


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_never_rises_after_the_warm_up(datasets, name):
    recipe = RECIPES[name]("resnet20", datasets["cifar10"])
    steps = range(recipe.warm_up_steps or 0, recipe.iterations, max(1, recipe.iterations // 200))
    rates = [recipe.learning_rate_at(step, lowest_error=50.0) for step in steps]
    assert all(later <= earlier for earlier, later in pairwise(rates))


def test_build_takes_a_protocol_by_its_name():
    digits = data.load("digits")
    recipe = build("quick", "resnet8", digits, iterations=50, seed=3, batch_size=None)
    assert recipe == quick("resnet8", digits, seed=3).shortened(50)
    assert build("paper", "resnet20", digits) == paper("resnet20", digits)
    with pytest.raises(UnknownNameError, match="quick"):
        build("quik", "resnet8", digits)
