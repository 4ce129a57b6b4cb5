"""What this machine can do, for `minires doctor`."""

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from threadpoolctl import threadpool_info

from minires.backend import get_num_threads
from minires.backend.cpu.threads import available_cores
from minires.backend.device import load_cupy
from minires.data.download import cache_folder
from minires.errors import DeviceError

PACKAGES = (
    "minires",
    "numpy",
    "matplotlib",
    "pillow",
    "pooch",
    "rich",
    "safetensors",
    "threadpoolctl",
    "typer",
)


def machine_report():
    """{what: finding} in the order in which it should be read; strings only."""
    report = {
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "cores for this process": str(available_cores()),
        "threads of minires": str(get_num_threads()),
        **{package: installed_version(package) for package in PACKAGES},
        "matrix products": blas(),
        "GPU": gpu(),
        "data cache": cache(),
    }
    return report


def installed_version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def blas():
    """The library behind NumPy's matrix products and its threads."""
    np.ones((2, 2)) @ np.ones((2, 2))  # loads it
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found = [f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads" for pool in pools]
    return "; ".join(found) or "unknown"


def gpu():
    """The GPU's name and memory, or what is missing."""
    try:
        cupy = load_cupy()
    except DeviceError as error:
        return f"none: {error}"
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    gibibytes = properties["totalGlobalMem"] / 2**30
    return f"{properties['name'].decode()}, {gibibytes:.0f} GiB, CuPy {cupy.__version__}"


def cache():
    """The cache folder and what lies in it."""
    folder = cache_folder()
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    held = ", ".join(f"{f.name} ({f.stat().st_size / 2**20:.0f} MiB)" for f in files if f.is_file())
    return f"{folder}: {held or 'empty'}"
