"""Starts Python with AddressSanitizer, which must be loaded before all other libraries."""

import os
import subprocess
import sys
from functools import cache

import emulator


@cache
def library():
    """The path of libasan, or None."""
    return None if emulator.compiler() is None else path_of("libasan.so")


def path_of(name):
    """The path of one of the compiler's libraries, or None."""
    command = [emulator.compiler(), f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return path if os.path.isabs(path) else None


def python(*arguments, **options):
    """Run Python with these arguments and AddressSanitizer, which also watches the emulated kernels."""
    environment = {
        **os.environ,
        "MINIRES_SANITIZE": "1",
        # C++'s library must be loaded early, too: else AddressSanitizer ends the process at an exception.
        "LD_PRELOAD": " ".join(filter(None, (library(), path_of("libstdc++.so.6")))),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself has leaks
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = ["nice", sys.executable, *map(str, arguments)]  # with low priority, since other tests may run
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)
