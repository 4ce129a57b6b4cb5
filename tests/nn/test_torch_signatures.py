"""PyTorch's arguments under PyTorch's names, in PyTorch's order, with PyTorch's defaults."""

import inspect
from types import FunctionType

import pytest

import minires.nn.functional as F
from minires import nn
from minires.errors import OptionError

torch = pytest.importorskip("torch")

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY

LAYERS = [name for name in nn.__all__ if inspect.isclass(getattr(torch.nn, name, None))]
# Those of forward differ for each class; all other public methods that both have are compared.
METHODS = [
    name
    for name in dir(nn.Module)
    if not name.startswith("_") and callable(getattr(torch.nn.Module, name, None)) and name != "forward"
]
# The others are no Python functions in PyTorch, or have arguments for its own use: tests/ops/ calls them.
FUNCTIONS = [
    name
    for name in F.__all__
    if isinstance(getattr(torch.nn.functional, name, None), FunctionType)
    and name not in ("max_pool2d", "softmax", "log_softmax")
]
SEQUENTIAL_METHODS = ["append", "extend", "insert", "__getitem__", "__setitem__"]


def arguments(function):
    """{name: Parameter} of the named arguments of a function or class."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p for p in parameters if p.kind not in VARIABLE and p.name not in ("self", "cls")}


def differences(ours, theirs):
    """How the arguments of a function or class differ from those of PyTorch's: sentences, none if they agree.

    Ours may have further arguments, by keyword only.
    """
    our_arguments, their_arguments = arguments(ours), arguments(theirs)
    positions = [
        [name for name, p in a.items() if p.kind is not KEYWORD_ONLY]
        for a in (our_arguments, their_arguments)
    ]
    if positions[0] != positions[1]:
        yield f"by position {positions[0]}, not {positions[1]}"
    for name, expected in their_arguments.items():
        if name not in our_arguments:
            yield f"{name} is missing"
        elif our_arguments[name].default != expected.default:
            yield f"{name}={our_arguments[name].default!r}, not {expected.default!r}"


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_pytorchs_arguments(name):
    assert list(differences(getattr(nn, name), getattr(torch.nn, name))) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_pytorchs_arguments(name):
    assert list(differences(getattr(F, name), getattr(torch.nn.functional, name))) == []


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_module_has_pytorchs_arguments(name):
    assert list(differences(getattr(nn.Module, name), getattr(torch.nn.Module, name))) == []


@pytest.mark.parametrize("name", SEQUENTIAL_METHODS)
def test_a_method_of_sequential_has_as_many_arguments(name):
    ours, theirs = (getattr(lib.Sequential, name) for lib in (nn, torch.nn))
    assert len(arguments(ours)) == len(arguments(theirs))


def test_there_is_something_to_compare():
    assert {"Conv2d", "Linear", "BatchNorm2d", "Dropout", "Sequential", "Module", "Parameter"} <= set(LAYERS)
    assert {"batch_norm", "cross_entropy", "dropout", "mse_loss", "pad", "relu"} <= set(FUNCTIONS)
    assert {"named_parameters", "load_state_dict", "register_forward_hook", "to", "train"} <= set(METHODS)


def agrees(a, b=2, *args, c=3, **kwargs): ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda b=2, a=1, *, c=3: 0, "by position ['b', 'a']"),
        (lambda a, b=2, d=1, *, c=3: 0, "by position ['a', 'b', 'd']"),
        (lambda a, b=2, c=3: 0, "by position ['a', 'b', 'c']"),
        (lambda a, b=2: 0, "c is missing"),
        (lambda a, b=1, *, c=3: 0, "b=1, not 2"),
        (lambda a, b=2, *, c=None: 0, "c=None, not 3"),
    ],
)
def test_the_check_sees_differences(function, message):
    assert any(message in difference for difference in differences(function, agrees))
    assert list(differences(lambda a, b=2, *, c=3, ours=4: 0, agrees)) == []


# {class: (arguments that it needs, {argument of PyTorch's that is not built: a value})}
NOT_BUILT = {
    "AvgPool2d": ((2,), {"divisor_override": 3}),
    "Buffer": ((), {"persistent": False}),
    "Conv2d": ((1, 1, 1), {"padding_mode": "reflect"}),
    "CrossEntropyLoss": (
        (),
        {
            "weight": nn.Parameter(),
            "size_average": True,
            "ignore_index": 0,
            "reduce": True,
            "label_smoothing": 0.1,
        },
    ),
    "Dropout": ((), {"inplace": True}),
    "MSELoss": ((), {"size_average": True, "reduce": False}),
    "MaxPool2d": ((2,), {"dilation": 2, "return_indices": True}),
    "ReLU": ((), {"inplace": True}),
}
CASES = [
    (name, needed, key, value) for name, (needed, some) in NOT_BUILT.items() for key, value in some.items()
]


@pytest.mark.parametrize(("name", "needed", "argument", "value"), CASES, ids=lambda case: str(case)[:20])
def test_what_is_not_built_is_refused_by_name(name, needed, argument, value):
    layer = getattr(nn, name)
    assert argument in arguments(getattr(torch.nn, name))
    with pytest.raises(OptionError, match=f"{name}: {argument}=.* is not built here"):
        layer(*needed, **{argument: value})
    default = arguments(layer)[argument].default
    layer(*needed, **{argument: default})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("named_modules", {"memo": set()}),
        ("register_buffer", {"name": "b", "tensor": None, "persistent": False}),
        ("register_forward_hook", {"hook": print, "always_call": True}),
        ("cuda", {"device": 0}),
        ("state_dict", {"destination": {}}),
        ("state_dict", {"keep_vars": True}),
        ("load_state_dict", {"state_dict": {}, "assign": True}),
    ],
)
def test_what_a_method_does_not_have_is_refused_by_name(name, options):
    with pytest.raises(OptionError, match=f"{name}: {list(options)[-1]}=.* is not built here"):
        getattr(nn.ReLU(), name)(**options)
