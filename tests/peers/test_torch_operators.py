"""Every operation against PyTorch on the samples with which PyTorch tests its operators (op_db).

They have no axes, no elements, one or a million; they are broadcast, strided, whole numbers, masks, infinite,
NaN. Result, dtype and gradients must be PyTorch's. A sample may also be refused, or differ, for a reason that
is listed.
"""

import operator
from functools import partial, reduce
from itertools import chain, product

import numpy as np
import pytest
from outcomes import Outcomes, assert_no_failures, assert_refused_as_listed, is_refusal
from torch_samples import call_text, compare, for_minires, leaves, operators

from minires import MiniresError, Tensor, ops
from minires.nn import functional as F

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")


def clamp_min(x, low):
    return x.clip(min=low)


def clamp_max(x, high):
    return x.clip(max=high)


def transposed(x):
    return x.T


def dropout(x, *args, **kwargs):
    return F.dropout(x, *args, **kwargs, generator=np.random.default_rng(0))


def convert(method, x, *args, memory_format=torch.preserve_format, **kwargs):
    """Every sample of a conversion says how the result lies in memory; this is the default."""
    if memory_format is not torch.preserve_format:
        kwargs["memory_format"] = memory_format
    return getattr(x, method)(*args, **kwargs)


NAMES = {"F": F, "Tensor": Tensor, "operator": operator, "ops": ops}
NAMES |= {function.__name__: function for function in (clamp_min, clamp_max, dropout, transposed)}
NAMES |= {f"convert_{method}": partial(convert, method) for method in ("to", "float", "double")}

# PyTorch's name of an operator, and of its variant, and all that should compute the same here.
OPERATIONS = {
    "abs": "ops.abs Tensor.abs operator.abs",
    "add": "ops.add operator.add",
    "sub": "ops.sub operator.sub",
    "mul": "ops.mul operator.mul",
    "div_no_rounding_mode": "ops.div operator.truediv",
    "true_divide": "ops.div",
    "neg": "ops.neg operator.neg",
    "pow": "ops.pow Tensor.pow operator.pow",
    "exp": "ops.exp Tensor.exp",
    "log": "ops.log Tensor.log",
    "sqrt": "ops.sqrt Tensor.sqrt",
    "maximum": "ops.maximum",
    "minimum": "ops.minimum",
    "clamp": "ops.clip Tensor.clip Tensor.clamp",
    "clamp_min": "clamp_min",
    "clamp_max": "clamp_max",
    "__radd__": "Tensor.__radd__",
    "__rsub__": "Tensor.__rsub__",
    "__rmul__": "Tensor.__rmul__",
    "__rdiv__": "Tensor.__rtruediv__",
    "__rpow__": "Tensor.__rpow__",
    "__rmatmul__": "Tensor.__rmatmul__",
    "eq": "operator.eq",
    "ne": "operator.ne",
    "lt": "operator.lt",
    "le": "operator.le",
    "gt": "operator.gt",
    "ge": "operator.ge",
    "sum": "ops.sum Tensor.sum",
    "mean": "ops.mean Tensor.mean",
    "var": "ops.var Tensor.var",
    "var_unbiased": "ops.var Tensor.var",
    "max_reduction_no_dim": "ops.max Tensor.max",
    "max_reduction_with_dim": "ops.max Tensor.max",
    "max_binary": "ops.max Tensor.max",
    "min_reduction_no_dim": "ops.min Tensor.min",
    "min_reduction_with_dim": "ops.min Tensor.min",
    "min_binary": "ops.min Tensor.min",
    "amax": "ops.amax Tensor.amax",
    "amin": "ops.amin Tensor.amin",
    "argmax": "ops.argmax Tensor.argmax",
    "argmin": "ops.argmin Tensor.argmin",
    "matmul": "ops.matmul Tensor.matmul operator.matmul",
    "mm": "ops.matmul",
    "mv": "ops.matmul",
    "bmm": "ops.matmul",
    "dot": "ops.matmul",
    "nn.functional.linear": "F.linear",
    "reshape": "ops.reshape Tensor.reshape",
    "view": "Tensor.view",
    "flatten": "ops.flatten Tensor.flatten",
    "permute": "ops.permute Tensor.permute",
    "transpose": "ops.transpose Tensor.transpose",
    "T": "transposed",
    "squeeze": "ops.squeeze Tensor.squeeze",
    "squeeze_multiple": "ops.squeeze Tensor.squeeze",
    "unsqueeze": "ops.unsqueeze Tensor.unsqueeze",
    "broadcast_to": "ops.broadcast_to Tensor.broadcast_to",
    "expand": "Tensor.expand",
    "cat": "ops.concatenate",
    "__getitem__": "Tensor.__getitem__",
    "nn.functional.pad_constant": "F.pad",
    "nn.functional.pad_reflect": "F.pad",
    "nn.functional.pad_replicate": "F.pad",
    "nn.functional.pad_replicate_negative": "F.pad",
    "nn.functional.pad_circular": "F.pad",
    "to": "convert_to",
    "float": "convert_float",
    "double": "convert_double",
    "item": "Tensor.item",
    "nn.functional.relu": "F.relu Tensor.relu",
    "sigmoid": "F.sigmoid Tensor.sigmoid",
    "tanh": "F.tanh Tensor.tanh",
    "softmax": "F.softmax Tensor.softmax",
    "softmax_with_dtype": "F.softmax",
    "log_softmax": "F.log_softmax Tensor.log_softmax",
    "log_softmax_with_dtype": "F.log_softmax",
    "nn.functional.dropout": "dropout",
    "nn.functional.conv2d": "F.conv2d",
    "nn.functional.max_pool2d": "F.max_pool2d",
    "nn.functional.avg_pool2d": "F.avg_pool2d",
    "nn.functional.adaptive_avg_pool2d": "F.adaptive_avg_pool2d",
    "nn.functional.batch_norm": "F.batch_norm",
    "nn.functional.local_response_norm": "F.local_response_norm",
    "nn.functional.cross_entropy": "F.cross_entropy",
    "nn.functional.mse_loss": "F.mse_loss",
}

# Operations of which PyTorch has no samples under this or another name.
NOT_AMONG_THE_SAMPLES = {"getitem", "global_avg_pool2d", "to"}

# Whose entries are sums of many terms.
SUMS = {
    *("sum", "mean", "var", "var_unbiased", "matmul", "mm", "mv", "bmm", "dot", "__rmatmul__"),
    *("softmax", "softmax_with_dtype", "log_softmax", "log_softmax_with_dtype"),
    *(f"nn.functional.{name}" for name in ("linear", "conv2d", "batch_norm", "cross_entropy", "mse_loss")),
    *("nn.functional.local_response_norm", "nn.functional.avg_pool2d", "nn.functional.adaptive_avg_pool2d"),
}

# {operation: phrases in the messages of minires}: why samples are refused.
FLOATS_ONLY = "must all be float32 or all float64"
IMAGES_ONLY = "the input must be (N, C, H, W)"
ONE_OR_TWO = "must be a whole number or a pair"
REFUSED = {
    "add": ["alpha="],
    "sub": ["alpha="],
    "pow": ["whole numbers have no negative whole powers"],
    "__rpow__": ["whole numbers have no negative whole powers"],
    "cat": ["is out of range for shape (0,)"],
    "to": ["unexpected keyword argument 'memory_format'", "non_blocking=", "copy="],
    "float": ["unexpected keyword argument 'memory_format'"],
    "double": ["unexpected keyword argument 'memory_format'"],
    "softmax_with_dtype": ["dtype="],
    "log_softmax_with_dtype": ["dtype="],
    "nn.functional.pad_constant": ["value="],
    "nn.functional.pad_reflect": ["mode='reflect'"],
    "nn.functional.pad_replicate": ["mode='replicate'"],
    "nn.functional.pad_replicate_negative": ["mode='replicate'"],
    "nn.functional.pad_circular": ["mode='circular'"],
    "nn.functional.dropout": ["p must be at least 0 and below 1, not 1.0"],
    "nn.functional.linear": [FLOATS_ONLY],
    "nn.functional.conv2d": [FLOATS_ONLY, IMAGES_ONLY, "not 'same'", "not 'valid'"],
    "nn.functional.max_pool2d": [FLOATS_ONLY, IMAGES_ONLY, "dilation=", "return_indices="],
    "nn.functional.avg_pool2d": [FLOATS_ONLY, ONE_OR_TWO, "divisor_override="],
    "nn.functional.adaptive_avg_pool2d": [IMAGES_ONLY, ONE_OR_TWO],
    "nn.functional.batch_norm": ["it needs (N, C, ...) and (C,)"],
    "nn.functional.cross_entropy": ["need (N, K), (N,)", "weight=", "ignore_index="],
}

# None of their samples agrees.
ALL_REFUSED = {
    *("softmax_with_dtype", "log_softmax_with_dtype"),
    *(f"nn.functional.pad_{mode}" for mode in ("reflect", "replicate", "replicate_negative", "circular")),
}

# {operation: {reason: whether it applies to a sample}}: where minires differs on purpose.
DIFFERENT = {
    "cat": {
        "PyTorch leaves out what has no elements and one axis, whatever the axes of the others": (
            lambda tensors, *args, **kwargs: any(x.shape == (0,) for x in tensors)
        ),
    },
    "nn.functional.local_response_norm": {
        "whole numbers are averaged in float32, by PyTorch without the fraction": (
            lambda x, *args, **kwargs: not x.is_floating_point()
        ),
    },
    "nn.functional.dropout": {
        "the random numbers are others": lambda x, p=0.5, training=True, **_: training and 0 < p < 1,
    },
}

# Calls that PyTorch refuses and minires does not.
NOT_REFUSED = {
    **dict.fromkeys(["pow", "maximum", "minimum", "max_binary", "min_binary"], "a number counts as a tensor"),
    **dict.fromkeys(["clamp_min", "clamp_max"], "a number counts as a tensor"),
    "mean": "whole numbers are averaged in float32",
}

# Also run by a plain `pytest`, in float32.
QUICK = sorted(OPERATIONS.keys() - {"nn.functional.max_pool2d"})


@pytest.fixture(autouse=True)
def seed():
    """The samples come from PyTorch's global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def samples(info, dtype):
    """The samples in one dtype, as (args, kwargs). Those of floating-point numbers require gradients."""
    dtype = getattr(torch, dtype)
    if dtype not in info.supported_dtypes("cpu"):
        return
    grad = dtype.is_floating_point
    if info.name == "clamp":  # whose longer list has whole numbers, which cannot require gradients
        short = info.sample_inputs("cpu", dtype, requires_grad=grad)
        given = chain(short, info.reference_inputs("cpu", dtype))
    else:
        given = info.reference_inputs("cpu", dtype, requires_grad=grad)
    for sample in given:
        args, kwargs = (sample.input, *sample.args), sample.kwargs
        if can_be_held((args, kwargs)):
            yield args, kwargs


def run(operation, samples):
    """The Outcomes of all samples with all functions of the operation."""
    outcomes, torch_function = Outcomes(), operators()[operation].op
    reasons = DIFFERENT.get(operation, {})
    for (args, kwargs), path in product(samples, OPERATIONS[operation].split()):
        if not can_be_written(path, args, kwargs):
            continue
        reason = next((reason for reason, applies in reasons.items() if applies(*args, **kwargs)), None)
        call = partial(compare, partial(call_named, path), torch_function, args, kwargs, operation in SUMS)
        outcomes.run(partial(call_text, path, args, kwargs), call, reason)
    return outcomes


def can_be_written(path, args, kwargs):
    """Not so for an operator with options, for 2 + 3, which is Python's, and for a method of 2."""
    if path.startswith(("ops.", "F.")):
        return True
    return isinstance(args[0], torch.Tensor) and not (kwargs and path.startswith("operator."))


def call_named(path, *args, **kwargs):
    """Call the function of a dotted name: "ops.add", "Tensor.sum", "transposed"."""
    first, *rest = path.split(".")
    return reduce(getattr, rest, NAMES[first])(*args, **kwargs)


@pytest.mark.parametrize("operation", QUICK)
def test_samples_in_float32(operation):
    info = operators()[operation]
    given = info.sample_inputs("cpu", torch.float32, requires_grad=True)
    outcomes = run(operation, [((sample.input, *sample.args), sample.kwargs) for sample in given])
    assert_no_failures([outcomes])
    assert_refused_as_listed([outcomes], REFUSED.get(operation, []), complete=False)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_all_samples(operation):
    info = operators()[operation]
    outcomes = [run(operation, samples(info, dtype)) for dtype in DTYPES]
    assert_no_failures(outcomes)
    assert_refused_as_listed(outcomes, REFUSED.get(operation, []))
    assert {reason for o in outcomes for reason in o.different} == set(DIFFERENT.get(operation, {}))
    agreed = sum(o.agreed for o in outcomes)
    assert bool(agreed) == (operation not in ALL_REFUSED)


@pytest.mark.slow
def test_calls_that_pytorch_refuses():
    """Its wrong calls are refused here, too, with an error of minires or for an unknown keyword."""
    accepted, failures = set(), []
    for operation, paths in OPERATIONS.items():
        for (args, kwargs), path in product(wrong_calls(operators()[operation]), paths.split()):
            if not can_be_written(path, args, kwargs):
                continue
            our_args, our_kwargs = for_minires((args, kwargs))
            try:
                call_named(path, *our_args, **our_kwargs)
                accepted.add(operation)
            except Exception as error:
                if not isinstance(error, MiniresError) and not is_refusal(error):
                    failures.append(f"{call_text(path, args, kwargs)}\n{type(error).__name__}: {error}")
    assert not failures, "\n\n".join(failures)
    assert accepted == NOT_REFUSED.keys()


def wrong_calls(info):
    """Calls that PyTorch refuses, as (args, kwargs), of tensors that minires can hold."""
    if info.error_inputs_func is None:
        return
    for error in info.error_inputs("cpu"):
        sample = error.sample_input
        args, kwargs = (sample.input, *sample.args), sample.kwargs
        if can_be_held((args, kwargs)):
            yield args, kwargs


def can_be_held(x):
    """Whether minires has the dtypes and NumPy the numbers of axes of all tensors in x."""
    dtypes = {getattr(torch, name) for name in DTYPES}
    return all(tensor.dtype in dtypes and tensor.ndim <= 64 for tensor in leaves(x, torch.Tensor))


def test_every_operation_is_compared():
    compared = {path.split(".")[-1] for paths in OPERATIONS.values() for path in paths.split()}
    assert set(ops.__all__) - compared == NOT_AMONG_THE_SAMPLES
