import numpy as np
import pytest
from capturing import Capturing
from hypothesis import given
from hypothesis import strategies as st
from on_device import SEEDS, with_examples

from minires import Tensor
from minires.backend import cuda
from minires.backend.cuda.sgd import recordable_updates
from minires.errors import DeviceError, ShapeError
from minires.nn import Parameter
from minires.optim import SGD

OPTIONS = st.fixed_dictionaries(
    {"momentum": st.sampled_from([0.0, 0.9]), "weight_decay": st.sampled_from([0.0, 0.1])}
)
SIZES = st.lists(st.sampled_from([1, 3, 4, 7, 64, 2047, 2048, 2049, 5000]), min_size=1, max_size=4)


def random_arrays(sizes, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(size).astype(np.float32) for size in sizes]


class Twins:
    """The same optimizer twice: with the same parameters on the GPU and on the CPU.

    groups: the options of groups, a dict for each parameter; without them all are in one group.
    """

    def __init__(self, cupy, sizes, groups=None, **options):
        self.to = cupy.asarray, np.copy
        self.both = []
        for to in self.to:
            params = [Parameter(to(array)) for array in random_arrays(sizes, 0)]
            if groups:
                params = [{"params": p} | group for p, group in zip(params, groups, strict=True)]
            self.both.append(SGD(params, lr=0.1, **options))
        self.on_gpu, self.on_cpu = self.both
        self.sizes = sizes

    def give_gradients(self, seed, without=()):
        for optimizer, to in zip(self.both, self.to, strict=True):
            for i, gradient in enumerate(random_arrays(self.sizes, seed)):
                optimizer.params[i].grad = None if i in without else Tensor(to(gradient))

    def step(self, seed, without=()):
        self.give_gradients(seed, without)
        for optimizer in self.both:
            optimizer.step()

    def agree(self):
        for result, expected in zip(self.on_gpu.params, self.on_cpu.params, strict=True):
            np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
        expected = self.on_cpu.state_dict()
        for name, velocity in self.on_gpu.state_dict().items():
            np.testing.assert_allclose(velocity, expected[name], rtol=1e-5, atol=1e-6)


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that were started."""
    names = []
    launch = cuda.sgd.launch
    monkeypatch.setattr(cuda.sgd, "launch", lambda *a, **k: names.append(a[1]) or launch(*a, **k))
    return names


@with_examples(20)
@given(SIZES, OPTIONS, st.booleans(), SEEDS)
def test_steps(cupy, sizes, options, nesterov, seed):
    twins = Twins(cupy, sizes, nesterov=nesterov and options["momentum"] > 0, **options)
    for step in range(3):
        twins.step(seed + step)
        for optimizer in twins.both:
            optimizer.lr *= 0.5
    twins.agree()


def test_all_parameters_in_one_launch(cupy, launches):
    twins = Twins(cupy, [5, 3000, 1], momentum=0.9)
    twins.step(1)
    twins.step(2)
    assert launches == ["sgd_update", "sgd_update"]


GROUPS = [{}, {"lr": 0.02, "momentum": 0.0}, {"weight_decay": 0.5, "nesterov": True}]


def test_groups_take_one_launch_each(cupy, launches):
    twins = Twins(cupy, [5, 3000, 7], GROUPS, momentum=0.9, weight_decay=0.1)
    for step in range(3):
        twins.step(step)
        for optimizer in twins.both:
            optimizer.lr *= 0.5
    twins.agree()
    assert launches == ["sgd_update"] * 9


def test_an_empty_group_is_passed_over(cupy, launches):
    p = Parameter(cupy.zeros(3, "float32"))
    p.grad = Tensor(cupy.ones(3, "float32"))
    SGD([{"params": []}, {"params": [p]}], lr=0.5).step()
    assert p.numpy().tolist() == [-0.5] * 3
    assert launches == ["sgd_update"]


def test_a_captured_step_of_groups(cupy):
    """At each launch every group has its present rate."""
    twins = Twins(cupy, [5, 3000, 7], GROUPS, momentum=0.9, weight_decay=0.1)
    twins.step(1)
    gradients = [cupy.zeros(size, "float32") for size in twins.sizes]
    for p, gradient in zip(twins.on_gpu.params, gradients, strict=True):
        p.grad = Tensor(gradient)
    with Capturing(cupy) as capture:
        twins.on_gpu.step()
    updates = [recordable_updates(twins.on_gpu.workspaces[i]) for i in range(3)]
    tables = [update.write_captured_tables() for update in updates]
    assert [len(table) for table in tables] == [1, 1, 1]
    for step in range(2, 5):
        twins.give_gradients(step)
        for gradient, p in zip(gradients, twins.on_gpu.params, strict=True):
            gradient[...] = p.grad.data
        twins.on_cpu.lr = twins.on_gpu.lr = 1 / step
        twins.on_cpu.step()
        for update, group in zip(updates, twins.on_gpu.param_groups, strict=True):
            update.set_rate(group["lr"])
        capture.graph.launch()
    twins.agree()


def test_a_gradient_of_another_shape_does_not_reach_the_kernel(cupy, launches):
    """The kernel would read what lies behind the gradient."""
    p = Parameter(cupy.zeros(8, "float32"))
    p.grad = Tensor(cupy.ones(5, "float32"))
    with pytest.raises(ShapeError, match="gradient"):
        SGD([p], lr=1.0).step()
    assert not launches


def test_a_gradient_on_another_device_is_refused_before_anything_moves(cupy):
    twins = Twins(cupy, [5, 6], [{}, {}])
    twins.give_gradients(1)
    on_gpu, on_cpu = (optimizer.params for optimizer in twins.both)
    on_gpu[1].grad = on_cpu[1].grad
    with pytest.raises(DeviceError, match="a parameter and its gradient"):
        twins.on_gpu.step()
    np.testing.assert_array_equal(on_gpu[0].numpy(), on_cpu[0].numpy())


def test_parameter_without_a_gradient_is_left_alone(cupy):
    twins = Twins(cupy, [5, 6], momentum=0.9, weight_decay=0.1)
    before = twins.on_gpu.params[1].numpy()
    twins.step(1, without=[1])
    np.testing.assert_array_equal(twins.on_gpu.params[1].numpy(), before)
    twins.step(2)
    twins.agree()


def test_gradient_whose_elements_are_stored_in_another_order(cupy):
    p = Parameter(cupy.zeros((2, 3), "float32"))
    gradient = cupy.asarray(np.arange(6, dtype=np.float32).reshape(3, 2)).T
    p.grad = Tensor(gradient)
    SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.numpy(), -gradient.get())


def test_an_array_that_begins_at_any_address(cupy):
    p = Parameter(cupy.zeros(10, "float32")[1:])
    p.grad = Tensor(cupy.asarray(np.arange(9, dtype=np.float32)))
    SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.numpy(), -np.arange(9))


def test_the_memory_behind_an_array_stays_as_it_is(cupy):
    memory = cupy.zeros(8, "float32")
    p = Parameter(memory[:5])
    p.grad = Tensor(cupy.ones(8, "float32")[:5])
    SGD([p], lr=1.0).step()
    assert memory.get().tolist() == [-1] * 5 + [0] * 3


def test_float64_is_updated_tensor_by_tensor(cupy, launches):
    p = Parameter(cupy.zeros(3))
    p.grad = Tensor(cupy.ones(3))
    SGD([p], lr=0.5).step()
    assert p.numpy().tolist() == [-0.5] * 3
    assert not launches


def test_velocity_follows_its_parameter_to_the_gpu(cupy):
    p, idle = Parameter(np.zeros(3, np.float32)), Parameter(np.zeros(3, np.float32))
    optimizer = SGD([p, idle], lr=1.0, momentum=0.5)
    p.grad = Tensor(np.ones(3, np.float32))
    optimizer.step()
    for tensor in (p, idle):
        tensor.data = cupy.asarray(tensor.data)
    p.grad = Tensor(cupy.ones(3, "float32"))
    optimizer.step()
    assert p.numpy().tolist() == [-2.5] * 3


def test_a_captured_step(cupy):
    """Its learning rate changes from launch to launch. Other steps in between leave its table alone."""
    twins = Twins(cupy, [5, 3000], momentum=0.9, weight_decay=0.1)
    twins.step(1)
    gradients = [cupy.zeros(size, "float32") for size in twins.sizes]
    for p, gradient in zip(twins.on_gpu.params, gradients, strict=True):
        p.grad = Tensor(gradient)
    with Capturing(cupy) as capture:
        twins.on_gpu.step()
    tables = recordable_updates(twins.on_gpu.workspaces[0]).write_captured_tables()
    assert len(tables) == 1
    twins.agree()  # a capture computes nothing
    for step in range(2, 6):
        if step == 4:
            twins.step(step)
            continue
        twins.give_gradients(step)
        for gradient, p in zip(gradients, twins.on_gpu.params, strict=True):
            gradient[...] = p.grad.data
        twins.on_cpu.lr = 1 / step
        twins.on_cpu.step()
        recordable_updates(twins.on_gpu.workspaces[0]).set_rate(1 / step)
        capture.graph.launch()
        twins.on_gpu.lr = twins.on_cpu.lr
    twins.agree()


def test_two_captures_one_after_the_other(cupy):
    twins = Twins(cupy, [5], momentum=0.9)
    twins.step(1)
    graphs = []
    for _ in range(2):
        with Capturing(cupy) as capture:
            twins.on_gpu.step()
        graphs.append((capture, recordable_updates(twins.on_gpu.workspaces[0]).write_captured_tables()))
    for capture, _ in graphs:
        capture.graph.launch()
        twins.on_cpu.step()
    twins.agree()


def test_a_table_is_written_only_when_an_address_has_changed(cupy, monkeypatch):
    writes = []
    write = cuda.sgd.TensorTable.write
    monkeypatch.setattr(cuda.sgd.TensorTable, "write", lambda self: writes.append(1) or write(self))
    twins = Twins(cupy, [5])
    twins.step(1)
    before = len(writes)
    twins.on_gpu.step()
    assert len(writes) == before
    twins.on_gpu.params[0].data = twins.on_gpu.params[0].data.copy()
    twins.on_gpu.step()
    assert len(writes) == before + 1


def test_a_capture_before_the_first_step_is_refused(cupy):
    twins = Twins(cupy, [5])
    twins.give_gradients(1)
    with pytest.raises(DeviceError, match="take a step before"), Capturing(cupy):
        twins.on_gpu.step()
