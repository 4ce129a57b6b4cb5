"""What a call costs besides its arithmetic, counted, not timed."""

import gc
import sys
from pathlib import Path

import pytest

import minires
from minires import Tensor, get_num_threads, nn, set_num_threads

BACKEND = str(Path(minires.__file__).parent / "backend")


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


def python_calls(function):
    """How many Python functions `function` calls that are not the backend's own."""
    count = 0

    def count_call(frame, event, argument):
        nonlocal count
        count += event == "call" and not frame.f_code.co_filename.startswith(BACKEND)

    gc.disable()  # a library may be called back at each collection
    sys.setprofile(count_call)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.usefixtures("one_thread")
def test_a_convolution_takes_few_calls(rng):
    conv = nn.Conv2d(16, 16, 3, padding=1, bias=False, generator=0)
    x = Tensor(rng.standard_normal((32, 16, 32, 32)), dtype="float32")
    conv(x)
    assert 10 < python_calls(lambda: conv(x)) <= 40


def test_python_calls_are_counted():
    def empty():
        pass

    assert python_calls(lambda: (empty(), empty())) == 3  # with the lambda itself
