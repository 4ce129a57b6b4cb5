"""The device that the tests of GPU code run on: a fake one, and the real one where there is one."""

import sys

import emulator
import fake_cupy
import pytest

from minires.backend.cuda import card, launch


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def cupy(request, monkeypatch):
    """CuPy: the fake one, registered under CuPy's name, or the real one."""
    forget()
    yield real_cupy() if request.param == "real" else fake(monkeypatch)
    forget()


@pytest.fixture
def device(cupy):
    """What a test may change about the fake device; see fake_cupy/device.py. A real one stays as it is."""
    if cupy is not fake_cupy:
        pytest.skip("needs the fake GPU")
    return cupy.cuda.device


@pytest.fixture
def cp():
    """The fake CuPy by its own name, to be tested itself."""
    fake_cupy.reset()
    yield fake_cupy
    fake_cupy.reset()


def forget():
    """What was compiled for, or found out about, whoever was CuPy before."""
    for remembered in (launch.kernel, launch.module, card.card):
        remembered.cache_clear()


@pytest.fixture(params=["forward", "reversed"])
def turns(request):
    """The order in which the emulator lets threads take their turns: a test that asks for it runs in both."""
    with emulator.turns(request.param):
        yield


def fake(monkeypatch):
    if emulator.compiler() is None:
        pytest.skip("needs g++, to compile kernels for the CPU")
    fake_cupy.reset()
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", fake_cupy.cuda)
    return fake_cupy


def real_cupy():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return cupy
