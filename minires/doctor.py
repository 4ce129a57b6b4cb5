"""What this machine can do, for `minires doctor`."""

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from threadpoolctl import threadpool_info

from minires import __version__
from minires.backend import get_num_threads, kernels
from minires.backend.cpu.threads import available_cores
from minires.backend.cuda import kernel_settings
from minires.backend.cuda.card import card
from minires.backend.device import load_cupy
from minires.data.download import cache_folder
from minires.errors import DeviceError

PACKAGES = (
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
    """{item: finding} in the order in which they are shown, all strings."""
    report = {
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "cores for this process": str(available_cores()),
        "threads of minires": str(get_num_threads()),
        "minires": __version__,
        **{package: installed_version(package) for package in PACKAGES},
        "matrix products": blas(),
        **gpu(),
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
    libraries = [f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads" for pool in pools]
    return "; ".join(libraries) or "unknown"


def gpu():
    """The GPU and what minires can do with it, or what is missing: {item: finding}."""
    try:
        device, cupy = card(), load_cupy()
    except DeviceError as error:
        return {"GPU": f"none: {error}"}
    capability, gibibytes = ".".join(map(str, device.compute_capability)), device.memory / 2**30
    runtime = cupy.cuda.runtime
    return {
        "GPU": f"{device.name}, {gibibytes:.0f} GiB, compute capability {capability}",
        "CuPy": f"{cupy.__version__}, CUDA {cuda_version(runtime.runtimeGetVersion())}, "
        f"driver for up to {cuda_version(runtime.driverGetVersion())}",
        "tensor cores": "multiply TF32" if device.has_tf32_tensor_cores else "none that multiply TF32",
        "rung": f"{kernel_settings.highest_rung(device)}, of {', '.join(kernel_settings.RUNGS)}",
        "CUDA kernels": kernel_outcome(cupy),
    }


def cuda_version(number):
    """13020 -> "13.2", as CUDA counts."""
    return f"{number // 1000}.{number % 1000 // 10}"


def kernel_outcome(cupy):
    """In words, whether a CUDA kernel of minires compiles and computes the right result."""
    try:
        y = kernels.relu(cupy.asarray(np.array([-1, 2], np.float32)))
    except DeviceError as error:
        return f"fail: {error}"
    return "compile and run" if y.get().tolist() == [0, 2] else f"compute wrongly: relu(-1, 2) = {y.get()}"


def cache():
    """The cache folder and the files in it."""
    folder = cache_folder()
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    contents = ", ".join(f"{f.name} ({f.stat().st_size / 2**20:.0f} MiB)" for f in files if f.is_file())
    return f"{folder}: {contents or 'empty'}"
