"""Arithmetic on truth values, whole numbers, fractions and Python numbers has PyTorch's dtypes and values."""

import operator
import warnings
from itertools import product

import numpy as np
import pytest

from minires import Tensor, ops
from minires.errors import DtypeError, MiniresError, OptionError

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int64", "float32", "float64"]
PYTHON_NUMBERS = [True, 3, 2.5]
BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
OF_TENSORS = {"maximum": (ops.maximum, torch.maximum), "minimum": (ops.minimum, torch.minimum)}
UNARY = [
    "neg",
    "abs",
    "exp",
    "log",
    "sqrt",
    "sigmoid",
    "tanh",
    "relu",
    "sum",
    "mean",
    "var",
    "amax",
    "argmin",
]

# PyTorch refuses whole numbers and truth values here; we compute in float32.
COMPUTED_IN_FLOAT32 = {"mean", "var"}

VALUES = {
    "bool": [True, False],
    "uint8": [2, 200],
    "int64": [3, -2],
    "float32": [0.5, 3],
    "float64": [1.5, 2],
}


def operands():
    """(dtype, "axis") for a tensor with an axis, (dtype, "no_axis") for one without, ("number", 3)."""
    tensors = [(dtype, shape) for dtype in DTYPES for shape in ("axis", "no_axis")]
    return tensors + [("number", number) for number in PYTHON_NUMBERS]


def make(operand, library):
    kind, detail = operand
    if kind == "number":
        return detail
    values = np.array(VALUES[kind], kind)
    values = values if detail == "axis" else values[0]
    return Tensor(values) if library is ops else torch.tensor(values)


def outcome(function, *inputs):
    """(dtype, values) of a result, or "refused"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            y = function(*inputs)
        except (MiniresError, RuntimeError):
            return "refused"
    return str(y.dtype).removeprefix("torch."), np.asarray(y.tolist())


def assert_same(ours, theirs):
    assert (ours == "refused") == (theirs == "refused"), (ours, theirs)
    if theirs != "refused":
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)


PAIRS = [pair for pair in product(operands(), operands()) if {pair[0][0], pair[1][0]} != {"number"}]


@pytest.mark.parametrize("name", BINARY)
def test_operators_on_every_pair(name):
    for a, b in PAIRS:
        if differs_on_purpose(name, a, b):
            continue
        ours = outcome(BINARY[name], make(a, ops), make(b, ops))
        theirs = outcome(BINARY[name], make(a, torch), make(b, torch))
        try:
            assert_same(ours, theirs)
        except AssertionError as error:
            raise AssertionError(f"{name} of {a} and {b}") from error


def differs_on_purpose(name, a, b):
    """PyTorch computes negative powers of whole numbers as 0, and mask ** True; both are refused here."""
    negative_power = a[0] in ("uint8", "int64", "bool", "number") and b[0] == "int64"
    return name == "pow" and (
        negative_power or (a[0], b[1]) == ("bool", True) or (a[1], b[0]) == (True, "bool")
    )


@pytest.mark.parametrize("name", OF_TENSORS)
def test_functions_of_two_tensors_on_every_pair(name):
    ours, theirs = OF_TENSORS[name]
    for a, b in PAIRS:
        if "number" not in (a[0], b[0]):
            assert_same(
                outcome(ours, make(a, ops), make(b, ops)), outcome(theirs, make(a, torch), make(b, torch))
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(name, dtype):
    values = np.array([1, 0, 1, 1] if dtype == "bool" else [12, 1, 7, 0], dtype)
    ours = outcome(getattr(ops, name), Tensor(values))
    theirs = outcome(getattr(torch, name), torch.tensor(values))
    if (name, dtype) == ("argmin", "bool"):  # refused by PyTorch
        theirs = "int64", np.array(1)
    if name in COMPUTED_IN_FLOAT32 and not dtype.startswith("float"):
        assert theirs == "refused"
        theirs = outcome(getattr(torch, name), torch.tensor(values.astype("float32")))
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_functions_that_pytorch_refuses_compute_in_float32(dtype):
    x, y = Tensor(np.array([[1, 0, 1]], dtype)), np.array([[1, 0, 1]], np.float32)
    for function in (
        lambda x: ops.softmax(x, 1),
        lambda x: ops.log_softmax(x, 1),
        lambda x: ops.cross_entropy(x, [2]),
        lambda x: ops.mse_loss(x, np.array([[0, 1, 1]], np.uint8)),
    ):
        assert function(x).dtype == np.float32
        np.testing.assert_allclose(function(x).numpy(), function(Tensor(y)).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x + 300, "300 does not fit into uint8"),
        (lambda x: x * -1, "-1 does not fit into uint8"),
        (lambda x: 256 - x, "256 does not fit into uint8"),
        (lambda x: x.to("float32") * 1e39, "does not fit into float32"),
        (lambda x: x.to("float64") * 10**400, "does not fit into float64"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(function, text):
    """PyTorch wraps whole numbers around and makes infinity of fractions."""
    with pytest.raises(OptionError, match=text):
        function(Tensor(np.array([1, 2], np.uint8)))


def test_a_number_that_does_not_fit_can_divide_and_be_compared_with():
    x = Tensor(np.array([1, 200], np.uint8))
    np.testing.assert_allclose((x / 1000).numpy(), [0.001, 0.2], rtol=1e-6)
    assert (x < 300).tolist() == [True, True]
    assert (x > -1).tolist() == [True, True]


@pytest.mark.parametrize("compare", [operator.le, operator.lt, operator.eq, operator.ge])
def test_numbers_of_numpy_compare_as_those_of_python(compare):
    x = Tensor(np.array([0.1, 0.2], np.float32))
    for number in (np.float64(0.1), np.float32(0.1), np.array(0.1), Tensor(np.float64(0.1))):
        assert compare(x, number).tolist() == compare(x, 0.1).tolist()
        assert compare(number, x).tolist() == compare(0.1, x).tolist()


@pytest.mark.parametrize("wrong", [None, "2", [None], ["2"], 1j, np.array([1j]), {1: 2}, {3}, object(), b"2"])
def test_what_is_no_number_is_refused(wrong):
    x = Tensor([1.0, 2.0])
    for function in (
        lambda: x + wrong,
        lambda: wrong * x,
        lambda: ops.maximum(x, wrong),
        lambda: Tensor(wrong),
    ):
        with pytest.raises(DtypeError, match="expected numbers"):
            function()


def test_a_missing_return_is_guessed():
    with pytest.raises(DtypeError, match=r"add: argument 2: .*None; does a forward\(\) lack its return\?"):
        Tensor([1.0]) + None


def test_equality_also_takes_what_is_no_number():
    x = Tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    with pytest.raises(TypeError):
        _ = x < None


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_of_numpy_counts_as_an_array_and_gaps_are_refused():
    x = Tensor(np.eye(2) * 3)
    matrix = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    for y in (x * matrix, matrix * x):
        assert y.tolist() == [[3.0, 0.0], [0.0, 12.0]]
    with pytest.raises(DtypeError, match="masked"):
        x * np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], [[0, 1], [0, 0]])


def test_functions_of_numpy_do_not_leave_the_graph():
    x = Tensor([1.0, 4.0], requires_grad=True)
    for function, advice in ((np.exp, r"x\.exp\(\)"), (np.sqrt, r"x\.sqrt\(\)"), (np.floor, r"x\.numpy\(\)")):
        with pytest.raises(MiniresError, match=advice):
            function(x)
    for function in (
        np.sum,
        np.mean,
        lambda x: np.concatenate([x, x]),
        lambda x: np.where([True, False], x, 0),
    ):
        with pytest.raises(MiniresError):
            function(x)
    array = np.ones(2, np.float32)
    with pytest.raises(MiniresError, match="would leave the graph"):
        array += x
    array += x.detach()
    assert array.tolist() == [2.0, 5.0]
    assert np.allclose(x.detach(), [1, 4])


def test_an_operand_without_axes_does_not_promote():
    x = Tensor(np.ones(2, np.float32))
    for other in (Tensor(np.float64(2)), np.array(2.0), np.float64(2), [2.0, 2.0]):
        assert (x * other).dtype == np.float32
        assert (other * x).dtype == np.float32
