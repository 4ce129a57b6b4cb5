"""What a call costs besides its arithmetic, counted, not timed."""

import sys
from pathlib import Path

import pytest

import minires
from minires import Tensor, get_num_threads, nn, set_num_threads

PACKAGE = str(Path(minires.__file__).parent)
BACKEND = str(Path(PACKAGE, "backend"))


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


def python_calls(function):
    """How many functions of minires `function` calls, those of the backend aside.

    Functions of other packages do not count: which ones are called also depends on caches and on garbage
    collections.
    """
    count = 0

    def count_call(frame, event, argument):
        nonlocal count
        path = frame.f_code.co_filename
        count += event == "call" and path.startswith(PACKAGE) and not path.startswith(BACKEND)

    sys.setprofile(count_call)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.usefixtures("one_thread")
def test_a_convolution_takes_few_calls(rng):
    conv = nn.Conv2d(16, 16, 3, padding=1, bias=False, generator=0)
    x = Tensor(rng.standard_normal((32, 16, 32, 32)), dtype="float32")
    conv(x)
    assert 10 < python_calls(lambda: conv(x)) <= 40


def test_python_calls_are_counted():
    x = Tensor([1.0])
    assert python_calls(lambda: None) == 0
    assert python_calls(lambda: x.shape) == 1
    assert python_calls(lambda: (x.shape, x.shape)) == 2
