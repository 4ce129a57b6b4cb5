"""Starting Python with AddressSanitizer, which must be there before anything else is."""

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
    """Run Python with these arguments, AddressSanitizer, and emulated kernels that it watches."""
    environment = {
        **os.environ,
        "MINIRES_SANITIZE": "1",
        # C++'s own library, too: AddressSanitizer stops the first exception of one that is loaded later.
        "LD_PRELOAD": " ".join(filter(None, (library(), path_of("libstdc++.so.6")))),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = ["nice", sys.executable, *map(str, arguments)]  # it may run beside other tests
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)
