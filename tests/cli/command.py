"""The command line as a user calls it."""

import os
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from unittest import mock

from minires import get_num_threads, set_num_threads
from minires.cli import main
from minires.cli.common import console

console.width = 120


def minires(*arguments, folder="."):
    """Run the command in this process, which is faster, since everything is imported already."""
    arguments, threads = ["minires", *map(str, arguments)], get_num_threads()
    code, stdout, stderr = 0, StringIO(), StringIO()
    with (
        chdir(folder),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        mock.patch.object(sys, "argv", arguments),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        finally:
            set_num_threads(threads)
    return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())


def minires_process(*arguments, warnings="error"):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "minires.cli", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120", "PYTHONWARNINGS": warnings}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
