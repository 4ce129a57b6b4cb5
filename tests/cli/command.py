"""The command line as a user calls it."""

import os
import subprocess
import sys


def minires(*arguments, folder=None, warnings="error"):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "minires.cli", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120", "PYTHONWARNINGS": warnings}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)
