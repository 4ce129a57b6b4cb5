"""What the tests share: deterministic Hypothesis, workers side by side, and helpers that come as fixtures."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from minires import Tensor, models
from minires.backend.cpu.threads import available_cores
from minires.nn.init import skip_init

settings.register_profile("minires", derandomize=True, deadline=None, max_examples=100)
settings.load_profile("minires")

SHARED = Path(__file__).parents[2] / "shared"

# Rounding errors, relative to the largest entry, because the terms of sums cancel each other.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

MOST_WORKERS = 4  # some networks take a GiB of memory each

# Workers of pytest-xdist, and the processes that their tests start, share the cores.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
if WORKERS:
    for variable in ("MINIRES_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, str(max(1, available_cores() // WORKERS)))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run the tests in a worker for each core if pytest-xdist is installed and the option -n is not given.

    Not where only files are named, which are done before workers have started. Not for tests on a GPU, which
    they would share, nor for slow ones, which measure how long a tutorial takes on all cores.
    """
    option = config.option
    undecided = getattr(option, "numprocesses", 0) is None and not WORKERS
    only_files = all(Path(argument.partition("::")[0]).suffix == ".py" for argument in config.args)
    if undecided and not (only_files or option.usepdb or option.markexpr in ("gpu", "slow")):
        option.numprocesses, option.dist = min(available_cores(), MOST_WORKERS), "worksteal"


@pytest.fixture(scope="session")
def shared():
    """The folder of shared material beside the repository, or a skip."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared folder beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def for_all_workers(tmp_path_factory, request):
    """A folder that all workers of pytest-xdist share. Two may write the same file at a time: use a lock."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session")
def summary(for_all_workers):
    """summary(name, options): models.summarize of a network, computed once for all workers."""

    def rows_of(name, options=frozenset()):
        file = for_all_workers / f"summary {name} {sorted(options)}"
        with FileLock(f"{file}.lock"):
            if not file.exists():
                with skip_init():
                    rows = models.summarize(models.create(name, **dict(options)))
                file.write_bytes(pickle.dumps(rows))
        return pickle.loads(file.read_bytes())

    return rows_of


@pytest.fixture
def rng():
    """A new generator for each test, always with the same seed."""
    return np.random.default_rng(0)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(scope="session")
def agree():
    """assert_agree, as a fixture."""
    return assert_agree


@pytest.fixture(scope="session")
def in_memory_order():
    """reorder(x, order): the same map, in memory as N, C, H, W or as H, W, C, N."""

    def reorder(x, order):
        if x.ndim != 4 or order == "NCHW":
            return row_major(x)
        return np.ascontiguousarray(x.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)

    return reorder


def row_major(x):
    return np.asarray(x, order="C")


def assert_agree(result, expected, tolerance=None):
    """Same shape and dtype, and no entries further apart than `tolerance` times the largest expected one."""
    result, expected = to_array(result), to_array(expected)
    assert result.shape == expected.shape
    assert result.dtype == expected.dtype
    if not result.size:
        return
    tolerance = TOLERANCE[result.dtype.name] if tolerance is None else tolerance
    scale = np.abs(expected).max()
    assert np.isfinite(scale)
    assert np.abs(result - expected).max() <= tolerance * scale


def to_array(x):
    """A Tensor of minires or of PyTorch, or an array, as an array."""
    if isinstance(x, Tensor):
        return x.numpy()
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


@pytest.fixture(scope="session")
def same_as_torch():
    """compare(function, torch_function, inputs): same output, same gradients for one upstream gradient.

    inputs: floating-point arrays, which both functions take as tensors that require a gradient.
    """
    torch = pytest.importorskip("torch")

    def compare(function, torch_function, inputs, tolerance=None, reorder=row_major):
        tensors = [Tensor(reorder(x), requires_grad=True) for x in inputs]
        torch_tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
        y, expected = function(*tensors), torch_function(*torch_tensors)
        assert_agree(y, expected, tolerance)
        u = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        y.backward(reorder(u))
        expected.backward(torch.tensor(u))
        for x, torch_x in zip(tensors, torch_tensors, strict=True):
            assert_agree(x.grad, torch_x.grad, tolerance)

    return compare
