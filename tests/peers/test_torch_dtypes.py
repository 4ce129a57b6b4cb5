"""The dtype of a result of two operands is PyTorch's, for all pairs of dtypes.

An operand may be an array, a single number as a tensor without axes, or a number of Python's. The last two
decide only where they are of another kind (truth value, whole number, fraction) than an array.
"""

import operator
from functools import partial
from itertools import product

import numpy as np
import pytest
from outcomes import Outcomes, assert_no_failures
from torch_samples import assert_same

from minires import MiniresError, Tensor, ops

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")

# With all three kinds of operands, with tensors only, with arrays only.
OPERATORS = ("add", "sub", "mul", "truediv", "pow", "eq", "lt")
OF_TENSORS = {"maximum": (ops.maximum, torch.maximum)}
OF_ARRAYS = {
    "matmul": (ops.matmul, torch.matmul),
    "concatenate": (lambda *x: ops.concatenate(x), lambda *x: torch.cat(x)),
}
FUNCTIONS = {name: (getattr(operator, name),) * 2 for name in OPERATORS} | OF_TENSORS | OF_ARRAYS


def operands(name, dtypes):
    yield from (np.array([2, 1, 0], dtype) for dtype in dtypes)
    if name not in OF_ARRAYS:
        yield from (np.array(2, dtype) for dtype in dtypes)


def compare(name, x, y):
    """AssertionError unless the results are the same, or PyTorch refuses and so does minires."""
    function, torch_function = FUNCTIONS[name]
    ours = [Tensor(z) if isinstance(z, np.ndarray) else z for z in (x, y)]
    others = [torch.tensor(z) if isinstance(z, np.ndarray) else z for z in (x, y)]
    try:
        expected = torch_function(*others)
    except (RuntimeError, NotImplementedError, TypeError) as refusal:
        try:
            result = function(*ours)
        except MiniresError:
            return
        raise AssertionError(f"the result is {result!r}, but PyTorch says: {refusal}") from None
    assert_same(function(*ours), expected, "the result", sums=False)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_of_two_operands(name, dtype):
    outcomes = Outcomes()
    numbers = (2, 2.5, True) if name in OPERATORS else ()
    for x, other in product(operands(name, [dtype]), [*operands(name, DTYPES), *numbers]):
        for pair in ((x, other), (other, x)):
            outcomes.run(partial(f"{name}({{!r}}, {{!r}})".format, *pair), partial(compare, name, *pair))
    assert outcomes.agreed
    assert_no_failures([outcomes], most=30)
