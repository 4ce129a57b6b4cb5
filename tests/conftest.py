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

# Rounding, a few hundred units in the last place: relative to the largest entry, because sums cancel.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}

MOST_WORKERS = 4  # some networks take a GiB each

# Workers of pytest-xdist, and the processes that their tests start, share the cores.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
if WORKERS:
    for variable in ("MINIRES_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, str(max(1, available_cores() // WORKERS)))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Deal the tests out to a worker for each core, if pytest-xdist is there and -n does not say otherwise.

    One file is done sooner than workers have started. Tests on a GPU would be in each other's way, and slow
    ones measure how long a tutorial takes on all cores.
    """
    option = config.option
    undecided = getattr(option, "numprocesses", 0) is None and not WORKERS
    one_file = all(Path(argument.partition("::")[0]).suffix == ".py" for argument in config.args)
    if undecided and not (one_file or option.usepdb or option.markexpr in ("gpu", "slow")):
        option.numprocesses, option.dist = min(available_cores(), MOST_WORKERS), "worksteal"


@pytest.fixture(scope="session")
def shared():
    """The folder of shared material beside the repository, or a skip."""
    if not SHARED.is_dir():
        pytest.skip("needs the shared folder beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def for_all_workers(tmp_path_factory, request):
    """An empty folder, the same for all workers of pytest-xdist. Two may reach for a file at a time."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if hasattr(request.config, "workerinput") else folder


@pytest.fixture(scope="session")
def summary(for_all_workers):
    """summary(name, options): the rows of a network, which computes an image once for all workers."""

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
    """A generator of this test's own, always the same."""
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
    """The same map, in memory as N, C, H, W or as H, W, C, N."""

    def reorder(x, order):
        if x.ndim != 4 or order == "NCHW":
            return row_major(x)
        return np.ascontiguousarray(x.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)

    return reorder


def row_major(x):
    return np.asarray(x, order="C")


def assert_agree(ours, theirs, tolerance=None):
    """Same shape and dtype, and no entry further apart than `tolerance` times the largest entry."""
    ours, theirs = to_array(ours), to_array(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    if not ours.size:
        return
    tolerance = TOLERANCE[ours.dtype.name] if tolerance is None else tolerance
    scale = np.abs(theirs).max()
    assert np.isfinite(scale)
    assert np.abs(ours - theirs).max() <= tolerance * scale


def to_array(x):
    """A Tensor of minires or of PyTorch, or an array, as an array."""
    if isinstance(x, Tensor):
        return x.numpy()
    return x.detach().numpy() if hasattr(x, "detach") else np.asarray(x)


@pytest.fixture(scope="session")
def same_as_torch():
    """compare(ours, theirs, inputs): same output, same gradients under one random upstream gradient.

    inputs: floating-point arrays, which both functions take as tensors that require a gradient.
    """
    torch = pytest.importorskip("torch")

    def compare(ours, theirs, inputs, tolerance=None, reorder=row_major):
        a = [Tensor(reorder(x), requires_grad=True) for x in inputs]
        b = [torch.tensor(x, requires_grad=True) for x in inputs]
        y, expected = ours(*a), theirs(*b)
        assert_agree(y, expected, tolerance)
        u = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        y.backward(reorder(u))
        expected.backward(torch.tensor(u))
        for x, other in zip(a, b, strict=True):
            assert_agree(x.grad, other.grad, tolerance)

    return compare
