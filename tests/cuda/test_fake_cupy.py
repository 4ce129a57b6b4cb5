"""The fake CuPy computes the same as NumPy, and refuses what CuPy refuses."""

import inspect
import re
from operator import attrgetter

import numpy as np
import pytest
from fake_cupy.functions import OF_NUMPY
from fake_cupy.signatures import FUNCTIONS, METHODS, signature


@pytest.fixture
def x(cp, rng):
    return cp.asarray(rng.standard_normal((2, 3, 4)).astype(np.float32))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, xp: x + x * 2 - 1,
        lambda x, xp: 1 / (x * x + 1),
        lambda x, xp: -(abs(x) ** 2),
        lambda x, xp: x > 0,
        lambda x, xp: x.sum(axis=(0, 2)),
        lambda x, xp: x.mean(),
        lambda x, xp: xp.maximum(x, 0),
        lambda x, xp: xp.where(x > 0, x, 0.5),
        lambda x, xp: xp.exp(x, out=xp.empty_like(x)),
        lambda x, xp: x.transpose(2, 0, 1).reshape(4, 6),
        lambda x, xp: x[0, :, 1:3],
        lambda x, xp: x[1, 2, 3],
        lambda x, xp: x[x > 0],
        lambda x, xp: x[xp.array([1, 0, 1])],
        lambda x, xp: x[:, [0, 2]],
        lambda x, xp: xp.concatenate([x, x], axis=1),
        lambda x, xp: xp.full_like(x, 3, shape=(2, 2)),
        lambda x, xp: x.reshape(6, 4) @ x[0].T,
        lambda x, xp: xp.arange(5, dtype=xp.int32) % 3,
        lambda x, xp: xp.zeros((0, 3), xp.float32).sum(axis=0),
        lambda x, xp: xp.lib.stride_tricks.as_strided(x, (2, 2), (4, 4)),
        lambda x, xp: xp.nonzero(x > 0)[1],
        lambda x, xp: x.astype(xp.float64).sum(),
        lambda x, xp: np.float32(2) * x,
    ],
)
def test_computes_what_numpy_does(cp, x, function):
    result, expected = function(x, cp), np.asarray(function(x.get(), np))
    assert isinstance(result, cp.ndarray)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    assert np.array_equal(result.get(), expected)


def test_changes_in_place_and_through_views(cp, x):
    expected = x.get()
    x += 1
    x[0] *= 2
    x[:, 1, 2:] = 7
    x.reshape(-1)[3] = -1
    x.T[0] = x.T[1]
    expected += 1
    expected[0] *= 2
    expected[:, 1, 2:] = 7
    expected.reshape(-1)[3] = -1
    expected.T[0] = expected.T[1]
    assert np.array_equal(x.get(), expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, cp: np.asarray(x),
        lambda x, cp: np.add(x, x.get()),
        lambda x, cp: x + x.get(),
        lambda x, cp: x.get() + x,
        lambda x, cp: x * [1, 2, 3, 4],
        lambda x, cp: cp.maximum(x, np.zeros(1)),
        lambda x, cp: cp.sum([1, 2]),
        lambda x, cp: cp.sum(x.get()),
        lambda x, cp: x.__setitem__(0, x.get()[0]),
        lambda x, cp: x.__setitem__((0, 0), [1, 2, 3, 4]),
    ],
)
def test_refuses_to_mix_with_the_host(cp, x, function):
    with pytest.raises(TypeError):
        function(x, cp)


def test_refuses_accidental_float64(cp, x):
    with pytest.raises(AssertionError, match="float64"):
        x * np.float64(2)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, cp: cp.sum(x, where=x > 0),
        lambda x, cp: cp.add(x, x, where=x > 0),
        lambda x, cp: x.max(initial=0),
        lambda x, cp: cp.clip(x, a_min=0),
        lambda x, cp: cp.concatenate([x, x], 0, None, x.dtype),
        lambda x, cp: x.astype("float64", like=x),
        lambda x, cp: range(cp.array(3)),
    ],
)
def test_refuses_what_only_numpy_can(cp, x, function):
    with pytest.raises(TypeError):
        function(x, cp)


@pytest.mark.parametrize("name", ["random", "linalg", "block", "spacing", "ndarray_of_nothing"])
def test_has_no_more_than_cupy(cp, name):
    assert not hasattr(cp, name)


def test_refuses_an_empty_shape_which_cupy_would_ignore(cp, x):
    with pytest.raises(ValueError, match=r"shape \(\)"):
        cp.zeros_like(x, shape=())


@pytest.mark.parametrize(
    ("function", "keeps_order"),
    [
        (lambda x, cp: x + 1, False),
        (lambda x, cp: cp.maximum(x, 0), False),
        (lambda x, cp: cp.where(x > 0, x, 0), False),
        (lambda x, cp: x.copy(), False),
        (lambda x, cp: x.copy("K"), True),
        (lambda x, cp: x.astype("float64"), True),
        (lambda x, cp: cp.zeros_like(x), True),
        (lambda x, cp: cp.empty_like(x, shape=(4, 3, 5)), True),
        (lambda x, cp: cp.empty_like(x, shape=(4, 3, 5, 1)), False),
        (lambda x, cp: cp.array(x), True),
        (lambda x, cp: cp.asarray(x.get(order="K")), False),
        (lambda x, cp: cp.add(x, x, out=cp.zeros_like(x)), True),
        (lambda x, cp: cp.asarray(np.asfortranarray(x.get())), True),
    ],
)
def test_results_lie_in_memory_as_those_of_cupy(cp, x, function, keeps_order):
    """In C order, unless a function says otherwise; NumPy keeps the order of the arguments."""
    y = function(x.transpose(1, 0, 2)[::2], cp)
    assert y.flags.c_contiguous != keeps_order
    assert y.nbytes == y.size * y.itemsize


def test_multiplies_no_stacks_of_matrices_in_bfloat16(cp, x):
    narrow = x.astype(pytest.importorskip("ml_dtypes").bfloat16)
    with pytest.raises(TypeError, match="bfloat16"):
        narrow @ narrow.transpose(0, 2, 1)


def test_from_the_host_and_back(cp, x, rng):
    values = rng.standard_normal(x.shape).astype(np.float32)
    x.set(values)
    assert np.array_equal(x.get(), values)
    assert cp.asnumpy(x, out=np.empty_like(values)).tobytes() == x.tobytes() == values.tobytes()
    assert f"{x[0, 0, 0]:.3f}" == f"{values[0, 0, 0]:.3f}"
    x.T.set(values.T)
    assert np.array_equal(x.get(), values)


@pytest.mark.parametrize(
    ("part", "values", "error"),
    [
        (..., np.zeros((2, 3, 4)), TypeError),
        (..., np.zeros((2, 3), np.float32), ValueError),
        (..., [0.0], TypeError),
        (np.s_[:, ::2], np.zeros((2, 2, 4), np.float32), RuntimeError),
    ],
)
def test_set_refuses_what_does_not_fit(cp, x, part, values, error):
    with pytest.raises(error):
        x[part].set(values)


def test_adds_where_indices_repeat(cp):
    x = cp.zeros(3, np.float32)
    cp.add.at(x, cp.array([0, 2, 0]), 1)
    assert x.get().tolist() == [2, 0, 1]
    with pytest.raises(TypeError, match="int64"):
        cp.add.at(cp.zeros(3, np.int64), cp.array([0]), 1)
    assert not hasattr(cp.multiply, "at")


def test_functions_are_called_as_those_of_cupy():
    """Needs CuPy, but no GPU."""
    cupy = pytest.importorskip("cupy")
    signatures = FUNCTIONS | {f"ndarray.{name}": signature for name, signature in METHODS.items()}
    assert {name: str(signature) for name, signature in signatures.items()} == {
        name: str(signature_of(attrgetter(name)(cupy))) for name in signatures
    }
    assert [name for name in OF_NUMPY if not hasattr(cupy, name)] == []


def signature_of(function):
    """The signature of a function of CuPy, without types; from its docstring if the function is compiled."""
    try:
        found_signature = inspect.signature(function)
    except ValueError:
        text = re.search(r"\(.*?\)(?=$| ->)", function.__doc__.replace("\\", ""), re.M)[0]
        return signature(re.sub(r"\b(int|Py_ssize_t|_ndarray_base) (?=\w)", "", text))
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found_signature.parameters.values()
    ]
    return inspect.Signature(parameters)
