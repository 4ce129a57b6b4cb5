"""A measurement as a file: what was found, when, and on which machine."""

import json
import platform
from datetime import date
from pathlib import Path

import numpy as np

from minires.backend.cpu.threads import available_cores


def circumstances():
    """{"date", "machine"}: today, and what is measured on: processor, cores, system, versions."""
    machine = {
        "processor": processor(),
        "cores": available_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return {"date": date.today().isoformat(), "machine": machine}


def processor():
    """The processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def write(results, path):
    """Write what was measured, a dict, as JSON to `path`, in a new folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
