import gc
import weakref
from threading import Thread

import numpy as np
import pytest

from minires import Function, Tensor, no_grad
from minires.errors import GraphError, ShapeError
from minires.ops import exp, matmul, relu

CHAIN = 10_000


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def test_sum_with_itself():
    a = leaf(1.0, 2.0)
    (a + a).backward([1.0, 10.0])
    assert a.grad.tolist() == [2.0, 20.0]


def test_intermediate_value_used_twice():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.tolist() == [4.0]


def test_value_used_by_two_branches():
    x = leaf(0.5, -1.0)
    y = exp(x)
    (y * y + 3 * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2 * x.data) + 3 * np.exp(x.data), rtol=1e-14)


def test_branches_of_unequal_length_meet():
    x = leaf(2.0)
    short = x * 5
    long = ((x * x) * x) * x
    (short + long).backward()
    assert x.grad.tolist() == [5 + 4 * 2.0**3]


def test_every_node_is_visited_once(monkeypatch):
    """Twenty doublings: following paths instead of nodes would take 2^20 visits."""
    visits = []
    original = Function.input_gradients
    monkeypatch.setattr(
        Function, "input_gradients", lambda self, gy: visits.append(self) or original(self, gy)
    )
    x = leaf(1.0)
    y = x
    for _ in range(20):
        y = y + y
    y.backward()
    assert x.grad.tolist() == [2.0**20]
    assert len(visits) == 20


def chain(x, length=CHAIN):
    for _ in range(length):
        x = x + 1
    return x


def test_chain_of_ten_thousand_operations_has_a_gradient():
    x = leaf(1.0)
    y = chain(x)
    assert y.item() == CHAIN + 1
    y.backward()
    assert x.grad.tolist() == [1.0]


def test_chain_of_ten_thousand_operations_can_be_dropped_without_backward():
    x = leaf(1.0)
    y = chain(x)
    first = weakref.ref(y.creator)
    del y
    gc.collect()
    assert first() is None
    assert x.grad is None


def test_backward_frees_the_graph():
    x = Tensor(np.linspace(0, 1, 5), requires_grad=True)
    middle = exp(x)
    y = (middle * middle).sum()
    node, saved = weakref.ref(middle.creator), weakref.ref(middle.data)
    del middle
    assert node() is not None
    assert saved() is not None
    y.backward()
    assert node() is None  # by counting references alone: no collection is needed
    assert saved() is None


def test_backward_also_frees_the_arrays_that_the_last_operation_saved():
    x = Tensor(np.linspace(0, 1, 5), requires_grad=True)
    middle = exp(x)
    y = middle * middle
    saved = weakref.ref(middle.data)
    del middle
    y.backward(np.ones(5))
    assert y.shape == (5,)  # y is still alive, and with it the call that made it
    assert saved() is None


def test_second_backward_names_the_operation():
    x = leaf(1.0)
    y = exp(x)
    y.backward()
    with pytest.raises(GraphError, match=r"freed at 'exp'.*forward pass again"):
        y.backward()


def test_graph_shared_by_two_losses_is_freed_after_the_first_backward():
    x = leaf(1.0)
    common = exp(x)
    first, second = common * 2, common + 1
    first.backward()
    before = x.grad.numpy().copy()
    with pytest.raises(GraphError, match="freed at 'exp'"):
        second.backward()
    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_leaf_of_two_losses_accumulates():
    x = leaf(2.0)
    (x * 3).backward()
    (x * x).backward()
    assert x.grad.tolist() == [3.0 + 4.0]


def test_same_forward_again_adds_the_same_gradient():
    x = leaf(2.0, 3.0)
    for _ in range(2):
        (x * x).sum().backward()
    assert x.grad.tolist() == [8.0, 12.0]


def test_leaf_itself_can_be_the_loss():
    x = leaf(2.0)
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_gradients_share_memory_with_nothing():
    a, b, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(upstream)
    grads = [a.grad.data, b.grad.data]
    assert not np.shares_memory(*grads)
    assert not any(np.shares_memory(grad, upstream) for grad in grads)
    grads[0][:] = 7
    assert b.grad.tolist() == [1.0, 1.0]
    assert upstream.tolist() == [1.0, 1.0]
    upstream[:] = 9
    assert b.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("view", ["reshape", "transpose", "broadcast", "leaf"])
def test_gradient_through_a_view_owns_its_memory(view):
    x, upstream = Tensor(np.ones((2, 2)), requires_grad=True), np.ones((2, 2))
    y = {
        "reshape": lambda: x.reshape(2, 2),
        "transpose": lambda: x.T,
        "broadcast": lambda: x.broadcast_to(2, 2),
        "leaf": lambda: x,
    }[view]()
    y.backward(upstream)
    assert not np.shares_memory(x.grad.data, upstream)
    x.grad.data += 1  # writable, and no two entries share memory
    assert x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_accumulating_does_not_write_into_a_gradient_of_another_leaf():
    a, b = leaf(1.0), leaf(1.0)
    (a + b).backward()
    (a * 5).backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([6.0], [1.0])


def test_upstream_gradient_weighs_the_outputs():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward(Tensor([1.0, 0.0, -2.0]))
    assert x.grad.tolist() == [2.0, 0.0, -12.0]


def test_upstream_gradient_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
        leaf(1.0, 2.0).backward([1.0, 2.0, 3.0])


def test_backward_without_upstream_gradient_needs_a_single_element():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(GraphError, match=r"shape \(2,\) needs an upstream gradient"):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_any_shape_of_one_element_counts_as_single(shape):
    x = Tensor(np.full(shape, 3.0), requires_grad=True)
    (x * x).backward()
    assert x.grad.tolist() == np.full(shape, 6.0).tolist()


def test_backward_where_nothing_needs_a_gradient():
    with pytest.raises(GraphError, match="requires_grad=True"):
        (Tensor([1.0]) * 2).backward()


def test_only_leaves_that_require_it_get_a_gradient():
    x, constant = leaf(2.0), Tensor(np.array([3.0]))
    y = x * constant
    y.sum().backward()
    assert x.grad.tolist() == [3.0]
    assert constant.grad is None
    assert y.grad is None


def test_no_grad_as_context_and_as_decorator():
    x = leaf(1.0)

    @no_grad()
    def twice(x):
        return x * 2

    with no_grad():
        y = x * 2
    for result in (y, twice(x), twice(x)):
        assert not result.requires_grad
        assert result.creator is None
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception_and_nests():
    x = leaf(1.0)
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad


def test_no_grad_keeps_nothing_alive():
    x = Tensor(np.ones(3), requires_grad=True)
    with no_grad():
        middle = exp(x)
        y = middle * 2
    array = weakref.ref(middle.data)
    del middle
    assert array() is None
    assert y.shape == (3,)


def test_gradients_of_a_product_that_are_not_needed_are_not_computed():
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones((3, 4)), requires_grad=True)
    node = matmul(a, b).creator
    ga, gb = node.backward(np.ones((2, 4)))
    assert ga is None
    assert gb.shape == (3, 4)


def test_operations_do_not_write_into_their_inputs_or_upstream(rng):
    x = Tensor(rng.standard_normal((3, 3)), requires_grad=True)
    before, upstream = x.data.copy(), np.ones((3, 3))
    relu(x @ x + x).backward(upstream)
    np.testing.assert_array_equal(x.data, before)
    np.testing.assert_array_equal(upstream, np.ones((3, 3)))


def test_function_with_a_wrongly_shaped_gradient_is_caught():
    class WrongShape(Function):
        def forward(self, x):
            return x * 1

        def backward(self, gy):
            return gy[:1]

    with pytest.raises(ValueError, match=r"wrong_shape: backward returned \(1,\) for an input \(2,\)"):
        WrongShape()(leaf(1.0, 2.0)).sum().backward()


def test_backward_that_returns_too_few_gradients_is_refused():
    class OneGradient(Function):
        def forward(self, x, b):
            return x * b

        def backward(self, gy):
            return gy

    class NoneForSecond(OneGradient):
        def backward(self, gy):
            return gy, None

    inputs = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for operation in (OneGradient(), NoneForSecond()):
        with pytest.raises(GraphError, match=f"{operation.name}: backward must return 2 gradients, one for"):
            operation(*inputs).sum().backward()
    NoneForSecond()(inputs[0], np.ones(2)).sum().backward()  # no gradient is needed there


def test_function_names_come_from_the_class():
    class MaxPool2d(Function):
        pass

    assert MaxPool2d.name == "max_pool2d"


def test_threads_lose_no_gradient_of_shared_leaves():
    p = Tensor(np.zeros(2000, np.float32), requires_grad=True)

    def work():
        for _ in range(20):
            (p * 1).sum().backward()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(p.grad.tolist()) == {80.0}
