"""What the constructors of layers refuse: each message names the layer or the argument, and the value."""

import numpy as np
import pytest

from minires import Tensor, nn
from minires.errors import OptionError

NOT_WHOLE = [0, -1, 2.0, 2.5, "2", None, True, [2], np.float32(2)]

SIZES = {
    "in_channels": lambda n: nn.Conv2d(n, 2, 3),
    "out_channels": lambda n: nn.Conv2d(2, n, 3),
    "groups": lambda n: nn.Conv2d(2, 2, 3, groups=n),
    "in_features": lambda n: nn.Linear(n, 2),
    "out_features": lambda n: nn.Linear(2, n),
    "num_features": nn.BatchNorm2d,
    "num_features of 1d": nn.BatchNorm1d,
    "size": nn.LocalResponseNorm,
}


@pytest.mark.parametrize("value", NOT_WHOLE, ids=repr)
@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_positive_whole_numbers(name, value):
    with pytest.raises(OptionError, match=rf"^\w+: {name.split()[0]} must be a positive whole number, not"):
        SIZES[name](value)


@pytest.mark.parametrize("value", [2, np.int64(2)], ids=repr)
@pytest.mark.parametrize("name", SIZES)
def test_whole_numbers_of_numpy_are_sizes(name, value):
    assert isinstance(SIZES[name](value), nn.Module)


WINDOWS = {
    "Conv2d": lambda **options: nn.Conv2d(2, 2, **{"kernel_size": 3} | options),
    "MaxPool2d": lambda **options: nn.MaxPool2d(**{"kernel_size": 3} | options),
    "AvgPool2d": lambda **options: nn.AvgPool2d(**{"kernel_size": 3} | options),
}


@pytest.mark.parametrize("value", [0, -1, 1.5, "3", (1, 2, 3), (2, 0), [1.0, 2]], ids=repr)
@pytest.mark.parametrize("argument", ["kernel_size", "stride"])
@pytest.mark.parametrize("layer", WINDOWS)
def test_windows_are_positive(layer, argument, value):
    with pytest.raises(OptionError, match=rf"^{layer}: .*{argument}"):
        WINDOWS[layer](**{argument: value})


@pytest.mark.parametrize("value", [-1, 0.5, "same", None, (1, -1)], ids=repr)
@pytest.mark.parametrize("layer", WINDOWS)
def test_paddings_are_at_least_zero(layer, value):
    with pytest.raises(OptionError, match=rf"^{layer}: .*padding"):
        WINDOWS[layer](padding=value)


WRONG = {
    "Conv2d: groups=2 must divide 3 and 4": lambda: nn.Conv2d(3, 4, 3, groups=2),
    "Conv2d: .*dilation": lambda: nn.Conv2d(3, 4, 3, dilation=0),
    "AdaptiveAvgPool2d: output_size must be a positive": lambda: nn.AdaptiveAvgPool2d((2, 0)),
    r"AdaptiveAvgPool2d: output_size must be a whole.*\(None, 7\)": lambda: nn.AdaptiveAvgPool2d((None, 7)),
    "BatchNorm2d: eps must be above 0, not 0": lambda: nn.BatchNorm2d(2, eps=0),
    "BatchNorm2d: eps must be above 0, not -1": lambda: nn.BatchNorm2d(2, -1),
    "BatchNorm1d: eps must be above 0, not nan": lambda: nn.BatchNorm1d(2, float("nan")),
    "BatchNorm2d: eps must be a number, not None": lambda: nn.BatchNorm2d(2, None),
    "BatchNorm2d: momentum must be a number": lambda: nn.BatchNorm2d(2, momentum="0.1"),
    "affine must be true or false, not 'no'": lambda: nn.BatchNorm2d(2, affine="no"),
    "Dropout: p must be a number": lambda: nn.Dropout("0.5"),
    "Dropout: p must be .* not 1": lambda: nn.Dropout(1),
    "Dropout: p must be .* not nan": lambda: nn.Dropout(float("nan")),
    "Dropout: inplace=True is not built here": lambda: nn.Dropout(0.5, True),
    "generator must be .* not True": lambda: nn.Dropout(0.5, generator=True),
    "generator must be .* not False": lambda: nn.Linear(2, 2, generator=False),
    "generator must be .* not 1.5": lambda: nn.Conv2d(2, 2, 3, generator=1.5),
    "Flatten: start_dim must be a whole number, not 1.5": lambda: nn.Flatten(1.5),
    "Flatten: end_dim must be a whole number, not None": lambda: nn.Flatten(1, None),
    "LocalResponseNorm: alpha must be a number": lambda: nn.LocalResponseNorm(5, "a"),
    "LocalResponseNorm: k must be a number": lambda: nn.LocalResponseNorm(5, k=None),
    "MaxPool2d: dilation=True is not built here": lambda: nn.MaxPool2d(3, 2, 0, True),
    "ceil_mode must be true or false": lambda: nn.MaxPool2d(3, ceil_mode="yes"),
    "count_include_pad must be true or false": lambda: nn.AvgPool2d(3, 2, 0, False, 1),
    "CrossEntropyLoss: weight='sum' is not built here": lambda: nn.CrossEntropyLoss("sum"),
    "MSELoss: size_average='sum' is not built here": lambda: nn.MSELoss("sum"),
    "reduction must be one of mean, sum, none": lambda: nn.MSELoss(reduction="max"),
    "a module's dtype must be float32 or float64, not int64": lambda: nn.Linear(2, 2, dtype="int64"),
    "'tpu' is neither a device": lambda: nn.Conv2d(2, 2, 3, device="tpu"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_refused(message):
    with pytest.raises(OptionError, match=message):
        WRONG[message]()


MAKERS = {
    "Conv2d": lambda **options: nn.Conv2d(2, 2, 3, generator=0, **options),
    "Linear": lambda **options: nn.Linear(2, 2, generator=0, **options),
    "BatchNorm2d": lambda **options: nn.BatchNorm2d(2, **options),
}


@pytest.mark.parametrize("name", MAKERS)
def test_layers_of_another_dtype_have_the_same_weights(name):
    layer, expected = MAKERS[name](dtype="float64", device="cpu"), MAKERS[name]()
    assert {tensor.dtype.name for _, tensor in layer.named_tensors()} == {"float64"}
    for array, other in zip(layer.state_dict().values(), expected.state_dict().values(), strict=True):
        np.testing.assert_array_equal(array, other)


def test_each_dropout_has_its_own_masks():
    x = Tensor(np.ones(1000, np.float32))
    assert nn.Dropout(0.5)(x).tolist() != nn.Dropout(0.5)(x).tolist()


def test_sizes_are_attributes_as_in_pytorch():
    conv, linear = nn.Conv2d(4, 6, 3, groups=2), nn.Linear(3, 5)
    assert (conv.in_channels, conv.out_channels, conv.kernel_size, conv.groups) == (4, 6, (3, 3), 2)
    assert (linear.in_features, linear.out_features) == (3, 5)
    assert nn.BatchNorm2d(7).num_features == 7


def test_identity_takes_any_arguments():
    x = Tensor([1.0])
    assert nn.Identity(54, "unused", in_features=3)(x) is x


def test_what_minires_alone_has_is_given_by_name():
    conv, bn, x = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), Tensor(np.ones((2, 2, 3, 3), np.float32))
    calls = [
        lambda: conv(x, x),
        lambda: bn(x, x),
        lambda: nn.Conv2d(2, 2, 3, 1, 0, 1, 1, True, "zeros", None, None, 0),
        lambda: nn.Linear(2, 2, True, None, None, 0),
        lambda: nn.Dropout(0.5, False, 0),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="positional argument"):
            call()
    assert conv(x, add=x, relu=True).shape == bn(x, add=x, relu=True).shape
