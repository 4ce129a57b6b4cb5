import numpy as np
import pytest

from minires import Tensor
from minires.errors import CheckpointError, MiniresError, OptionError
from minires.nn import Linear, Parameter
from minires.optim import SGD


def parameters(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(rng.standard_normal(shape)) for shape in shapes]


def take_steps(optimizer, steps, seed):
    """Follow gradients that depend on the seed only."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for p in optimizer.params:
            p.grad = Tensor(rng.standard_normal(p.shape))
        optimizer.step()


def test_first_two_steps_by_hand():
    p = Parameter(np.array([1.0]))
    optimizer = SGD([p], lr=0.1, momentum=0.9, weight_decay=0.5)
    p.grad = Tensor(np.array([2.0]))
    optimizer.step()  # g = 2 + 0.5 * 1 = 2.5 = v
    assert p.item() == pytest.approx(0.75, rel=1e-15)
    optimizer.step()  # g = 2 + 0.5 * 0.75 = 2.375, v = 0.9 * 2.5 + 2.375 = 4.625
    assert p.item() == pytest.approx(0.2875, rel=1e-15)


def test_step_changes_the_array_in_place_and_not_the_gradient():
    p = Parameter(np.array([1.0]))
    array, gradient = p.data, np.array([2.0])
    optimizer = SGD([p], lr=0.5, momentum=0.9, weight_decay=0.1, nesterov=True)
    p.grad = Tensor(gradient)
    optimizer.step()
    assert p.data is array
    assert gradient.tolist() == [2.0]


def test_parameter_without_a_gradient_stays_as_it_is():
    a, b = parameters((2,), (2,))
    before = b.numpy().copy()
    optimizer = SGD([a, b], lr=0.1, momentum=0.9, weight_decay=0.1)
    a.grad = Tensor(np.ones(2))
    optimizer.step()
    np.testing.assert_array_equal(b.numpy(), before)
    assert not optimizer.velocities[1].any()


def test_changed_learning_rate_counts_from_the_next_step():
    p = Parameter(np.array([1.0]))
    optimizer = SGD([p], lr=0.1)
    p.grad = Tensor(np.array([1.0]))
    optimizer.step()
    optimizer.lr = 0.01
    optimizer.step()
    assert p.item() == pytest.approx(0.89, rel=1e-14)


def test_zero_grad():
    layer = Linear(2, 1)
    optimizer = SGD(layer.parameters(), lr=0.1)
    layer(Tensor([[1.0, 2.0]])).sum().backward()
    optimizer.zero_grad()
    assert [p.grad for p in layer.parameters()] == [None, None]


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_restored_optimizer_continues_bit_for_bit(options):
    options |= {"lr": 0.1, "weight_decay": 1e-2}
    original = SGD(parameters((3, 2), (4,)), **options)
    take_steps(original, 5, seed=1)
    state = {name: array.copy() for name, array in original.state_dict().items()}
    resumed = SGD([Parameter(p.numpy().copy()) for p in original.params], **options)
    resumed.load_state_dict(state)
    for optimizer in (original, resumed):
        take_steps(optimizer, 5, seed=2)
    for p, q in zip(original.params, resumed.params, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_optimizer_that_is_not_restored_differs():
    """The velocity matters: the test above would fail without load_state_dict."""
    original = SGD(parameters((3,)), lr=0.1, momentum=0.9)
    take_steps(original, 5, seed=1)
    fresh = SGD([Parameter(p.numpy().copy()) for p in original.params], lr=0.1, momentum=0.9)
    for optimizer in (original, fresh):
        take_steps(optimizer, 1, seed=2)
    assert not np.array_equal(original.params[0].numpy(), fresh.params[0].numpy())


def test_loaded_state_is_copied():
    optimizer = SGD(parameters((3,)), lr=0.1, momentum=0.9)
    state = {"velocity.0": np.ones(3)}
    optimizer.load_state_dict(state)
    take_steps(optimizer, 1, seed=1)
    assert state["velocity.0"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"velocity.0": np.zeros((3, 2))},
        {"velocity.0": np.zeros((3, 2)), "velocity.1": np.zeros(5)},
        {"velocity.0": np.zeros((3, 2)), "velocity.1": np.zeros(4), "velocity.2": np.zeros(1)},
    ],
    ids=["empty", "missing", "shape", "extra"],
)
def test_state_of_other_parameters_is_refused(state):
    optimizer = SGD(parameters((3, 2), (4,)), lr=0.1, momentum=0.9)
    with pytest.raises(CheckpointError, match="other parameters"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, "lr must be at least 0, not -0.1"),
        ({"lr": float("nan")}, "lr must be at least 0, not nan"),
        ({"lr": 0.1, "momentum": -1}, "momentum must be at least 0"),
        ({"lr": 0.1, "weight_decay": -1}, "weight_decay must be at least 0"),
        ({"lr": 0.1, "nesterov": True}, "nesterov=True needs a momentum"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message) as caught:
        SGD(parameters((2,)), **options)
    assert isinstance(caught.value, MiniresError)


def test_an_empty_list_of_parameters_is_refused():
    with pytest.raises(OptionError, match="no parameters"):
        SGD([], lr=0.1)


def test_parameters_may_come_from_a_generator():
    ps = parameters((2,), (3,))
    assert SGD((p for p in ps), lr=0.1).params == ps
