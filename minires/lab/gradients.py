"""Gradient checks of every operation, of every block and of whole networks, as one table.

Everything is float64, with a random upstream gradient. A nudge of a millionth across the kink of a ReLU, or
across a tie under a max pool, would look like a wrong gradient. Operations get inputs far from both. In a
block the inputs of a ReLU may lie anywhere, but with the weights and inputs of this SEED none of them is
closer to 0 than 500 nudges, which a test measures.
"""

from dataclasses import dataclass

import numpy as np

from minires import models
from minires.engine import Tensor
from minires.errors import UnknownNameError
from minires.gradcheck import gradcheck
from minires.lab.gradient_blocks import BLOCKS
from minires.lab.gradient_operations import OPERATIONS
from minires.nn import BatchNorm2d, Dropout, Module
from minires.ops import concatenate

TOLERANCE = 1e-6
MODEL_TOLERANCE = 1e-5
SEED = 0  # of the blocks
WHOLE_IMAGES = {"googlenet_2014"}  # its auxiliary heads are for maps of 14 x 14 pixels


@dataclass(frozen=True)
class Result:
    """One row of the table: what was checked, how many numbers and how, and the largest relative error."""

    kind: str  # "operation", "block" or "network"
    name: str
    numbers: int
    nudged: str
    error: float
    tolerance: float

    @property
    def passed(self):
        return self.error <= self.tolerance


def check_operation(name):
    """Check every element of an operation's inputs, in each of its cases."""
    cases = OPERATIONS[name] if isinstance(OPERATIONS[name], list) else [OPERATIONS[name]]
    error = max(gradcheck(f, inputs, tolerance=np.inf) for f, inputs in cases)
    numbers = sum(x.size for _, inputs in cases for x in inputs)
    return Result("operation", name, numbers, "one by one", error, TOLERANCE)


def check_block(name):
    """Check every element of a block's input and parameters, in each of its cases."""
    cases = BLOCKS[name]
    checked = [check_case(case) for case in cases]
    numbers, errors = zip(*checked, strict=True)
    nudged = "together" if cases[0].all_at_once else "one by one"
    return Result("block", name, sum(numbers), nudged, max(errors), TOLERANCE)


def check_case(case):
    """(how many numbers, error) of one case of a block."""
    block, x = block_and_input(case)
    inputs = [x, *(p for name, p in block.named_parameters() if name not in case.zero_gradients)]
    f = repeatable_function(block, case.run)
    error = gradcheck(lambda x, *_: f(x), inputs, direction=case.all_at_once, tolerance=np.inf)
    return sum(tensor.numel() for tensor in inputs), error


def block_and_input(case):
    """(block, input) in float64, all numbers random."""
    generator = np.random.default_rng(SEED)
    block = randomize(case.make(), generator).to("float64")
    return block, Tensor(generator.standard_normal(case.shape), requires_grad=True)


def check_model(name):
    """Check a whole network's parameters along one random direction.

    The network is in training mode. Its input is two random images of half the size that it is for, or of the
    whole size for those in WHOLE_IMAGES. Batch norm's shifts are 2, so that most ReLUs are on. With shifts of
    0 a nudge grows from layer to layer: in the last of 56 plain layers even a nudge of 1e-10 carries ReLUs
    across their kinks. This still happens sometimes in a large net. So where the gradient disagrees with one
    nudge, smaller nudges are tried: a wrong gradient disagrees with all of them.
    """
    generator = np.random.default_rng(0)
    model = models.create(name, generator=generator).to("float64")
    for layer in model.modules():
        if isinstance(layer, BatchNorm2d):
            layer.bias.overwrite(2)
    side = model.input_size if name in WHOLE_IMAGES else model.input_size // 2
    x = Tensor(generator.standard_normal((2, 3, side, side)))
    parameters = list(model.parameters())
    f = repeatable_function(model)
    for eps in (1e-8, 1e-9, 1e-10):
        options = {"direction": True, "eps": eps, "tolerance": np.inf, "generator": generator}
        error = gradcheck(lambda *_: f(x), parameters, **options)
        if error <= MODEL_TOLERANCE:
            break
    numbers = sum(p.numel() for p in parameters)
    return Result("network", name, numbers, "together", error, MODEL_TOLERANCE)


def randomize(module, generator):
    """Draw all weights and statistics anew; a 0 or 1, as batch norm starts with, may hide a wrong gradient.

    Biases are small next to batch norm's factors, so that a ReLU behind a batch norm is on for some numbers
    and off for others: if it were on for all, the next batch norm would remove the bias. With the small bias
    of a gate, the gate is about half open. Returns the module.
    """
    for name, array in module.state_dict().items():
        factor = name.endswith("var") or (array.ndim == 1 and name.endswith("weight"))
        low, high = (0.5, 1.5) if factor else (-0.5, 0.5)
        array[...] = generator.uniform(low, high, array.shape)
    return module


def repeatable_function(model, run=Module.__call__):
    """x -> run(model, x), but dropout drops the same numbers at every call and several outputs become one."""
    dropouts = [layer for layer in model.modules() if isinstance(layer, Dropout)]

    def f(x):
        for seed, layer in enumerate(dropouts):
            layer.generator = np.random.default_rng(seed)
        y = run(model, x)
        return concatenate(y, 1) if isinstance(y, tuple) else y

    return f


def check(name):
    """Check the operation, the block or the network of this name; UnknownNameError if it is none of them."""
    if name in OPERATIONS:
        return check_operation(name)
    if name in BLOCKS:
        return check_block(name)
    try:
        return check_model(name)
    except UnknownNameError as error:
        known = [*OPERATIONS, *BLOCKS, *models.names()]
        raise UnknownNameError("operation, block or network", name, known) from error
