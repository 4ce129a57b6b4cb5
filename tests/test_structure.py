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
    *("errors", "gradcheck", "options", "tables"),
}

# What each part may import of the others.
MAY_IMPORT = {
    "errors": set(),
    "options": {"errors"},
    "tables": set(),
    "backend": {"errors"},
    "engine": {"backend", "errors", "options"},
    "ops": {"backend", "engine", "errors", "options"},
    "nn": {"backend", "engine", "ops", "errors", "options"},
    "models": {"backend", "engine", "ops", "nn", "errors", "options"},
    "optim": {"backend", "engine", "errors", "options"},
    "data": {"backend", "errors", "options"},
    "recipes": {"data", "models", "optim", "errors"},
    "plot": {"errors"},
    "train": EVERYTHING - {"lab", "bench"},
    "lab": EVERYTHING - {"bench"},
    "bench": EVERYTHING - {"lab"},
    "gradcheck": {"backend", "engine", "errors"},
    "doctor": {"backend", "data", "errors"},
    "cli": EVERYTHING | {"doctor"},
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
    """Full names of all modules that a file imports; `from a import b` counts as both a and a.b."""
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
    """A node of the syntax tree as text, `np.random.seed`; "" unless it is names and dots only."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        prefix = dotted(node.value)
        return f"{prefix}.{node.attr}" if prefix else ""
    return ""


# The names of numpy.random that do not use its global generator.
STATELESS = {"default_rng", "Generator", "SeedSequence", "PCG64", "BitGenerator", "Philox"}


def global_randomness(tree):
    """Uses of random numbers that do not come from a generator object."""
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
def test_other_frameworks_are_imported_for_comparison_only(file):
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


# File names that several parts use, and the idea that these files share.
SHARED_NAMES = {
    "augment": "random crops and flips: on the CPU, and as a kernel",
    "batch_norm": "batch norm: as a layer, and its kernels: plain, on a CPU, on a GPU",
    "convolution": "the kernels of convolution: plain, on a GPU",
    "convolution_choice": "which way to convolve is the fastest: on a CPU, on a GPU",
    "cross_entropy": "the kernels of cross entropy: plain, on a GPU",
    "degradation": "the degradation experiment, and its figure",
    "elementwise": "operations element by element, and their kernels: plain, on a CPU, on a GPU",
    "epilogue": "the addition and the ReLU that follow: as operations, and in a kernel on a CPU",
    "loss": "the loss: as an operation, and of a network's outputs",
    "matmul": "the kernels of the matrix product: plain, on a GPU",
    "pooling": "pooling: as layers, and its kernels: plain, on a CPU, on a GPU",
    "prediction": "what a network says about images, and its figure",
    "registry": "the table of names: of networks, of recipes",
    "sgd": "the optimizer, and its kernels: plain, on a GPU",
    "shift": "the experiment with shifted digits, and its figure",
    "weights": "files of weights, and the commands for them",
}


def test_two_files_have_the_same_name_only_where_they_share_an_idea():
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


def signs_of_lazy_results(tree):
    """What an operation would need to compute its result later: imports for state that outlives a call, the
    creators of its inputs, or a subclass of Tensor.
    """
    yield from packages_imported(tree) & {"contextvars", "copy", "threading", "weakref"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "creator":
            yield "creator"
        if isinstance(node, ast.ClassDef) and "Tensor" in [dotted(base) for base in node.bases]:
            yield f"class {node.name}(Tensor)"


@pytest.mark.parametrize("file", OPERATIONS, ids=name_of)
def test_operations_compute_their_results_at_once(file):
    signs = set(signs_of_lazy_results(tree_of(file)))
    # A leaf decides what += does with a tensor, and whether it can be copied; indices are copied.
    allowed = {
        "ops/operators.py": {"creator"},
        "ops/conversion.py": {"copy", "creator"},
        "ops/indexing.py": {"copy"},
    }
    assert signs == allowed.get(name_of(file), set())


def test_only_parameters_and_buffers_are_subclasses_of_tensor():
    subclasses = {
        f"{name_of(file)}: {sign}"
        for file in FILES
        for sign in signs_of_lazy_results(tree_of(file))
        if sign.startswith("class ")
    }
    names = ("Parameter", "Buffer")
    assert subclasses == {f"nn/parameter.py: class {name}(Tensor)" for name in names}


@pytest.mark.parametrize("part", ["ops", "optim"])
def test_operations_and_optimizers_do_not_know_of_gpus(part):
    """Maps in bfloat16 and recorded steps belong to the backend and to training on a GPU."""
    for file in FILES:
        if part_of(file) == part:
            assert "bfloat16" not in file.read_text(encoding="utf-8"), name_of(file)
            assert not any("cuda" in name for name in imports(tree_of(file))), name_of(file)


@pytest.mark.parametrize("name", ["cifar_resnet", "imagenet_resnet"])
def test_a_network_of_the_resnet_paper_is_read_in_three_files(name):
    """Its own, the blocks, the shortcuts; nn/ is below them, options.py only checks arguments, and weights.py
    only warns of weights that are meant for another network.
    """
    read, to_read = set(), [f"models/{name}.py"]
    while to_read:
        file = to_read.pop()
        read.add(file)
        modules = [
            module for module in imports(tree_of(PACKAGE / file)) if module.startswith("minires.models.")
        ]
        to_read += {f"models/{module.split('.')[2]}.py" for module in modules} - read - {"models/weights.py"}
    assert read == {f"models/{name}.py", "models/blocks.py", "models/shortcuts.py"}


def test_the_file_that_trains_begins_with_forward_backward_step():
    beginning = (PACKAGE / "train" / "trainer.py").read_text(encoding="utf-8").splitlines()[:40]
    positions = [
        next(i for i, line in enumerate(beginning) if call in line)
        for call in ("model(Tensor(images))", "loss.backward()", "optimizer.step()")
    ]
    assert positions == sorted(positions)


def test_the_trainer_does_not_ask_for_its_device():
    trainer = (PACKAGE / "train" / "trainer.py").read_text(encoding="utf-8")
    assert '"cpu"' not in trainer
    assert '"cuda"' not in trainer


@pytest.mark.parametrize(
    ("code", "lazy"),
    [
        ("from contextvars import ContextVar", True),
        ("from copy import copy", True),
        ("if x.creator is None: pass", True),
        ("class LazyTensor(Tensor): pass", True),
        ("class Relu(Function):\n    def forward(self, x): self.saved = x", False),
    ],
)
def test_the_check_sees_lazy_results(code, lazy):
    assert bool(list(signs_of_lazy_results(ast.parse(code)))) == lazy


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import minires.nn", {"nn"}),
        ("from minires import ops, cli", {"ops", "cli"}),
        ("from minires.engine.tensor import Tensor", {"engine"}),
        ("def f():\n    from minires.data import cifar", {"data"}),
        ("from minires import Tensor", set()),
        ("import numpy", set()),
    ],
)
def test_the_check_sees_imports(code, parts):
    assert parts_imported(ast.parse(code)) == parts


@pytest.mark.parametrize(
    ("code", "is_global"),
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
def test_the_check_sees_global_randomness(code, is_global):
    assert bool(list(global_randomness(ast.parse(code)))) == is_global
