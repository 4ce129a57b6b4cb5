"""x += y changes x itself, and a graph that needs the old numbers of an array refuses its backward()."""

import copy
import pickle

import numpy as np
import pytest

from minires import Tensor, nn, no_grad, ops
from minires.errors import DtypeError, GraphError, OptionError, ShapeError
from minires.optim import SGD

CHANGED = "changed since the forward pass"


def leaf(*values):
    return Tensor(np.array(values, np.float32), requires_grad=True)


X = Tensor(np.eye(4, 3, dtype=np.float32))
USES = {
    "mul": lambda w, x: w * w,
    "pow": lambda w, x: w**2,
    "matmul with a view": lambda w, x: ops.matmul(w, w.reshape(1, 3).T),
    "linear": lambda w, x: ops.linear(w, w.reshape(1, 3)),
    "conv2d": lambda w, x: ops.conv2d(x.reshape(1, 3, 1, 1), w.reshape(1, 3, 1, 1)),
    "batch_norm": lambda w, x: ops.batch_norm(X, None, None, w, w.detach(), True),
    "index": lambda w, x: w[1:] * 2 * w[1:],
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_optimizers_step_makes_an_old_graph_stale(use):
    w, x = leaf(1, 2, 3), Tensor(np.ones(3, np.float32))
    optimizer = SGD([w], lr=0.1)
    loss = use(w, x).sum()
    (w * w).sum().backward()
    optimizer.step()
    with pytest.raises(GraphError, match=CHANGED):
        loss.backward()


def test_a_graph_that_does_not_need_the_changed_array_stays_valid():
    w = leaf(1, 2, 3)
    loss, optimizer = (w + 1).sum(), SGD([w], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    w.grad = None
    loss.backward()
    assert w.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("change", ["load_state_dict", "reset_parameters", "overwrite", "+=", "data -="])
def test_all_changes_by_the_library_are_noticed(change, rng):
    layer = nn.Linear(3, 2, generator=0)
    x = leaf(1, 2, 3)
    y = layer(x).sum()
    with no_grad():
        if change == "data -=":
            layer.weight.data -= 1
        elif change == "load_state_dict":
            layer.load_state_dict(layer.state_dict())
        elif change == "reset_parameters":
            layer.reset_parameters(rng)
        elif change == "overwrite":
            layer.weight.overwrite(0)
        else:
            layer.weight += 1
    with pytest.raises(GraphError, match=f"linear: .*{CHANGED}"):
        y.backward()


def test_a_result_that_was_changed_under_no_grad_is_noticed():
    x = leaf(1, 2)
    y = ops.exp(x)
    with no_grad():
        y += 1
    with pytest.raises(GraphError, match=f"exp: .*{CHANGED}"):
        y.backward([1, 1])


@pytest.mark.parametrize("sign", ["+=", "-=", "*=", "/=", "**="])
def test_all_names_of_a_tensor_see_its_change(sign):
    t = Tensor(np.array([1.0, 2.0]))
    array, a = t.numpy(), t
    names = {"a": a}
    exec(f"a {sign} 2", names)
    assert names["a"] is t
    assert t.tolist() == {"+=": [3, 4], "-=": [-1, 0], "*=": [2, 4], "/=": [0.5, 1], "**=": [1, 4]}[sign]
    assert array.tolist() == t.tolist()


def test_a_frozen_parameter_changes_under_no_grad():
    p = nn.Parameter(np.ones(2, np.float32), requires_grad=False)
    q = p
    with no_grad():
        p += 1
    assert q.tolist() == [2, 2]
    assert type(p) is nn.Parameter


def test_changes_in_place_are_differentiated():
    x = leaf(2.0)
    y = x * 3
    before = y * y  # uses y as it was
    y *= x
    (before + y).sum().backward()
    assert x.grad.tolist() == [2 * 9 * 2 + 6 * 2]


def test_what_cannot_change_in_place_is_refused():
    x = leaf(1)
    with pytest.raises(GraphError, match=r"x \+= y: x is a leaf .* under no_grad"):
        x += 1
    x = Tensor([1.0])
    with pytest.raises(ShapeError, match=r"x \*= y: x of shape \(1,\) cannot hold the result, \(3,\)"):
        x *= Tensor([1.0, 2.0, 3.0])
    x = Tensor(np.array([1, 2]))
    with pytest.raises(DtypeError, match=r"x /= y: x of int64 cannot hold the result, which is float32"):
        x /= 2


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_whole_numbers_never_require_a_gradient(dtype):
    x = Tensor(np.ones(2, dtype))
    with pytest.raises(OptionError, match="requires_grad"):
        x.requires_grad = True
    assert not x.requires_grad
    w = leaf(1, 2)
    with pytest.raises(OptionError, match="requires_grad"):
        w.data = np.ones(2, dtype)
    assert w.tolist() == [1, 2]


def test_copies_and_pickles_of_tensors():
    w = leaf(1, 2)
    (w * w).sum().backward()
    for twin in (copy.deepcopy(w), pickle.loads(pickle.dumps(w))):
        assert (twin.tolist(), twin.grad.tolist(), twin.requires_grad) == ([1, 2], [2, 4], True)
        twin.overwrite(0)
        twin.grad.overwrite(0)
    assert (w.tolist(), w.grad.tolist()) == ([1, 2], [2, 4])
    y = ops.exp(w)
    with pytest.raises(GraphError, match=r"deepcopy: .*detach\(\)"):
        copy.deepcopy(y)
    restored = pickle.loads(pickle.dumps(y))
    assert (restored.creator, restored.requires_grad) == (None, True)
    np.testing.assert_array_equal(restored.numpy(), y.numpy())


def test_a_model_that_keeps_a_graph_is_copied_after_detaching_only():
    model = nn.Linear(2, 1, generator=0)
    model.last = model(leaf(1, 2))
    with pytest.raises(GraphError, match="detach"):
        copy.deepcopy(model)
    assert pickle.loads(pickle.dumps(model)).last.creator is None
    model.last = model.last.detach()
    assert copy.deepcopy(model).last.tolist() == model.last.tolist()


INDICES = {
    "max": lambda x, i: x.max(0),
    "index": lambda x, i: (x[i], i),
    "cross_entropy": lambda x, i: (ops.cross_entropy(x.reshape(1, 3), i), i),
}


@pytest.mark.parametrize("use", INDICES.values(), ids=INDICES)
def test_indices_and_labels_may_change_after_the_forward_pass(use):
    """They are the user's, too: a loader may write the next batch's labels into the same array."""
    gradients = []
    for change in (0, 1):
        x = leaf(1, 3, 2)
        y, i = use(x, np.array([1]))
        i += change
        y.sum().backward()
        gradients.append(x.grad.tolist())
    assert gradients[0] == gradients[1]
    assert any(gradients[0])


def test_elements_are_written_in_place():
    x = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    row = x[1]
    x[0, 1:] = 7
    x[1] = Tensor([4, 5, 6])
    x[:1] += 1
    assert x.tolist() == [[1, 8, 8], [4, 5, 6]]
    assert row.tolist() == [4, 5, 6]
    counts = Tensor(np.zeros(3, np.int64))
    counts[Tensor(np.array([0, 2]))] = 3
    assert counts.tolist() == [3, 0, 3]


def test_a_written_element_makes_an_old_graph_stale():
    w = leaf(1, 2, 3)
    y = (w * w).sum()
    with no_grad():
        w[0] = 5
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda: leaf(1, 2).__setitem__(0, 5), GraphError, "no_grad"),
        (lambda: Tensor([1, 2]).__setitem__(0, leaf(5)), GraphError, "no_grad"),
        (lambda: Tensor(np.array([1, 2])).__setitem__(0, 1.5), DtypeError, "int64 cannot hold"),
        (lambda: Tensor(np.array([1, 2], np.uint8)).__setitem__(0, 256), OptionError, "256 does not fit"),
        (lambda: Tensor([1, 2]).__setitem__(0, None), DtypeError, "not None"),
        (lambda: Tensor([1, 2]).__setitem__(0, [3, 4]), ShapeError, r"\(2,\)"),
        (lambda: Tensor([1, 2]).__setitem__(2, 3), ShapeError, "out of bounds"),
    ],
)
def test_elements_that_cannot_be_written_are_refused(write, error, message):
    with pytest.raises(error, match=message):
        write()


def test_an_element_of_a_graph_is_not_changed_before_the_refusal():
    x = leaf(1, 2)
    with pytest.raises(GraphError):
        x[:1] += 5
    assert x.tolist() == [1, 2]


VIEWS = {
    "view": lambda h: h.view(2, 1),
    "index": lambda h: h[:1],
    "iteration": lambda h: next(iter(h.reshape(2, 1))),
    "transpose": lambda h: h.T,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("which", ["the view", "its tensor"])
def test_shared_memory_does_not_change_in_a_graph(view, which):
    """Otherwise the other tensor would have the old numbers, or the new ones without their history."""
    w, h = leaf(1, 2), leaf(1, 2) * 1
    v = view(h)
    target, change = (v, w[0]) if which == "the view" else (h, w)
    with pytest.raises(GraphError, match="share x's memory"):
        target += change
    assert (h.tolist(), v.reshape(-1).tolist()) == ([1, 2], h.tolist()[: v.numel()])


def test_memory_that_is_not_shared_any_more_may_change_in_a_graph():
    w, h = leaf(1, 2), leaf(1, 2) * 1
    assert h[0].item() == 1
    h[:1].sum()
    h.detach()
    h += w
    h.sum().backward()
    assert (h.tolist(), w.grad.tolist()) == ([2, 4], [1, 1])


@pytest.mark.parametrize("value", [None, "a", object(), [None], np.ma.masked_array([1.0, 2.0], [0, 1])])
def test_only_numbers_overwrite(value):
    w = leaf(1, 2)
    with pytest.raises(DtypeError, match="expected numbers"):
        w.overwrite(value)
    assert w.tolist() == [1, 2]


UNNEEDED = {
    "mul": lambda w, x: w * 1,
    "div": lambda w, x: w / 1,
    "mul by a constant": lambda w, x: w * x,
    "quotient": lambda w, x: w / x,
    "matmul": lambda w, x: w.reshape(1, 3) @ x,
    "linear": lambda w, x: ops.linear(x, w.reshape(1, 3)),
}


@pytest.mark.parametrize("use", UNNEEDED.values(), ids=UNNEEDED)
def test_arrays_that_no_gradient_needs_may_change(use):
    w, x = leaf(1, 2, 3), Tensor([1, 1, 1])
    y = use(w, x).sum()
    with no_grad():
        w += 1
    y.backward()
    assert w.grad.tolist() == [1, 1, 1]


def test_changed_running_statistics_are_noticed():
    layer, w = nn.BatchNorm2d(3), leaf(1, 2, 3)
    y = (w * layer.running_mean).sum()
    layer(Tensor(np.random.default_rng(0).standard_normal((4, 3, 2, 2)), dtype="float32"))
    with pytest.raises(GraphError, match=CHANGED):
        y.backward()


def test_views_are_not_counted_after_their_end():
    x = Tensor(np.arange(4.0))
    for _ in range(100):
        x[1:]
    assert len(x.version.sharing) == 1
    rows = [x[i:] for i in range(3)]
    assert len(x.version.sharing) == 1 + len(rows)
