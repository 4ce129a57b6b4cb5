"""Compiles CUDA sources for the CPU, each once: the libraries are kept in the system's temporary folder."""

import getpass
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from filelock import FileLock

FOLDER = Path(__file__).parent
SANITIZED = os.environ.get("MINIRES_SANITIZE") == "1"

# CUDA code often mixes signed and unsigned indices, and reads numbers through pointers to vectors.
FLAGS = (
    *("-std=c++17", "-O1", "-g1" if SANITIZED else "-g0", "-fPIC"),
    *("-fvisibility=hidden", "-fno-gnu-unique", "-fno-strict-aliasing", "-ffp-contract=off"),
    *("-Wall", "-Wextra", "-Werror", "-fmax-errors=3", "-Wno-unknown-pragmas", "-Wno-sign-compare"),
    f"-fsanitize={'address,undefined' if SANITIZED else 'alignment,null'}",
    "-fno-sanitize-recover=all",
    # AddressSanitizer makes better checks of pointers than these two, and causes this warning.
    *(("-fno-sanitize=pointer-overflow,object-size", "-Wno-maybe-uninitialized") if SANITIZED else ()),
)

KERNEL = re.compile(
    r'extern\s*"C"\s*__global__\s+(?:__launch_bounds__\s*\((?P<before>[^)]*)\)\s*)?void\s+'
    r"(?:__launch_bounds__\s*\((?P<after>[^)]*)\)\s*)?(?P<name>\w+)\s*\("
)
# The most threads of a block if the kernel has no __launch_bounds__. A GPU would start more if a thread needs
# few registers; the emulator does not know how many it needs.
THREADS_WITHOUT_BOUNDS = 512


class EmulatorError(RuntimeError):
    """A kernel that does not compile, or that does something a GPU does not allow, at its launch or later."""


@cache
def compiler():
    """The path of a C++ compiler, or None."""
    return shutil.which("g++")


def kernels_of(code):
    """{name of each kernel: its launch bounds}, including the kernels that macros define."""
    command = [compiler(), "-E", "-P", "-x", "c++", "-DRUNS_ON_CPU", "-"]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError(done.stderr)
    bounds = {
        m["name"]: m["before"] or m["after"] or str(THREADS_WITHOUT_BOUNDS)
        for m in KERNEL.finditer(done.stdout)
    }
    if not bounds:
        raise EmulatorError('there is no kernel `extern "C" __global__ void name(...)` in this source')
    return bounds


def build(code):
    """The path of the shared library with all kernels of a source.

    Raises EmulatorError with the compiler's message if the source does not compile.
    """
    library, error = build_once(code)
    if error is not None:
        raise EmulatorError(error)
    return library


@cache
def build_once(code):
    """(path, None), or (None, the compiler's message): a source that does not compile is not tried again."""
    emulator = (file.read_text(encoding="utf-8") for file in (*sorted(FOLDER.glob("*.h")), Path(__file__)))
    key = hashlib.sha256("\0".join((code, *emulator, *FLAGS, compiler())).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"minires-emulator-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{key}.so"
    with FileLock(f"{library}.lock"):  # another process may be compiling it
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                try:
                    os.replace(compile_in(Path(work), code), library)
                except EmulatorError as error:
                    return None, str(error)
    return library, None


def compile_in(work, code):
    exports = (f"EMULATOR_EXPORT({name}, {bounds})" for name, bounds in kernels_of(code).items())
    parts = ('#include "cuda_on_cpu.h"', '#include "kernels.cu"', '#include "launch.h"', *exports)
    (work / "kernels.cu").write_text(code, encoding="utf-8")
    (work / "all.cpp").write_text("\n".join(parts) + "\n", encoding="utf-8")
    # In two steps: if it were linked with -fsanitize, it would load a library whose errors end the process.
    link = [flag for flag in FLAGS if SANITIZED or not flag.startswith(("-fsanitize", "-fno-sanitize"))]
    for command in (
        [compiler(), *FLAGS, "-I", str(FOLDER), "-c", "all.cpp", "-o", "all.o"],
        [compiler(), *link, "-shared", "all.o", "-o", "all.so"],
    ):
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmulatorError(done.stderr)
    return work / "all.so"
