"""The child of a fork computes, no matter what other threads were doing when the process forked."""

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minires
from minires.backend import kernels
from minires.backend.cpu import blas, forks, threads

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # about a fork while threads run
]


@pytest.fixture(autouse=True)
def two_threads():
    before = threads.get_num_threads()
    threads.set_num_threads(2)
    yield
    threads.set_num_threads(before)


@pytest.fixture
def in_thread():
    """start(function): call it in another thread, which has ended when the test has."""
    started = []

    def start(function):
        started.append(threading.Thread(target=function))
        started[-1].start()

    yield start
    for thread in started:
        thread.join()


def holds_in_child(check):
    """Whether check() is true in the child of a fork; False if it fails or takes more than 20 seconds."""
    child = os.fork()
    if child == 0:
        try:
            threading.Thread(target=lambda: (threading.Event().wait(20), os._exit(2)), daemon=True).start()
            os._exit(0 if check() else 1)
        finally:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def thread_counts_of_products():
    return {library.num_threads for library in blas.libraries()}


def locks_of_modules(tree):
    """The locks that a module makes for itself when it is imported, and does not give to held_by_forks."""
    for node in tree.body:
        made = node.value.func if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) else None
        name = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
        if name in ("Lock", "RLock", "Condition", "Semaphore"):
            yield ast.unparse(node)


def can_multiply():
    a = np.ones((256, 256), np.float32)
    return bool((kernels.matmul(a, a) == 256).all())


def test_the_thread_that_forks_is_still_inside_of_what_it_had_entered():
    def check():
        inside = can_multiply() and thread_counts_of_products() == {1}
        context.__exit__(None, None, None)
        outside = can_multiply() and thread_counts_of_products() == {2}
        with context:
            return inside and outside and thread_counts_of_products() == {1}

    context = blas.one_thread_per_product()
    with context:
        assert holds_in_child(check)


def test_what_another_thread_has_entered_is_not_entered_in_the_child(in_thread):
    inside, go_on = threading.Event(), threading.Event()

    def compute():
        with blas.one_thread_per_product():
            inside.set()
            go_on.wait(10)

    in_thread(compute)
    assert inside.wait(10)
    assert thread_counts_of_products() == {1}
    assert holds_in_child(lambda: thread_counts_of_products() == {2} and can_multiply())
    go_on.set()


def test_a_fork_waits_for_the_work_of_other_threads(in_thread):
    """Also if they hand a part of it on to further threads meanwhile."""
    inside, done = threading.Event(), []

    def work(job):
        inside.set()
        while not forks.computing.waiting_forks:
            inside.wait(1e-3)
        done.append(threads.parallel_map(lambda i: i, range(5)))

    in_thread(lambda: threads.parallel_map(work, [0]))
    assert inside.wait(10)
    assert holds_in_child(lambda: done == [[0, 1, 2, 3, 4]] and can_multiply())
    assert can_multiply()


def test_work_that_does_not_end_does_not_stop_a_fork(monkeypatch, in_thread):
    monkeypatch.setattr(forks, "LONGEST_WAIT_SECONDS", 0.05)
    inside, go_on = threading.Event(), threading.Event()
    in_thread(lambda: threads.parallel_map(lambda job: (inside.set(), go_on.wait(10)), [0]))
    assert inside.wait(10)
    assert holds_in_child(can_multiply)
    go_on.set()
    assert can_multiply()


def test_a_child_computes_itself_what_a_thread_of_its_parent_had_begun():
    parent, begun, go_on = os.getpid(), threading.Event(), threading.Event()

    def work():
        begun.set()
        if os.getpid() == parent:
            go_on.wait(10)
        return os.getpid()

    future = threads.run_in_background(work)
    assert begun.wait(10)
    assert holds_in_child(lambda: future.result() == os.getpid() == future.result())
    go_on.set()
    assert future.result() == parent
    assert holds_in_child(lambda: future.result() == parent)  # finished before the fork


def test_a_fork_holds_the_locks_of_every_module():
    files = sorted(Path(minires.__file__).parent.rglob("*.py"))
    assert len(files) > 30
    locks = {str(file): list(locks_of_modules(ast.parse(file.read_text(encoding="utf-8")))) for file in files}
    assert {name: found for name, found in locks.items() if found} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("lock = Lock()", 1),
        ("lock = threading.RLock()", 1),
        ("lock = held_by_forks(Lock())", 0),
        ("def f():\n    lock = Lock()", 0),
        ("count = 0", 0),
    ],
)
def test_the_check_sees_locks(code, found):
    assert len(list(locks_of_modules(ast.parse(code)))) == found


STEPS_AND_FORKS = """
import os, signal, threading, warnings
import numpy as np
import minires
from minires import Tensor, nn, ops

warnings.simplefilter("ignore", DeprecationWarning)  # about a fork while threads run
minires.set_num_threads(2)
rng = np.random.default_rng(0)
images = rng.standard_normal((16, 16, 32, 32)).astype(np.float32)
filters = rng.standard_normal((32, 16, 3, 3)).astype(np.float32)


def gradients():
    x, W = Tensor(images, requires_grad=True), nn.Parameter(filters)
    ops.relu(ops.conv2d(x, W, padding=1)).sum().backward()
    return x.grad.numpy(), W.grad.numpy()


def compute_for_ever():
    while True:
        gradients()


expected = gradients()
threading.Thread(target=compute_for_ever, daemon=True).start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends a child that waits for ever
        os._exit(0 if all(map(np.allclose, gradients(), expected)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
os._exit(0)
"""


def test_children_of_many_forks_compute_the_gradients_of_a_convolution():
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", STEPS_AND_FORKS]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
