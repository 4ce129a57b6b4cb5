"""The shape of the package: which part may import which, how long files get, where randomness comes from."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import minires

PACKAGE = Path(minires.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = {
    *(
        "backend",
        "engine",
        "ops",
        "nn",
        "models",
        "optim",
        "data",
        "recipes",
        "train",
        "lab",
        "bench",
        "plot",
    ),
    *("errors", "tables"),
}

# What each part may import of the others.
MAY_IMPORT = {
    "errors": set(),
    "tables": set(),
    "backend": {"errors"},
    "engine": {"backend", "errors"},
    "ops": {"backend", "engine", "errors"},
    "nn": {"backend", "engine", "ops", "errors"},
    "models": {"backend", "engine", "ops", "nn", "errors"},
    "optim": {"backend", "engine", "errors"},
    "data": {"backend", "errors"},
    "recipes": {"data", "models", "optim", "errors"},
    "train": EVERYTHING,
    "lab": EVERYTHING,
    "bench": EVERYTHING,
    "plot": EVERYTHING,
    "cli": EVERYTHING | {"doctor"},
    "doctor": EVERYTHING,
    "__main__": {"cli"},
    "__init__": EVERYTHING,
}


def name_of(file):
    return file.relative_to(PACKAGE).as_posix()


def part_of(file):
    """The folder, or for a file at the top its own name."""
    return Path(name_of(file)).parts[0].removesuffix(".py")


@cache
def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(tree):
    """Full names of all modules that a file imports anywhere, `from a import b` as both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts_imported(tree):
    """The parts of minires that a file imports."""
    parts = {name.split(".")[1] for name in imports(tree) if name.startswith("minires.")}
    return parts & set(MAY_IMPORT)


def packages_imported(tree):
    return {name.split(".")[0] for name in imports(tree)}


def dotted(node):
    """`np.random.seed` of the syntax tree as text; "" for anything that is not names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


# The names of numpy.random that keep no hidden state.
STATELESS = {"default_rng", "Generator", "SeedSequence", "PCG64", "BitGenerator", "Philox"}


def global_randomness(tree):
    """Uses of random numbers that no generator in the code's hands decides."""
    for node in ast.walk(tree):
        name = dotted(node)
        for prefix in ("np.random.", "numpy.random."):
            if name.startswith(prefix) and name.removeprefix(prefix).split(".")[0] not in STATELESS:
                yield name
    for name in imports(tree):
        if name == "random" or name.startswith("random."):
            yield name
        if name.startswith("numpy.random.") and name.split(".")[2] not in STATELESS:
            yield name


def test_there_is_something_to_check():
    assert len(FILES) > 30
    assert {part_of(file) for file in FILES} >= {"backend", "engine", "ops", "nn", "models", "optim"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_dependencies_run_one_way(file):
    part = part_of(file)
    assert part in MAY_IMPORT, "a new part of the package needs its line in the table above"
    assert parts_imported(tree_of(file)) - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_the_backend_imports_cupy(file):
    assert "cupy" not in packages_imported(tree_of(file)) or part_of(file) == "backend"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_other_framework_is_imported_but_to_compare_with(file):
    frameworks = packages_imported(tree_of(file)) & {
        "torch",
        "torchvision",
        "jax",
        "tensorflow",
        "keras",
        "flax",
    }
    assert not frameworks or name_of(file) == "bench/pytorch.py"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_only_one_file_reads_pickles(file):
    pickles = packages_imported(tree_of(file)) & {
        "pickle",
        "cPickle",
        "dill",
        "joblib",
        "cloudpickle",
        "shelve",
    }
    assert not pickles or name_of(file) == "data/restricted_pickle.py"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_uses_or_seeds_a_global_generator(file):
    assert list(global_randomness(tree_of(file))) == []


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_files_stay_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


# Files of one name, and the one idea that they have on several floors.
SHARED_NAMES = {
    "augment": "random crops and flips: on the CPU, and as a kernel",
    "checks": "what arguments must be: of operations, of networks",
    "convolution_choice": "which way to convolve is the fastest: on a CPU, on a GPU",
    "degradation": "the degradation experiment, and its figure",
    "elementwise": "operations element by element, and their kernels",
    "loss": "the loss: as an operation, and of a network's outputs",
    "pooling": "the kernels of pooling: on a CPU, on a GPU",
    "prediction": "what a network says about images, and its figure",
    "sgd": "the optimizer, and its kernel",
    "shift": "the experiment with shifted digits, and its figure",
    "step": "a training step: of a run, and to be timed",
    "weights": "files of weights, and the commands for them",
}


def test_two_files_have_one_name_only_where_they_have_one_idea():
    names = Counter(file.stem for file in FILES if file.stem != "__init__")
    assert {name for name, count in names.items() if count > 1} == set(SHARED_NAMES)


VAGUE = {"SMALL", "LARGE", "CACHE", "FEW", "MANY", "PIECE", "WIDE", "LONG", "LONGEST", "ENOUGH", "TINY"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_constant_says_what_it_counts(file):
    constants = {
        dotted(target)
        for node in tree_of(file).body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }
    assert not constants & VAGUE


def test_engine_is_read_in_one_sitting():
    engine = [file for file in FILES if part_of(file) == "engine"]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in engine) < 400


OPERATIONS = [file for file in FILES if part_of(file) == "ops"]


def what_could_leave_a_result_open(tree):
    """Imports for state that outlives a call, looks at what made a tensor, tensors of another kind."""
    yield from packages_imported(tree) & {"contextvars", "copy", "threading", "weakref"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "creator":
            yield "creator"
        if isinstance(node, ast.ClassDef) and "Tensor" in [dotted(base) for base in node.bases]:
            yield f"class {node.name}(Tensor)"


@pytest.mark.parametrize("file", OPERATIONS, ids=name_of)
def test_operations_leave_no_result_open(file):
    found = set(what_could_leave_a_result_open(tree_of(file)))
    # Whether a tensor is a leaf decides what += does with it.
    assert found == ({"creator"} if name_of(file) == "ops/operators.py" else set())


def test_only_parameters_and_buffers_are_tensors_of_their_own_kind():
    kinds = {
        f"{name_of(file)}: {found}"
        for file in FILES
        for found in what_could_leave_a_result_open(tree_of(file))
        if found.startswith("class ")
    }
    names = ("Parameter", "Buffer")
    assert kinds == {f"nn/module.py: class {name}(Tensor)" for name in names}


@pytest.mark.parametrize("part", ["ops", "optim"])
def test_what_is_computed_knows_no_gpu(part):
    """Narrow maps and recorded steps are the backend's, and what trains on a GPU asks it for them."""
    for file in FILES:
        if part_of(file) == part:
            assert "bfloat16" not in file.read_text(encoding="utf-8"), name_of(file)
            assert not any("cuda" in name for name in imports(tree_of(file))), name_of(file)


def test_the_file_that_trains_begins_with_forward_backward_step():
    beginning = (PACKAGE / "train" / "trainer.py").read_text(encoding="utf-8").splitlines()[:40]
    positions = [
        next(i for i, line in enumerate(beginning) if call in line)
        for call in ("model(Tensor(images))", "loss.backward()", "optimizer.step()")
    ]
    assert positions == sorted(positions)


def test_the_trainer_does_not_ask_what_it_runs_on():
    trainer = (PACKAGE / "train" / "trainer.py").read_text(encoding="utf-8")
    assert '"cpu"' not in trainer
    assert '"cuda"' not in trainer


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from contextvars import ContextVar", True),
        ("from copy import copy", True),
        ("if x.creator is None: pass", True),
        ("class OpenTensor(Tensor): pass", True),
        ("class Relu(Function):\n    def forward(self, x): self.saved = x", False),
    ],
)
def test_the_check_sees_open_results(code, found):
    assert bool(list(what_could_leave_a_result_open(ast.parse(code)))) == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import minires.nn", {"nn"}),
        ("from minires import ops, cli", {"ops", "cli"}),
        ("from minires.engine.tensor import Tensor", {"engine"}),
        ("def f():\n    from minires.data import cifar", {"data"}),
        ("from minires import Tensor", set()),
        ("import numpy", set()),
    ],
)
def test_the_check_sees_imports(code, found):
    assert parts_imported(ast.parse(code)) == found


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("np.random.seed(0)", True),
        ("x = numpy.random.rand(3)", True),
        ("f = np.random.RandomState(0).rand", True),
        ("from numpy.random import shuffle", True),
        ("import random", True),
        ("np.random.default_rng(0).random(3)", False),
        ("def f(g: np.random.Generator): pass", False),
        ("from numpy.random import default_rng", False),
    ],
)
def test_the_check_sees_global_randomness(code, caught):
    assert bool(list(global_randomness(ast.parse(code)))) == caught
