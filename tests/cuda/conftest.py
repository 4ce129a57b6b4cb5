"""The device on which the tests of GPU code run: the fake one, and the real one if there is one."""

import sys

import emulator
import fake_cupy
import pytest

from minires.backend.cuda import card, launch


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.gpu)])
def cupy(request, monkeypatch):
    """CuPy: the fake one, registered under CuPy's name, or the real one."""
    clear_caches()
    yield import_real_cupy() if request.param == "real" else install_fake_cupy(monkeypatch)
    clear_caches()


@pytest.fixture
def device(cupy):
    """The properties of the fake device, which the test may change; see fake_cupy/device.py."""
    if cupy is not fake_cupy:
        pytest.skip("needs the fake GPU")
    return cupy.cuda.device


@pytest.fixture
def cp():
    """The fake CuPy under its own name, for tests of the fake itself."""
    fake_cupy.reset()
    yield fake_cupy
    fake_cupy.reset()


def clear_caches():
    """Forget the kernels and the card of the CuPy that was in use before."""
    for function in (launch.kernel, launch.module, card.card):
        function.cache_clear()


@pytest.fixture(params=["forward", "reversed"])
def turns(request):
    """Runs a test twice, with the emulator's threads in one order and in the other."""
    with emulator.turns(request.param):
        yield


def install_fake_cupy(monkeypatch):
    if emulator.compiler() is None:
        pytest.skip("needs g++, to compile kernels for the CPU")
    fake_cupy.reset()
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy)
    monkeypatch.setitem(sys.modules, "cupy.cuda", fake_cupy.cuda)
    return fake_cupy


def import_real_cupy():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return cupy
