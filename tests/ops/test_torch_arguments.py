"""Operations take PyTorch's arguments, by position and by PyTorch's names."""

import numpy as np
import pytest

import minires.nn.functional as F
from minires import Tensor

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype("f4")
ROWS = X.reshape(8, 36)
LABELS = np.arange(8)

# {operation: arguments in PyTorch's order}. Each value differs from the default and changes the result, so
# that a wrong order is seen. PyTorch itself is called in the same two ways.
FUNCTIONS = {
    "adaptive_avg_pool2d": {"input": X, "output_size": (2, 3)},
    "avg_pool2d": {
        "input": X, "kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True,
        "count_include_pad": False,
    },
    "batch_norm": {
        "input": X, "running_mean": X[0, :, 0, 0], "running_var": X[0, :, 0, 1] ** 2, "weight": X[0, :, 0, 2],
        "bias": X[0, :, 0, 3], "training": True, "momentum": 0.3, "eps": 0.2,
    },
    "conv2d": {
        "input": X, "weight": X[:, :2, :3, :3], "bias": X[0, :2, 0, 0], "stride": (2, 1), "padding": (1, 2),
        "dilation": (1, 2), "groups": 2,
    },
    "cross_entropy": {"input": ROWS, "target": LABELS, "weight": None, "size_average": None},
    "linear": {"input": ROWS, "weight": ROWS[:3], "bias": ROWS[0, :3]},
    "local_response_norm": {"input": X, "size": 3, "alpha": 0.1, "beta": 0.5, "k": 2.0},
    "log_softmax": {"input": X, "dim": 1},
    "max_pool2d": {
        "input": X, "kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True,
    },
    "mse_loss": {
        "input": ROWS, "target": ROWS[::-1].copy(), "size_average": None, "reduce": None, "reduction": "sum",
    },
    "pad": {"input": X, "pad": (1, 2, 0, 3), "mode": "constant", "value": None},
    "relu": {"input": X, "inplace": False},
    "sigmoid": {"input": X},
    "softmax": {"input": X, "dim": 2},
    "tanh": {"input": X},
}  # fmt: skip
METHODS = {
    "amax": {"dim": (0, 2), "keepdim": True},
    "amin": {"dim": (0, 2), "keepdim": True},
    "argmax": {"dim": 1, "keepdim": True},
    "argmin": {"dim": 1, "keepdim": True},
    "clamp": {"min": -0.5, "max": 0.25},
    "clip": {"min": -0.5, "max": 0.25},
    "flatten": {"start_dim": 1, "end_dim": 2},
    "log_softmax": {"dim": 1},
    "matmul": {"other": X.transpose(0, 1, 3, 2)},
    "max": {"dim": 1, "keepdim": True},
    "maximum": {"other": X[:1]},
    "mean": {"dim": (1, 3), "keepdim": True},
    "min": {"dim": 1, "keepdim": True},
    "minimum": {"other": X[:1]},
    "pow": {"exponent": 2},
    "size": {"dim": 1},
    "softmax": {"dim": 1},
    "squeeze": {"dim": 0},
    "sum": {"dim": (1, 3), "keepdim": True},
    "transpose": {"dim0": 1, "dim1": 3},
    "unsqueeze": {"dim": 1},
    "var": {"dim": (1, 3), "unbiased": False, "keepdim": True},
    "view": {"size": (8, 36)},
    "reshape": {"shape": (8, 36)},
    "permute": {"dims": (3, 0, 2, 1)},
    "expand": {"size": (3, 2, 4, 6, 6)},
    "broadcast_to": {"size": (3, 2, 4, 6, 6)},
}


def results(function, arguments, to_tensor):
    """What the function returns for the arguments by position and by name, as arrays."""
    values = [to_tensor(a) if isinstance(a, np.ndarray) else a for a in arguments.values()]
    for y in (function(*values), function(**dict(zip(arguments, values, strict=True)))):
        yield [np.asarray(part) for part in (y if isinstance(y, tuple) else (y,))]


def check_agreement(ours, theirs, arguments):
    our_results = results(ours, arguments, lambda a: Tensor(a.copy()))
    their_results = results(theirs, arguments, lambda a: torch.tensor(a))
    for y, expected in zip(our_results, their_results, strict=True):
        assert len(y) == len(expected)
        for part, expected_part in zip(y, expected, strict=True):
            np.testing.assert_allclose(part, expected_part, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_pytorchs_arguments(name):
    check_agreement(getattr(F, name), getattr(torch.nn.functional, name), FUNCTIONS[name])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_pytorchs_arguments(name):
    check_agreement(getattr(Tensor(X), name), getattr(torch.tensor(X), name), METHODS[name])
