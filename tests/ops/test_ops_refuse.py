"""Wrong input raises an error that names the operation and the input and is also a ValueError."""

import operator

import numpy as np
import pytest

from minires import Tensor, nn, ops
from minires.errors import DtypeError, MiniresError, OptionError, ShapeError


def ones(*shape):
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


def batch_norm(x, n, **options):
    return ops.batch_norm(x, ones(n), ones(n), ones(n), ones(n), **options)


# (operation, a call that it refuses, texts that the message must contain)
SHAPES = [
    ("add", lambda: ones(2, 3) + ones(4), ["(2, 3)", "(4,)"]),
    ("sub", lambda: ones(2, 3) - ones(2), ["(2, 3)", "(2,)"]),
    ("mul", lambda: ones(2, 3) * ones(3, 2), ["(2, 3)", "(3, 2)"]),
    ("div", lambda: ones(2, 3) / ones(3, 2), ["(2, 3)", "(3, 2)"]),
    ("pow", lambda: ones(2, 3) ** ones(3, 2), ["(2, 3)", "(3, 2)"]),
    ("maximum", lambda: ops.maximum(ones(2, 3), ones(2)), ["(2, 3)", "(2,)"]),
    ("matmul", lambda: ones(2, 3) @ ones(2, 3), ["(2, 3) @ (2, 3)", "3 columns", "2 rows"]),
    ("matmul", lambda: ones(3) @ ones(4), ["(3,)", "(4,)"]),
    ("matmul", lambda: ones(2, 3, 4) @ ones(3, 4, 2), ["(2, 3, 4)", "(3, 4, 2)"]),
    ("matmul", lambda: ones() @ ones(2, 2), ["()", "(2, 2)"]),
    ("linear", lambda: ops.linear(ones(2, 3), ones(4, 5)), ["(2, 3)", "(4, 5)"]),
    ("linear", lambda: ops.linear(ones(2, 3), ones(4, 3), ones(3)), ["(3,)", "(4, 3)", "(4,)"]),
    ("linear", lambda: ops.linear(ones(2, 3), ones(3)), ["(2, 3)", "(3,)"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 3, 5, 5), ones(4, 2, 3, 3)), ["(1, 3, 5, 5)", "(4, 2, 3, 3)"]),
    (
        "conv2d",
        lambda: ops.conv2d(ones(1, 4, 5, 5), ones(4, 4, 3, 3), groups=2),
        ["groups=2", "(4, 4, 3, 3)"],
    ),
    ("conv2d", lambda: ops.conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2), ["groups=2", "3 outputs"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 1, 2, 2), ones(1, 1, 3, 3)), ["(3, 3) window", "(1, 1, 2, 2)"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 1, 4, 4), ones(1, 1, 3, 3), dilation=2), ["dilation (2, 2)"]),
    ("conv2d", lambda: ops.conv2d(ones(3, 5, 5), ones(1, 3, 3, 3)), ["(N, C, H, W)", "(3, 5, 5)"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 3, 5, 5), ones(3, 3)), ["(O, C/groups, KH, KW)", "(3, 3)"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 3, 5, 5), ones(4, 3, 3, 3), ones(3)), ["bias (3,)", "(4,)"]),
    ("max_pool2d", lambda: ops.max_pool2d(ones(1, 1, 2, 2), 3), ["(3, 3) window", "(1, 1, 2, 2)"]),
    ("avg_pool2d", lambda: ops.avg_pool2d(ones(2, 2), 2), ["(N, C, H, W)", "(2, 2)"]),
    ("adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(ones(2, 4, 4), 2), ["(N, C, H, W)", "(2, 4, 4)"]),
    ("adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(ones(2, 3, 0, 4), 2), ["(2, 3, 0, 4)", "pixels"]),
    ("concatenate", lambda: ops.concatenate([ones(2, 3), ones(2, 4)]), ["(2, 3)", "(2, 4)"]),
    ("concatenate", lambda: ops.concatenate([ones(2, 3), ones(3)]), ["(2, 3)", "(3,)"]),
    ("concatenate", lambda: ops.concatenate([ones(2, 3), ones(2, 3)], 2), ["(2, 3)"]),
    ("reshape", lambda: ones(2, 3).reshape(4, 2), ["(2, 3)", "(4,2)"]),
    ("broadcast_to", lambda: ones(2, 3).broadcast_to(3, 3), ["(2, 3)", "(3,3)"]),
    ("permute", lambda: ones(2, 3).permute(0, 0), ["(0, 0)", "(2, 3)"]),
    ("permute", lambda: ones(2, 3).permute(0), ["(0,)", "(2, 3)"]),
    ("permute", lambda: ones(2, 3).permute(2, 3), ["(2, 3)"]),
    ("transpose", lambda: ones(2, 3).transpose(0, 3), ["3", "(2, 3)"]),
    ("flatten", lambda: ones(2, 3).flatten(2), ["(2, 3)"]),
    ("getitem", lambda: ones(2, 3)[5], ["index 5", "(2, 3)"]),
    ("getitem", lambda: ones(2, 3)[0, 0, 0], ["(2, 3)"]),
    ("sum", lambda: ones(2, 3).sum(2), ["axis 2", "(2, 3)"]),
    ("mean", lambda: ones(2, 3).mean(2), ["axis 2", "(2, 3)"]),
    ("max", lambda: ones(2, 3).max((0, 2)), ["axis 2", "(2, 3)"]),
    ("var", lambda: ones(2, 3).var(2), ["axis 2", "(2, 3)"]),
    ("var", lambda: ones(1, 3).var(0), ["1 elements"]),
    ("log_softmax", lambda: ops.log_softmax(ones(2, 3), 2), ["axis 2", "(2, 3)"]),
    ("batch_norm", lambda: batch_norm(ones(2, 3, 4, 4), 4), ["(2, 3, 4, 4)", "(4,)"]),
    ("batch_norm", lambda: batch_norm(ones(3), 3), ["(3,)"]),
    ("batch_norm", lambda: batch_norm(ones(1, 3), 3, training=True), ["(1, 3)", "more than one value"]),
    ("local_response_norm", lambda: ops.local_response_norm(ones(2, 3), 3), ["(2, 3)"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), [0, 1, 2]), ["(2, 3)", "(3,)"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), np.array([[0], [1]])), ["(2, 3)", "(2, 1)"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(3), [0]), ["(3,)", "(1,)"]),
    ("mse_loss", lambda: ops.mse_loss(ones(2, 3), ones(3)), ["(2, 3)", "(3,)"]),
    ("concatenate", lambda: ops.concatenate([]), ["no tensors"]),
    ("argmax", lambda: ops.argmax(ones(0)), ["nothing", "(0,)"]),
    ("argmax", lambda: ops.argmax(ones(2, 3), (0, 1)), ["one axis", "(0, 1)"]),
    ("broadcast_to", lambda: ones(2).expand(-1, 2), ["(-1, 2)", "(2,)"]),
    ("batch_norm", lambda: ops.batch_norm(ones(2, 3), None, None), ["running_mean None"]),
]

OPTIONS = [
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), [0, 3]), ["label 3", "0 to 2"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), [-1, 0]), ["label -1", "0 to 2"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), np.array([0.0, 1.0])), ["float64"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), [0.2, 1.7]), ["whole numbers"]),
    (
        "cross_entropy",
        lambda: ops.cross_entropy(ones(2, 3), [0, 1], reduction="average"),
        ["'average'", "mean, sum, none"],
    ),
    ("mse_loss", lambda: ops.mse_loss(ones(2), ones(2), reduction="max"), ["'max'", "mean, sum, none"]),
    ("max_pool2d", lambda: ops.max_pool2d(ones(1, 1, 8, 8), 3, padding=2), ["(2, 2)", "(3, 3)"]),
    ("avg_pool2d", lambda: ops.avg_pool2d(ones(1, 1, 8, 8), (2, 4), padding=2), ["(2, 2)", "(2, 4)"]),
    ("avg_pool2d", lambda: ops.avg_pool2d(ones(1, 1, 8, 8), 0), ["kernel_size"]),
    ("neg", lambda: -Tensor(np.array([True])), ["truth values"]),
    ("flatten", lambda: ones(2, 3, 4).flatten(2, 1), ["start_dim 2", "end_dim 1"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 2, 4, 4), ones(2, 1, 3, 3), groups=2.0), ["groups", "2.0"]),
    ("batch_norm", lambda: ops.batch_norm(ones(2, 3), None, None, training=True, eps=0), ["eps", "0"]),
    ("max_pool2d", lambda: ops.max_pool2d(ones(1, 1, 8, 8), 3, 2, 0, 2), ["dilation=2"]),
    ("cross_entropy", lambda: ops.cross_entropy(ones(2, 3), [0, 1], np.ones(3)), ["weight="]),
    ("dropout", lambda: ops.dropout(ones(2), 0.5, True, True), ["inplace=True"]),
    ("max_pool2d", lambda: ops.max_pool2d(ones(1, 1, 8, 8), 2, stride=0), ["stride"]),
    (
        "adaptive_avg_pool2d",
        lambda: ops.adaptive_avg_pool2d(ones(1, 1, 8, 8), (2, 0)),
        ["output_size", "(2, 0)"],
    ),
    ("adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(ones(1, 1, 8, 8), -1), ["output_size", "-1"]),
    ("adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(ones(1, 1, 8, 8), 1.5), ["output_size", "1.5"]),
    ("adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(ones(1, 1, 8, 8), (2, 2, 2)), ["(2, 2, 2)"]),
    (
        "adaptive_avg_pool2d",
        lambda: ops.adaptive_avg_pool2d(Tensor(np.ones((1, 1, 4, 4), np.int64)), 2),
        ["int64", ".to('float32')"],
    ),
    ("conv2d", lambda: ops.conv2d(ones(1, 1, 8, 8), ones(1, 1, 3, 3), padding=-1), ["padding"]),
    ("conv2d", lambda: ops.conv2d(ones(1, 1, 8, 8), ones(1, 1, 3, 3), stride=1.5), ["stride", "1.5"]),
    (
        "conv2d",
        lambda: ops.conv2d(ones(1, 1, 8, 8), ones(1, 1, 3, 3), stride=(1, 2, 3)),
        ["stride", "(1, 2, 3)"],
    ),
    ("dropout", lambda: ops.dropout(ones(2), 1.0), ["p ", "1.0"]),
    ("dropout", lambda: ops.dropout(ones(2), -0.1), ["p ", "-0.1"]),
    ("local_response_norm", lambda: ops.local_response_norm(ones(1, 2, 3), 0), ["size", "0"]),
    ("pad", lambda: ops.pad(ones(2, 2), (1, 2, 3)), ["pairs", "(1, 2, 3)"]),
    ("pad", lambda: ops.pad(ones(2), (1, 1, 1, 1)), ["pairs"]),
    ("pad", lambda: ops.pad(ones(2), (-1, 0)), ["at least 0"]),
    ("transpose", lambda: ones(2, 3, 4).transpose(1), ["(1,)"]),
    ("to", lambda: ones(2).to("gpu"), ["'gpu'", "cuda", "float32"]),
]


def refusals(cases, error):
    return [pytest.param(*case, error, id=f"{case[0]}_{i}") for i, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("op", "call", "texts", "error"), refusals(SHAPES, ShapeError) + refusals(OPTIONS, OptionError)
)
def test_refused_by_name(op, call, texts, error):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(op)
    assert [text for text in texts if text not in message] == []
    assert isinstance(caught.value, MiniresError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
@pytest.mark.parametrize("wrong", [Tensor(np.ones(4)), Tensor(np.ones((3, 1)))])
def test_batch_norm_names_what_does_not_fit(name, wrong):
    vectors = {key: Tensor(np.ones(3)) for key in ("running_mean", "running_var", "weight", "bias")}
    with pytest.raises(ShapeError) as caught:
        ops.batch_norm(Tensor(np.ones((2, 3))), **vectors | {name: wrong})
    assert f"does not fit {name}" in str(caught.value)
    assert [key for key in vectors if key in str(caught.value)] == [name]


def test_refused_call_does_not_change_running_statistics():
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    with pytest.raises(ShapeError):
        ops.batch_norm(
            Tensor(np.ones((1, 3))), mean, var, Tensor(np.ones(3)), Tensor(np.zeros(3)), training=True
        )
    assert (mean.tolist(), var.tolist()) == ([0, 0, 0], [1, 1, 1])


def test_batch_norm_takes_arrays_but_no_mixture_of_dtypes():
    x, running = Tensor(np.ones((4, 3), np.float32)), (Tensor(np.zeros(3)), Tensor(np.ones(3)))
    y = ops.batch_norm(x, *running, np.ones(3, np.float32), np.full(3, 2, np.float32))
    assert y.shape == (4, 3)
    with pytest.raises(MiniresError, match=r"batch_norm.*float64"):
        ops.batch_norm(x, *running, Tensor(np.ones(3)), Tensor(np.zeros(3)))


W = Tensor([1.0, 2.0], requires_grad=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda: W * [W[0], W[1]],
        lambda: [W[0].exp(), 1.0] - W,
        lambda: W.clip(0, [W[0], W[1]]),
        lambda: ops.mean([W[0], W[1]]),
        lambda: ops.mse_loss([W[0], [W[1]][0]], [0.0, 0.0]),
        lambda: ops.concatenate([[W[0]], [[W[1]][0]]]),
        lambda: ops.linear([W[0], W[1]], np.ones((1, 2), np.float32)),
    ],
)
def test_a_list_of_tensors_does_not_leave_the_graph(function):
    with pytest.raises(DtypeError, match=r"\w+: argument \d: a list of tensors would leave the graph"):
        function()


@pytest.mark.parametrize(
    "function",
    [
        nn.Conv2d(1, 1, 1), nn.Linear(1, 1), nn.BatchNorm2d(1), nn.MaxPool2d(2), nn.AvgPool2d(2),
        nn.Flatten(), nn.ReLU(), ops.softmax, lambda x: ops.pad(x, (1, 1)), ops.squeeze,
        lambda x: ops.unsqueeze(x, 0), ops.permute, ops.transpose, lambda x: ops.broadcast_to(x, 1),
        lambda x: ops.reshape(x, 1), ops.sum,
        ops.mean, ops.amax, ops.argmax, lambda x: ops.matmul(x, W), lambda x: ops.mse_loss(x, W),
        lambda x: ops.concatenate([x]), lambda x: ops.local_response_norm(x, 3), ops.global_avg_pool2d,
        lambda x: ops.cross_entropy(x, [0]), lambda x: ops.adaptive_avg_pool2d(x, 1),
    ],
)  # fmt: skip
def test_what_a_forward_without_return_gives_is_refused_by_name(function):
    with pytest.raises(DtypeError, match=r"\w+: argument 1: .*not None; does a forward\(\) lack its return?"):
        function(None)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.expand(2.5, 2), lambda x: x.reshape(2.0), lambda x: x.permute("ab"),
        lambda x: x.unsqueeze(None), lambda x: ops.concatenate(None), lambda x: ops.pad(x, None),
        lambda x: x.transpose(0.0, 1.0), lambda x: x.view(None), lambda x: x.to("float64", True, False, True),
    ],
)  # fmt: skip
def test_shapes_and_axes_of_other_kinds_are_refused_by_name(function):
    with pytest.raises(OptionError, match=r"^(broad|reshape|permute|transpose|unsqueeze|concat|pad|to)\w*:"):
        function(Tensor([[1.0, 2.0]]))


def test_whole_numbers_without_a_common_dtype_are_not_compared():
    signed, unsigned = Tensor(np.array([1], np.int64)), Tensor(np.array([1], np.uint64))
    for compare in (operator.eq, operator.ne, operator.lt):
        with pytest.raises(DtypeError, match="no dtype of whole numbers"):
            compare(signed, unsigned)
    with pytest.raises(OptionError, match="eq: a number is too large"):
        operator.eq(Tensor([1.0]), 10**400)
    assert (signed == None) is False  # noqa: E711


def test_masked_labels_are_refused():
    labels = np.ma.masked_array([0, 1], [0, 1])
    with pytest.raises(DtypeError, match="masked array"):
        ops.cross_entropy(np.ones((2, 3), np.float32), labels)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: ops.batch_norm(Tensor(1.0), None, None, training=True),
            "batch_norm: input .* has no channels",
        ),
        (lambda x: Tensor(1.0).size(0), "size: a single number has no axis 0"),
        (lambda x: x.sum(np.array([0, 1])), "sum: dim must be a whole number"),
        (lambda x: x.reshape(np.array([1, 2])), "reshape: shape must be whole numbers"),
        (lambda x: ops.local_response_norm(x, "5"), "size must be a positive whole number, not '5'"),
        (lambda x: ops.local_response_norm(x, 5, None), "alpha must be a number, not None"),
        (lambda x: ops.local_response_norm(x, 5, 1.0, x), "beta must be a number"),
    ],
)
def test_arguments_of_other_kinds_are_refused_by_name(function, message):
    with pytest.raises((OptionError, ShapeError), match=message):
        function(Tensor(np.ones((1, 2, 3), np.float32)))


@pytest.mark.parametrize("name", ["sum", "mean", "var", "amax", "amin", "max", "min", "argmax", "argmin"])
def test_a_second_axis_is_no_keepdim(name):
    with pytest.raises(OptionError, match=r"keepdim must be True or False, not 3; .* dim=\(2, 3\)"):
        getattr(Tensor(np.ones((1, 2, 3, 4), np.float32)), name)(2, keepdim=3)


@pytest.mark.parametrize(
    ("function", "flag"),
    [
        (lambda x: ops.dropout(x, 0.5, "no"), "training"),
        (lambda x: ops.batch_norm(x, None, None, training="no"), "training"),
        (lambda x: ops.max_pool2d(x, 2, ceil_mode="no"), "ceil_mode"),
        (lambda x: ops.avg_pool2d(x, 2, count_include_pad=0), "count_include_pad"),
        (lambda x: Tensor(x, "float64"), "requires_grad"),
        (lambda x: setattr(x, "requires_grad", "no"), "requires_grad"),
    ],
)
def test_flags_are_true_or_false(function, flag):
    with pytest.raises(OptionError, match=f"{flag} must be true or false"):
        function(Tensor(np.ones((1, 2, 3, 4), np.float32)))


def test_negative_lengths_are_refused():
    with pytest.raises(ShapeError, match=r"reshape: \(-2, 4\) has a negative length"):
        Tensor([[1.0, 2.0]]).reshape(-2, 4)
