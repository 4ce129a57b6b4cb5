import copy
from inspect import signature

import numpy as np
import pytest

from minires import Tensor, nn
from minires.errors import CheckpointError, MiniresError, OptionError, ShapeError
from minires.nn import Linear, Parameter
from minires.optim import SGD


def parameters(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]


def give_gradients(optimizer, seed=1):
    rng = np.random.default_rng(seed)
    for p in optimizer.params:
        p.grad = Tensor(rng.standard_normal(p.shape).astype(np.float32))


def two_groups(**options):
    """A group of two parameters at a tenth of the rate of the other, which has one."""
    a, b, c = parameters((3, 2), (4,), (2,))
    return SGD([{"params": [a, b], "lr": 0.01, "momentum": 0.5}, {"params": [c]}], lr=0.1, **options)


def test_arguments_are_pytorchs_in_pytorchs_order():
    torch = pytest.importorskip("torch")

    def arguments(function):
        return [(p.name, p.kind, p.default) for p in signature(function).parameters.values()]

    assert arguments(SGD) == arguments(torch.optim.SGD)


def test_positional_arguments():
    optimizer = SGD(parameters((2,)), 0.1, 0.9, 0, 5e-4, True)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (
        0.1,
        0.9,
        5e-4,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 0.9, 5e-4), r"dampening=0\.0005 is not built here"),  # the order of earlier versions
        ((0.1, 0.9, 0.0, True), "weight_decay must be a number, not True"),
        ((0.1, 0.9, 0, 0, 5e-4), r"nesterov must be true or false, not 0\.0005"),
        (("0.1",), "lr must be a number, not '0.1'"),
        ((None,), "lr must be a number, not None"),
        ((0.1, float("nan")), "momentum must be at least 0, not nan"),
        ((float("inf"),), "lr must be finite, not inf"),
    ],
)
def test_wrong_positional_arguments_are_refused(arguments, message):
    with pytest.raises(OptionError, match=f"SGD: {message}"):
        SGD(parameters((2,)), *arguments)


NOT_BUILT = {
    "dampening": 0.1,
    "maximize": True,
    "foreach": True,
    "differentiable": True,
    "fused": True,
}


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_is_refused_by_name(name):
    with pytest.raises(OptionError, match=f"{name}=.* is not built here"):
        SGD(parameters((2,)), **{name: NOT_BUILT[name]})
    with pytest.raises(OptionError, match=f"{name}=.* is not built here"):
        SGD([{"params": parameters((2,)), name: NOT_BUILT[name]}])
    optimizer = SGD(parameters((2,)))
    optimizer.param_groups[0][name] = NOT_BUILT[name]
    with pytest.raises(OptionError, match=f"{name}=.* is not built here"):
        optimizer.step()


def test_closures_are_refused_by_name():
    with pytest.raises(OptionError, match="closure"):
        SGD(parameters((2,))).step(lambda: 1.0)


def test_gradients_are_forgotten_or_set_to_0():
    w, unused = parameters((2,), (3,))
    optimizer = SGD([w, unused])
    (w * w).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert (w.grad.tolist(), unused.grad) == ([0, 0], None)
    optimizer.zero_grad()
    assert w.grad is None


def no_parameters():
    w = Parameter(np.ones(2, np.float32))
    layer = Linear(2, 1)
    return {
        "one tensor": (w, r"pass a list: \[w\]"),
        "model": (layer, r"model\.parameters\(\)"),
        "dict": ({"params": [w]}, "pass a list of groups"),
        "set": ({w}, "order changes"),
        "number": (3, "must be a list of tensors, not 3"),
        "none": (None, "must be a list of tensors, not None"),
        "array": ([w, np.ones(2)], r"parameter 1 is no Tensor of minires but has type numpy\.ndarray"),
        "weights": (list(layer.state_dict().items()), r"parameter 0 \('weight'\) is no Tensor"),
        "names": (["weight"], "parameter 0 is no Tensor of minires but has type str"),
        "half named": ([("w", w), Parameter(np.ones(1))], "either all parameters are pairs"),
        "triples": ([("w", w, 1)], "either all parameters are pairs"),
        "not a leaf": ([w * 2], "parameter 0 is no leaf but a result of 'mul'"),
        "whole numbers": ([w, Tensor(np.arange(3))], "parameter 1 has dtype int64"),
        "mask": ([("keep", Tensor(np.ones(2, bool)))], r"parameter 0 \('keep'\) has dtype bool"),
        "twice": ([w, Parameter(np.ones(1)), w], "parameter 2 is there twice"),
        "in two groups": ([{"params": [w]}, {"params": w}], "parameter 1 is there twice"),
        "group without params": ([{"lr": 0.1}], "a parameter group is a dict"),
        "no group": ([{"params": [w]}, Parameter(np.ones(1))], "a parameter group is a dict"),
        "group of groups": ([{"params": {"params": [w]}}], "pass a list of groups"),
        "too many names": ([{"params": [w], "param_names": ["w", "b"]}], "2 param_names for 1 parameters"),
        "unknown option": ([{"params": [w], "momentun": 0.9}], "'momentun'; did you mean momentum"),
        "option": ([{"params": [w], "lr": -1}], "lr must be at least 0, not -1"),
        "nesterov": ([{"params": [w], "nesterov": True}], "nesterov=True needs a momentum"),
        "empty groups": ([{"params": []}, {"params": ()}], "no parameters"),
    }


@pytest.mark.parametrize("case", no_parameters())
def test_what_is_no_parameter_is_refused(case):
    params, message = no_parameters()[case]
    with pytest.raises(OptionError, match=message) as caught:
        SGD(params, lr=0.1)
    assert isinstance(caught.value, MiniresError)


def test_a_frozen_parameter_stays_as_it_is():
    layer = Linear(2, 1)
    layer.weight.requires_grad = False
    before = layer.weight.numpy().copy(), layer.bias.numpy().copy()
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    layer(Tensor([[1.0, 2.0]])).sum().backward()
    optimizer.step()
    np.testing.assert_array_equal(layer.weight.numpy(), before[0])
    assert not np.array_equal(layer.bias.numpy(), before[1])


def test_named_parameters():
    layer = Linear(2, 1)
    optimizer = SGD(layer.named_parameters(), lr=0.1)
    assert optimizer.params == list(layer.parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    give_gradients(optimizer)
    layer.bias.grad = Tensor(np.ones(3, np.float32))
    with pytest.raises(ShapeError, match=r"parameter 1 \('bias'\) has shape \(1,\), but its gradient \(3,\)"):
        optimizer.step()


def test_groups_have_the_constructors_options_and_their_own():
    a, b, c = parameters((2,), (3,), (1,))
    own = [{"params": (p for p in [a, b]), "weight_decay": 0}, {"params": c, "lr": 1, "nesterov": True}]
    optimizer = SGD(own, lr=0.1, momentum=0.9, weight_decay=1e-4)
    first, second = optimizer.param_groups
    assert first["params"] == [a, b]
    assert second["params"] == [c]
    names = ("lr", "momentum", "weight_decay", "nesterov")
    assert [first[name] for name in names] == [0.1, 0.9, 0, False]
    assert [second[name] for name in names] == [1, 0.9, 1e-4, True]
    assert list(own[1]) == ["params", "lr", "nesterov"], "the user's dict stays as it is"


def test_an_option_of_a_group_counts_from_the_next_step():
    a, b = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    a.grad, b.grad = Tensor(np.ones(1)), Tensor(np.ones(1))
    optimizer.step()
    for group, rate in zip(optimizer.param_groups, (0.5, 0.25), strict=True):
        group["lr"] = rate
    optimizer.param_groups[1]["momentum"] = 1
    optimizer.step()
    assert (a.item(), b.item()) == (-1.5, -1.5)  # b: -1 - 0.25 (1 + 1)


def test_one_group_is_the_plain_optimizer_bit_for_bit():
    results = []
    for grouped in (False, True):
        params = parameters((3, 2), (4,))
        optimizer = SGD([{"params": params, "lr": 0.1}] if grouped else params, lr=0.1, momentum=0.9)
        for step in range(5):
            optimizer.lr = 0.1 / (step + 1)
            give_gradients(optimizer, step)
            optimizer.step()
        results.append([p.numpy().tobytes() for p in params])
    assert results[0] == results[1]


def test_the_rate_of_several_groups_follows_a_schedule_in_proportion():
    optimizer = two_groups()
    assert optimizer.lr == 0.01, "the first group's"
    for rate in (0.005, 0.0, 0.01):  # 0 does not end the proportion, and the first rates come back exactly
        optimizer.lr = rate
        assert optimizer.lr == rate
        assert optimizer.param_groups[1]["lr"] == pytest.approx(10 * rate)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.1]


def test_the_rates_depend_on_the_schedule_alone():
    """A run that is resumed at a step gets the rates of one that came there step by step."""
    walked, resumed = two_groups(), two_groups()
    for step in range(1, 50):
        walked.lr = 0.01 / step
    walked.param_groups[1]["lr"] = 7
    walked.lr = resumed.lr = 0.01 / 50
    assert [g["lr"] for g in walked.param_groups] == [g["lr"] for g in resumed.param_groups]


def test_groups_of_equal_rates_have_exactly_the_rate_that_is_set():
    a, b = parameters((1,), (1,))
    optimizer = SGD([{"params": [a]}, {"params": [b]}], lr=0.0)
    optimizer.lr = 0.3
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.3]


def test_no_rate_is_in_proportion_to_0():
    a, b = parameters((1,), (1,))
    optimizer = SGD([{"params": [a], "lr": 0}, {"params": [b]}], lr=0.1)
    with pytest.raises(OptionError, match=r'set group\["lr"\]'):
        optimizer.lr = 0.5
    assert [group["lr"] for group in optimizer.param_groups] == [0, 0.1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", float("nan")), ("lr", -0.1), ("lr", "0.1"), ("momentum", -1), ("weight_decay", float("nan"))],
)
def test_an_option_out_of_range_is_refused_at_the_step(name, value):
    optimizer = two_groups()
    give_gradients(optimizer)
    before = [p.numpy().copy() for p in optimizer.params]
    optimizer.param_groups[1][name] = value
    with pytest.raises(OptionError, match=f"SGD: {name} must be"):
        optimizer.step()
    for p, array in zip(optimizer.params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), array)


@pytest.mark.parametrize("value", [float("nan"), -0.1, None])
def test_a_rate_of_the_optimizer_out_of_range_is_refused_at_the_step(value):
    optimizer = SGD(parameters((2,)), lr=0.1)
    optimizer.lr = value
    with pytest.raises(OptionError, match="SGD: lr must be"):
        optimizer.step()


def test_nesterov_that_loses_its_momentum_is_refused_at_the_step():
    optimizer = SGD(parameters((2,)), lr=0.1, momentum=0.9, nesterov=True)
    optimizer.param_groups[0]["momentum"] = 0
    with pytest.raises(OptionError, match="nesterov=True needs a momentum"):
        optimizer.step()


def test_options_are_read_and_set_on_the_optimizer():
    """As before there were groups."""
    optimizer = SGD(parameters((2,)), lr=0.1, momentum=0.9, weight_decay=0.5, nesterov=True)
    assert (optimizer.momentum, optimizer.weight_decay, optimizer.nesterov) == (0.9, 0.5, True)
    optimizer.momentum = 0.8
    assert optimizer.param_groups[0]["momentum"] == 0.8


BAD_GRADIENTS = {
    "shape": (
        Tensor(np.ones(2, np.float32)),
        ShapeError,
        r"parameter 2 has shape \(2, 1\).* gradient \(2,\)",
    ),
    "fewer": (Tensor(np.ones((1, 1), np.float32)), ShapeError, r"gradient \(1, 1\)"),  # it would broadcast
    "dtype": (
        Tensor(np.ones((2, 1))),
        OptionError,
        "parameter 2 has dtype float32, but its gradient float64",
    ),
    "whole": (Tensor(np.ones((2, 1), int)), OptionError, "dtype float32, but its gradient int64"),
    "array": (np.ones((2, 1), np.float32), OptionError, "a gradient of type ndarray; it must be a Tensor"),
}


@pytest.mark.parametrize("case", BAD_GRADIENTS)
def test_a_gradient_that_does_not_fit_is_refused_before_anything_moves(case):
    gradient, error, message = BAD_GRADIENTS[case]
    params = parameters((3,), (4,), (2, 1))
    optimizer = SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1, momentum=0.9)
    give_gradients(optimizer)
    params[2].grad = gradient
    before = [p.numpy().copy() for p in params]
    with pytest.raises(error, match=message):
        optimizer.step()
    for p, array in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), array)
        assert not optimizer.velocity_of[p].any()


def test_a_parameter_that_has_another_shape_now_is_refused():
    optimizer = SGD(parameters((2, 3)), lr=0.1, momentum=0.9)
    (p,) = optimizer.params
    p.data = np.ones(3, np.float32)
    give_gradients(optimizer)
    with pytest.raises(ShapeError, match=r"has shape \(3,\), but had \(2, 3\)"):
        optimizer.step()


def test_a_parameter_put_into_a_group_by_hand_is_refused():
    optimizer = SGD(parameters((2,)), lr=0.1)
    optimizer.param_groups[0]["params"] += parameters((3,))
    with pytest.raises(OptionError, match="parameter 1 is new in its group; add it with add_param_group"):
        optimizer.step()


def test_a_parameter_moved_to_another_group_keeps_its_velocity():
    optimizer = two_groups(momentum=0.9)
    give_gradients(optimizer)
    optimizer.step()
    b = optimizer.param_groups[0]["params"].pop()
    velocity = optimizer.velocity_of[b].copy()
    optimizer.param_groups[1]["params"].append(b)
    give_gradients(optimizer)
    optimizer.step()
    np.testing.assert_allclose(optimizer.velocity_of[b], 0.9 * velocity + b.grad.numpy(), rtol=1e-6)


def test_a_group_is_added():
    a, b = parameters((2,), (3,))
    optimizer = SGD([a], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": [b], "lr": 0.2})
    give_gradients(optimizer)
    before = b.numpy().copy()
    optimizer.step()
    np.testing.assert_allclose(b.numpy(), before - np.float32(0.2) * b.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("same", [True, False], ids=["same parameter", "bad option"])
def test_a_bad_group_is_not_added(same):
    a, b = parameters((2,), (3,))
    optimizer = SGD([a], lr=0.1)
    with pytest.raises(OptionError):
        optimizer.add_param_group({"params": [b, a]} if same else {"params": [b], "lr": -1})
    assert optimizer.params == [a]
    assert list(optimizer.velocity_of) == [a]


def test_an_optimizer_is_made_of_the_groups_of_another():
    first = two_groups()
    first.lr = 0.005
    second = SGD(first.param_groups, lr=9)
    assert [group["lr"] for group in second.param_groups] == pytest.approx([0.005, 0.05])
    second.lr = 0.01
    assert second.param_groups[1]["lr"] == 0.1
    assert first.param_groups[0]["lr"] == 0.005


def test_a_copy_of_a_model_and_its_optimizer_steps_alone():
    layer = Linear(2, 1)
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    twin, twin_optimizer = copy.deepcopy((layer, optimizer))
    before = layer.weight.numpy().copy()
    give_gradients(twin_optimizer)
    twin_optimizer.step()
    assert twin_optimizer.params == list(twin.parameters())
    assert not np.array_equal(twin.weight.numpy(), before)
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_the_printed_form_shows_the_groups():
    assert repr(SGD(parameters((2,)))) == "SGD(lr=0.001, momentum=0.0, weight_decay=0.0, nesterov=False)"
    assert repr(two_groups(momentum=0.9)) == (
        "SGD(\n"
        "  (0): parameters=2, lr=0.01, momentum=0.5, weight_decay=0.0, nesterov=False\n"
        "  (1): parameters=1, lr=0.1, momentum=0.9, weight_decay=0.0, nesterov=False\n"
        ")"
    )


def copied(state):
    return {name: array.copy() for name, array in state.items()}


def test_restored_groups_continue_bit_for_bit():
    original, resumed = two_groups(momentum=0.9), two_groups(momentum=0.9)
    for step in range(5):
        original.lr = 0.01 / (step + 1)
        give_gradients(original, step)
        original.step()
    state = copied(original.state_dict())
    assert state["group_sizes"].tolist() == [2, 1]
    resumed.load_state_dict(state)
    for p, q in zip(resumed.params, original.params, strict=True):
        p.data[...] = q.data
    for optimizer in (original, resumed):
        for step in range(5, 10):
            optimizer.lr = 0.01 / (step + 1)
            give_gradients(optimizer, step)
            optimizer.step()
    for p, q in zip(original.params, resumed.params, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_the_state_of_one_group_has_the_names_of_earlier_versions():
    assert list(SGD(parameters((2,), (3,))).state_dict()) == ["velocity.0", "velocity.1"]


def state_of_two_groups(**changes):
    state = {"velocity.0": np.ones((3, 2)), "velocity.1": np.ones(4), "velocity.2": np.ones(2)}
    return state | {"group_sizes": np.array([2, 1])} | changes


BAD_STATES = {
    "other sizes": state_of_two_groups(group_sizes=np.array([1, 2])),
    "three groups": state_of_two_groups(group_sizes=np.array([1, 1, 1])),
    "one number": state_of_two_groups(group_sizes=np.array(3)),
    "no groups": {name: a for name, a in state_of_two_groups().items() if name != "group_sizes"},
    "last shape": state_of_two_groups(**{"velocity.2": np.ones(3)}),
    "last is text": state_of_two_groups(**{"velocity.2": np.array(["a", "b"])}),
    "last is missing": {name: a for name, a in state_of_two_groups().items() if name != "velocity.2"},
}


@pytest.mark.parametrize("case", BAD_STATES)
def test_the_state_of_other_groups_is_refused_and_changes_nothing(case):
    optimizer = two_groups(momentum=0.9)
    optimizer.load_state_dict(state_of_two_groups())
    before = copied(optimizer.state_dict())
    bad = {name: array * 2 if array.dtype == float else array for name, array in BAD_STATES[case].items()}
    with pytest.raises(CheckpointError, match="other parameters"):
        optimizer.load_state_dict(bad)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_state_of_groups_is_refused_by_one_group():
    optimizer = SGD(parameters((3, 2), (4,), (2,)))
    with pytest.raises(CheckpointError, match=r"groups of \[2, 1\] parameters, not \[3\]"):
        optimizer.load_state_dict(state_of_two_groups())


def test_groups_of_a_network_with_a_frozen_part():
    """Fine-tuning: a body at a tenth of the head's rate, norms without decay, the first layer frozen."""
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    for p in net[0].parameters():
        p.requires_grad = False
    groups = [
        {"params": net[0].parameters()},
        {"params": net[2].named_parameters(), "lr": 0.01},
        {"params": net[4].parameters(), "weight_decay": 0.1},
    ]
    optimizer = SGD(groups, lr=0.1, momentum=0.9)
    before = copied(net.state_dict())
    net(Tensor(np.ones((4, 2), np.float32))).sum().backward()
    optimizer.step()
    moved = {name for name, array in net.state_dict().items() if not np.array_equal(array, before[name])}
    assert moved <= {"2.weight", "2.bias", "4.weight", "4.bias"}
    assert {"4.weight", "4.bias"} <= moved
