"""Every operation against ONNX: the test cases of its operators that the package onnx brings along.

A case is a graph of one node or of a few, with inputs and outputs: one for each way to use an operator
(`node`), functions spelled out as graphs (`node`, too), and models that PyTorch has exported (`simple`,
`pytorch-operator`, `pytorch-converted`). A case is run if minires has all of its operators and dtypes. Its
outputs must agree, or minires refuses it with an error of its own, or it is listed as different.
"""

import math
from fnmatch import fnmatchcase
from functools import cache, partial, reduce
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from outcomes import Outcomes, assert_no_failures, assert_refused_as_listed

from minires import Tensor, ops
from minires.nn import functional as F

onnx = pytest.importorskip("onnx")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


# ---- ONNX's operators in terms of ours: each takes the inputs and, by name, the attributes of a node.


def numbers(x):
    """The whole numbers of an attribute or of an input, as a list."""
    return [x] if isinstance(x, int) else x.tolist() if isinstance(x, Tensor) else list(x)


def text(attribute):
    return attribute.decode() if isinstance(attribute, bytes) else attribute


def dtype_name(element_type):
    return onnx.helper.tensor_dtype_to_np_dtype(element_type).name


def axes_of(x, axes):
    """The axes to reduce: all of them where none is given."""
    return tuple(range(x.ndim)) if axes is None or not numbers(axes) else tuple(numbers(axes))


def reduction(function):
    def reduced(x, axes=None, keepdims=1, noop_with_empty_axes=0):
        if noop_with_empty_axes and (axes is None or not numbers(axes)):
            return x
        return function(x, axes_of(x, axes), keepdim=bool(keepdims))

    return reduced


def arg(function):
    def index(x, axis=0, keepdims=1, select_last_index=0):
        check(not select_last_index, "the last of equal ones")
        return function(x, axis, keepdim=bool(keepdims))

    return index


def check(here, what):
    """AssertionError unless the case asks for what can be asked for here."""
    assert here, f"there is no way to ask for {what}"


def softmax(function):
    return lambda x, axis=-1: function(x, axis)


def clip(x, low=None, high=None, min=None, max=None):
    return x.clip(low if min is None else min, high if max is None else max)


def conv(x, W, b=None, auto_pad=b"NOTSET", dilations=1, group=1, kernel_shape=None, pads=0, strides=1):
    x, padding = padded(x, W.shape[2:], auto_pad, dilations, pads, strides)
    return F.conv2d(x, W, b, strides, padding, dilations, group)


def padded(x, kernel, auto_pad, dilations, pads, strides):
    """(x, the padding for both sides); where the sides differ, x inside of zeros, and 0."""
    if text(auto_pad).startswith("SAME"):
        strides = [strides] * len(kernel) if strides == 1 else strides
        outputs = [math.ceil(n / s) for n, s in zip(x.shape[2:], strides, strict=True)]
        sizes = zip(outputs, strides, kernel, x.shape[2:], strict=True)
        totals = [max(0, (o - 1) * s + k - n) for o, s, k, n in sizes]
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        pads = small + large if text(auto_pad) == "SAME_UPPER" else large + small
    if pads == 0:
        return x, 0
    half = len(pads) // 2
    if pads[:half] == pads[half:]:
        return x, pads[:half]
    sides = zip(reversed(pads[:half]), reversed(pads[half:]), strict=True)
    return F.pad(x, list(chain.from_iterable(sides))), 0


def max_pool(
    x, kernel_shape, auto_pad=b"NOTSET", ceil_mode=0, dilations=1, pads=0, storage_order=0, strides=1
):
    unpadded, padding = padded(x, kernel_shape, auto_pad, dilations, pads, strides)
    check(unpadded is x, "another padding above than below")
    return F.max_pool2d(x, kernel_shape, strides, padding, dilations, bool(ceil_mode))


def average_pool(
    x,
    kernel_shape,
    auto_pad=b"NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    pads=0,
    strides=1,
):
    unpadded, padding = padded(x, kernel_shape, auto_pad, 1, pads, strides)
    check(unpadded is x or count_include_pad, "another padding above than below")
    check(dilations is None or set(dilations) == {1}, "dilation")
    return F.avg_pool2d(unpadded, kernel_shape, strides, padding, bool(ceil_mode), bool(count_include_pad))


def batch_normalization(
    x, scale, bias, mean, var, epsilon=1e-5, momentum=0.9, training_mode=0, is_test=0, spatial=1
):
    y = F.batch_norm(x, mean, var, scale, bias, bool(training_mode), 1 - momentum, epsilon)
    return (y, mean, var) if training_mode else y


def dropout(x, ratio=0.5, training_mode=False, seed=0, is_test=0):
    ratio, training = float(ratio), bool(training_mode)
    return F.dropout(x, ratio, training)


def lrn(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    return F.local_response_norm(x, size, alpha, beta, bias)


def cross_entropy(scores, labels, weight=None, ignore_index=None, reduction=b"mean"):
    options = {"weight": weight, "ignore_index": ignore_index}
    options = {name: value for name, value in options.items() if value is not None}
    y = F.cross_entropy(scores, labels, reduction=text(reduction), **options)
    return y, F.log_softmax(scores, 1)


def gemm(a, b, c=0.0, alpha=1.0, beta=1.0, transA=0, transB=0, broadcast=0):
    a, b = a.T if transA else a, b.T if transB else b
    return alpha * (a @ b) + beta * c


def flatten(x, axis=1):
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def reshape(x, shape, allowzero=0):
    lengths = numbers(shape)
    return x.reshape([x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(lengths)])


def expand(x, shape):
    return x.broadcast_to(np.broadcast_shapes(x.shape, numbers(shape)))


def transpose(x, perm=None):
    return x.permute(perm or tuple(reversed(range(x.ndim))))


def squeeze(x, axes=None):
    return x.squeeze() if axes is None else x.squeeze(tuple(numbers(axes)))


def unsqueeze(x, axes):
    axes = numbers(axes)
    return reduce(ops.unsqueeze, sorted(axis % (x.ndim + len(axes)) for axis in axes), x)


def concat(*tensors, axis=1):
    return ops.concatenate(tensors, axis)


def split(x, split=None, axis=0, num_outputs=None):
    n = x.shape[axis]
    if split is None:
        longest = math.ceil(n / num_outputs)
        split = [min(longest, n - start) for start in range(0, n, longest)]
    ends = np.cumsum(numbers(split)).tolist()
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(start, end))] for start, end in zip([0, *ends], ends, strict=False))


def gather(x, indices, axis=0):
    return x[(*(slice(None),) * (axis % x.ndim), indices)]


def slices(x, starts, ends, axes=None, steps=None):
    index = [slice(None)] * x.ndim
    axes = range(len(numbers(starts))) if axes is None else numbers(axes)
    steps = [1] * len(axes) if steps is None else numbers(steps)
    for axis, *bounds in zip(axes, numbers(starts), numbers(ends), steps, strict=True):
        index[axis] = slice(*bounds)
    return x[tuple(index)]


def pad(x, pads, value=0.0, axes=None, mode=b"constant"):
    widths, axes = numbers(pads), range(x.ndim) if axes is None else numbers(axes)
    sides = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        sides[axis] = widths[i], widths[i + len(axes)]
    value = value.item() if isinstance(value, Tensor) else value
    return F.pad(x, list(chain.from_iterable(reversed(sides))), text(mode), value)


def constant(value=None, value_float=None, value_floats=None, value_int=None, value_ints=None):
    if value is not None:
        return tensor_of(value)
    if value_float is not None or value_floats is not None:
        return Tensor(value_float if value_floats is None else value_floats)
    return Tensor(np.array(value_int if value_ints is None else value_ints, np.int64))


def binary(function):
    """A function of two tensors. The attributes are those of old versions, where a shape was not enough."""
    return lambda a, b, broadcast=0, axis=None, fmod=0: function(a, b)


def divide(a, b):
    """ONNX divides whole numbers without the rest, towards 0."""
    y = a / b
    return y if a.dtype.kind == "f" else y.to(a.dtype.name)


def all_of(function):
    return lambda *tensors: reduce(function, tensors)


OPERATORS = {
    "Abs": ops.abs,
    "Add": binary(lambda a, b: a + b),
    "ArgMax": arg(ops.argmax),
    "ArgMin": arg(ops.argmin),
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": lambda x, to, saturate=1, round_mode=None: x.to(dtype_name(to)),
    "CastLike": lambda x, y, saturate=1, round_mode=None: x.to(y.dtype.name),
    "Clip": clip,
    "Concat": concat,
    "Constant": constant,
    "Conv": conv,
    "Div": binary(divide),
    "Dropout": dropout,
    "Equal": binary(lambda a, b: a == b),
    "Exp": ops.exp,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "GlobalMaxPool": lambda x: ops.amax(x, tuple(range(2, x.ndim)), keepdim=True),
    "Greater": binary(lambda a, b: a > b),
    "GreaterOrEqual": binary(lambda a, b: a >= b),
    "Identity": lambda x: x,
    "LRN": lrn,
    "Less": binary(lambda a, b: a < b),
    "LessOrEqual": binary(lambda a, b: a <= b),
    "Log": ops.log,
    "LogSoftmax": softmax(F.log_softmax),
    "MatMul": ops.matmul,
    "Max": all_of(ops.maximum),
    "MaxPool": max_pool,
    "Mean": lambda *tensors: reduce(ops.add, tensors) / len(tensors),
    "Min": all_of(ops.minimum),
    "Mul": binary(lambda a, b: a * b),
    "Neg": ops.neg,
    "Pad": pad,
    "Pow": binary(lambda a, b: a**b),
    "Reciprocal": lambda x: 1 / x,
    "ReduceMax": reduction(ops.amax),
    "ReduceMean": reduction(ops.mean),
    "ReduceMin": reduction(ops.amin),
    "ReduceSum": reduction(ops.sum),
    "Relu": F.relu,
    "Reshape": reshape,
    "Shape": lambda x, start=0, end=None: Tensor(np.array(x.shape[start:end], np.int64)),
    "Sigmoid": F.sigmoid,
    "Slice": slices,
    "Softmax": softmax(F.softmax),
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "Split": split,
    "Sqrt": ops.sqrt,
    "Squeeze": squeeze,
    "Sub": binary(lambda a, b: a - b),
    "Sum": all_of(ops.add),
    "Tanh": F.tanh,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}

# {pattern of the names of cases: why they differ on purpose}
DIFFERENT = {
    "test_arg*_select_last_index": "of equal entries the first counts",
    "test_averagepool_*_dilations*": "an average pool has no dilation",
    "test_*pool_2d_same_*er": "a pool has the same padding on both sides",
    "test_maxpool_with_argmax_*": "a pool returns no indices",
    "test_*dropout_*mask*": "dropout returns no mask",
    "test_training_dropout": "the random numbers are others",
    "test_training_dropout_default": "the random numbers are others",
    "test_batchnorm_*_training_mode": "the running variance is the unbiased one, as in PyTorch",
    "test_pow_types_int??_float32": "the result's dtype is that of both, as in PyTorch, not that of the base",
}

# {operator, or kind of cases: phrases in the messages of minires}: why cases are refused.
ONE_OR_TWO = "kernel_size must be a whole number or a pair"
REFUSED = {
    "AveragePool": [ONE_OR_TWO, "is more than half of the window"],
    "Clip": ["give min, max or both"],
    "MaxPool": [ONE_OR_TWO, "is more than half of the window", "dilation=", "must all be float32"],
    "Pad": ["mode='edge'", "mode='reflect'", "mode='wrap'", "value="],
    "ReduceMax": ["there is nothing to compare"],
    "ReduceMin": ["there is nothing to compare"],
    "SoftmaxCrossEntropyLoss": ["need (N, K), (N,)", "weight=", "ignore_index="],
    "functions": ["the weight must be (O, C/groups, KH, KW)"],
    "pytorch-operator": [ONE_OR_TWO, "mode='reflect'"],
    "pytorch-converted": [
        ONE_OR_TWO,
        "the weight must be (O, C/groups, KH, KW)",
        "dilation=",
        "mode=",
        "value=",
    ],
}

# Also run by a plain `pytest`: their cases are made in no time.
QUICK = ["Add", "Concat", "Conv", "Div", "MatMul", "Mul", "Pow", "Relu", "Reshape", "Sub", "Transpose"]


# ---- Running the cases.

KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")


def run_graph(graph, inputs):
    """The outputs of a graph for inputs, in order."""
    values = {initializer.name: tensor_of(initializer) for initializer in graph.initializer}
    names = [given.name for given in graph.input if given.name not in values]
    copies = [Tensor(np.array(x)) for x in inputs]  # batch norm changes its statistics
    values |= dict(zip(names, copies, strict=True)) | {"": None}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Split":
            attributes.setdefault("num_outputs", len(node.output))
        outputs = OPERATORS[node.op_type](*[values[name] for name in node.input], **attributes)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        check(len(outputs) >= len(node.output), f"the outputs {', '.join(node.output)}")
        values |= dict(zip(node.output, outputs, strict=False))
    return [values[output.name] for output in graph.output]


def tensor_of(proto):
    return Tensor(onnx.numpy_helper.to_array(proto))


def compare(model, inputs, expected, rtol, atol):
    """AssertionError unless the outputs have the same shapes, dtypes and numbers."""
    for result, array in zip(run_graph(model.graph, inputs), expected, strict=True):
        assert isinstance(result, Tensor), f"the result is {result!r}, not a tensor"
        assert (result.dtype, result.shape) == (array.dtype, array.shape), (
            f"{result.dtype} {result.shape}, not {array.dtype} {array.shape}"
        )
        np.testing.assert_allclose(result.numpy(), array, rtol, atol)


@cache
def cases(kind):
    """All cases of a kind that can be run, as (name, model, inputs, outputs, rtol, atol)."""
    return list(runnable(import_module("onnx.backend.test.loader").load_model_tests(kind=kind)))


def runnable(all_cases):
    for case in all_cases:
        for model, inputs, outputs in content(case):
            if can_be_run(model, [*inputs, *outputs]):
                yield case.name, model, inputs, outputs, case.rtol, case.atol


def content(case):
    """(model, inputs, outputs) of each set of data, the arrays from memory or from files."""
    if case.data_sets is not None:
        for inputs, outputs in case.data_sets:
            yield case.model, [*map(to_array, inputs)], [*map(to_array, outputs)]
        return
    model = onnx.load(f"{case.model_dir}/model.onnx")
    for folder in sorted(Path(case.model_dir).glob("test_data_set_*")):
        yield model, read_arrays(folder, "input"), read_arrays(folder, "output")


def read_arrays(folder, kind):
    files = [folder / f"{kind}_{i}.pb" for i in range(len(list(folder.glob(f"{kind}_*.pb"))))]
    return [to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in files]


def to_array(x):
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def can_be_run(model, arrays):
    """Whether minires has all operators of the graph and all dtypes of its inputs and outputs."""
    operators = {node.op_type for node in model.graph.node}
    return operators <= OPERATORS.keys() and all(
        isinstance(array, (np.ndarray, np.generic))
        and (array.dtype.kind in "iub" or array.dtype in (np.float32, np.float64))
        for array in arrays
    )


def patterns(name):
    """The patterns of DIFFERENT that a case's name has."""
    return [pattern for pattern in DIFFERENT if fnmatchcase(name, pattern)]


def check_cases(given, refused=()):
    """Run these cases; those that fail must be those that are listed, and so must the refusals."""
    outcomes, listed = Outcomes(), set()
    for name, model, inputs, outputs, rtol, atol in given:
        listed |= {name} if patterns(name) else set()
        outcomes.run(
            partial(case_text, name, model, inputs),
            partial(compare, model, inputs, outputs, rtol, atol),
            name if patterns(name) else None,
        )
    assert_no_failures([outcomes])
    assert_refused_as_listed([outcomes], refused)
    assert outcomes.different.keys() == listed, "a listed case does not differ any more"
    assert outcomes.agreed or refused


def case_text(name, model, inputs):
    texts = [f"{array.dtype} {array.shape}: {array}" for array in inputs]
    return "\n".join([name, onnx.printer.to_text(model.graph), *texts])


def of_one_node(case, operator):
    return [node.op_type for node in case[1].graph.node] == [operator]


@pytest.mark.parametrize("operator", QUICK)
def test_cases_of(operator):
    node = import_module("onnx.backend.test.case.node")
    import_module(f"onnx.backend.test.case.node.{operator.lower()}")
    given = (case for case in runnable(node._NodeTestCases) if of_one_node(case, operator))
    check_cases(given, REFUSED.get(operator, ()))


@pytest.mark.slow
@pytest.mark.parametrize("operator", [name for name in OPERATORS if name not in QUICK])
def test_all_cases_of(operator):
    given = (case for case in cases("node") if of_one_node(case, operator))
    check_cases(given, REFUSED.get(operator, ()))


@pytest.mark.slow
def test_functions_as_graphs():
    given = (case for case in cases("node") if len(case[1].graph.node) > 1)
    check_cases(given, REFUSED.get("functions", ()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[1:])
def test_models(kind):
    check_cases(cases(kind), REFUSED.get(kind, ()))


@pytest.mark.slow
def test_all_listed_cases_exist():
    found = {pattern for kind in KINDS for case in cases(kind) for pattern in patterns(case[0])}
    assert found == DIFFERENT.keys()
