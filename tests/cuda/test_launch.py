"""Loading kernels, and the messages if that fails."""

import pytest

from minires.backend.cuda import launch
from minires.errors import DeviceError


def test_each_header_is_included_once():
    text = launch.source("convolution.cu")
    assert "#include" not in text
    assert "#pragma once" not in text
    assert text.count("constexpr int WARP = 32;") == 1


def test_a_broken_compiler_is_named_with_what_to_install(cupy, monkeypatch):
    monkeypatch.setattr(launch, "source", lambda file: 'extern "C" __global__ void k() { nonsense(); }')
    with pytest.raises(DeviceError, match=r"cannot compile for it \(.+\); .* pip install"):
        launch.kernel("broken.cu", "k")


def test_no_room_for_a_kernel_is_a_lack_of_memory(cupy, device, monkeypatch):
    def compile(self, log_stream=None):
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")

    monkeypatch.setattr(cupy.RawModule, "compile", compile)
    with pytest.raises(MemoryError, match=r"while loading sgd\.cu"):
        launch.kernel("sgd.cu", "sgd_update")
