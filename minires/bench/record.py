"""A measurement as a file: the results, the date and the machine."""

import json
import platform
from datetime import date
from pathlib import Path

import numpy as np

from minires.backend.cpu.threads import available_cores


def date_and_machine():
    """{"date", "machine"}: today, and the machine: processor, cores, system, versions of Python and NumPy."""
    machine = {
        "processor": processor(),
        "cores": available_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return {"date": date.today().isoformat(), "machine": machine}


def processor():
    """The processor's name, or its architecture where the system does not tell a name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def write(results, path):
    """Write the results, a dict, as JSON to `path`; missing folders are created."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
