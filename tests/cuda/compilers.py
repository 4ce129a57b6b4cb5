"""CUDA's compilers, which need no GPU: the report of ptxas on each kernel, and its PTX."""

import getpass
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock

FLAGS = ("--std=c++17", "-ftz=true", "-Xptxas", "-v")  # those of CuPy; the last two make ptxas report


class CompileError(RuntimeError):
    """The compiler's message about a source that does not compile."""


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel.

    registers: of a thread; local_memory: bytes of memory for numbers that do not fit into registers; threads:
    the most threads of a block, or 0 if its source has no __launch_bounds__; ptx: its PTX.
    """

    name: str
    registers: int
    local_memory: int
    threads: int
    ptx: str


def compiler():
    """A function (source, architecture) -> (report, PTX) that compiles, or None if there is no compiler.

    It is NVRTC, which comes with CuPy, else nvcc.
    """
    return nvrtc if loaded_nvrtc() else nvcc if shutil.which("nvcc") else None


def compiled(source, architecture):
    """The Kernels of a source, for an architecture such as "sm_90"."""
    report, ptx = compiler()(source, architecture)
    texts = by_name(ptx, ".entry ")
    reports = by_name(report, "Compiling entry function '")
    assert texts.keys() == reports.keys()
    return [kernel(name, reports[name], texts[name]) for name in texts]


def by_name(text, before_name):
    return {re.match(r"\w+", part)[0]: part for part in text.split(before_name)[1:]}


def kernel(name, report, ptx):
    memory = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report)
    registers = re.search(r"Used (\d+) registers", report)
    threads = re.search(r"\.maxntid (\d+)", ptx)
    return Kernel(
        name, int(registers[1]), sum(map(int, memory.groups())), int(threads[1]) if threads else 0, ptx
    )


def nvcc(source, architecture):
    """(report, PTX) by nvcc, kept in the system's temporary folder: nvcc runs once for each source."""
    key = hashlib.sha256("\0".join((source, architecture, *FLAGS, version_of_nvcc())).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"minires-nvcc-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    cached = folder / f"{key[:24]}.json"
    with FileLock(f"{cached}.lock"):  # another process may be compiling it
        if not cached.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                result = Path(work, "result.json")
                result.write_text(json.dumps(run_nvcc(Path(work), source, architecture)), encoding="utf-8")
                os.replace(result, cached)
    return json.loads(cached.read_text(encoding="utf-8"))


def run_nvcc(work, source, architecture):
    (work / "kernels.cu").write_text(source, encoding="utf-8")
    command = ("nvcc", "-cubin", f"-arch={architecture}", *FLAGS, "--keep", "kernels.cu")
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stdout + done.stderr, (work / "kernels.ptx").read_text(encoding="utf-8")


@cache
def version_of_nvcc():
    return subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout


@cache
def loaded_nvrtc():
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except (ImportError, RuntimeError):
        return None
    return nvrtc


def nvrtc(source, architecture):
    library = loaded_nvrtc()
    program = library.createProgram(source, "kernels.cu", [], [])
    try:
        library.compileProgram(program, [f"-arch={architecture}", *FLAGS])
        return library.getProgramLog(program), library.getPTX(program).decode()
    except library.NVRTCError as error:
        raise CompileError(library.getProgramLog(program)) from error
    finally:
        library.destroyProgram(program)
