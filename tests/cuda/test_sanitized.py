"""The tests of kernels once more, under AddressSanitizer and UndefinedBehaviorSanitizer.

They find every access outside of an array or of a block's shared memory, while the emulator alone finds only
some of the writes. They also find undefined behaviour of C++.
"""

from pathlib import Path
from xml.etree import ElementTree

import asan
import emulator
import pytest

pytestmark = [
    pytest.mark.skipif(asan.library() is None, reason="needs g++ with libasan"),
    pytest.mark.skipif(emulator.SANITIZED, reason="runs itself"),
]

FOLDER = Path(__file__).parent
FILES = [
    *sorted(FOLDER.glob("kernels/test_*.py")),
    FOLDER / "test_emulator.py",
    FOLDER / "test_fake_kernels.py",
]
MAY_SKIP = {"AddressSanitizer ends the process"}


@pytest.mark.slow
def test_kernels_stay_within_their_memory(tmp_path):
    # --capture=sys, because with pytest's default the last message of AddressSanitizer would be lost.
    options = ("-m", "pytest", "-m", "not gpu", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys")
    done = asan.python(*options, f"--junitxml={tmp_path}/tests.xml", *FILES)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    cases = list(ElementTree.parse(tmp_path / "tests.xml").iter("testcase"))
    skipped = {case.find("skipped").get("message") for case in cases if case.find("skipped") is not None}
    assert skipped <= MAY_SKIP
    assert {case.get("classname").split(".")[-1] for case in cases} == {file.stem for file in FILES}


CODE = """
extern "C" __global__ void behind_an_array(float* y) { y[threadIdx.x + 1] = 1; }
extern "C" __global__ void before_an_array(float* y) { y[0] = y[int(threadIdx.x) - 1]; }
extern "C" __global__ void behind_shared_memory(float* y) { y[0] = shared_floats()[threadIdx.x + 1]; }
extern "C" __global__ void behind_its_own(float* y) {
    float own[4];
    own[int(y[0]) + threadIdx.x] = 1;
    y[0] = own[0];
}
extern "C" __global__ void too_large(float* y) { y[0] = 0x7fffffff + int(threadIdx.x); }
extern "C" __global__ void misaligned(float* y) { y[0] = reinterpret_cast<float4*>(y + 1)->x; }
"""
FAULTS = {
    "behind_an_array": "heap-buffer-overflow",
    "before_an_array": "heap-buffer-overflow",
    "behind_shared_memory": "heap-buffer-overflow",
    "behind_its_own": "out of bounds",
    "too_large": "signed integer overflow",
    "misaligned": "misaligned address",
}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", FAULTS)
def test_faults_are_found(kernel):
    program = f"""
import emulator, numpy as np
memory = np.zeros(32, np.float32)
emulator.Kernel({CODE!r}, {kernel!r})((1, 1, 1), 32, [(memory.ctypes.data, memory.dtype)], 128)
"""
    done = asan.python("-c", program)
    assert done.returncode
    assert FAULTS[kernel] in done.stderr
    assert f"in {kernel}" in done.stderr
