"""Every layer and loss against PyTorch on the samples with which PyTorch tests its modules (module_db).

Both get the same arguments and weights. The result, the gradients of the input and of each parameter, and the
buffers afterwards must be PyTorch's, in training and in evaluation.
"""

from functools import partial

import pytest
from outcomes import Outcomes, assert_no_failures, assert_refused_as_listed
from torch_samples import assert_same, call_text, compare, for_minires, modules

from minires import nn
from minires.errors import CheckpointError

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")

# The classes of minires.nn that PyTorch has samples of.
MODULES = [
    *("Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "LocalResponseNorm", "ReLU", "Sigmoid", "Tanh"),
    *("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "CrossEntropyLoss", "MSELoss"),
]

# All other classes of minires.nn: PyTorch has no samples of these, or they exist only here.
NOT_AMONG_THE_SAMPLES = {
    *("Dropout", "Flatten", "Identity", "Module", "Parameter", "Buffer", "Sequential"),
    *("GlobalAvgPool2d", "Plus"),
}

# {class: phrases in the messages of minires}: why samples are refused.
IMAGES_ONLY = "the input must be (N, C, H, W)"
REFUSED = {
    "Conv2d": [IMAGES_ONLY, "not 'same'"],
    "MaxPool2d": [IMAGES_ONLY, "return_indices="],
    "AvgPool2d": [IMAGES_ONLY, "divisor_override="],
    "AdaptiveAvgPool2d": [IMAGES_ONLY, "must be a whole number or a pair"],
    "CrossEntropyLoss": ["need (N, K), (N,)", "weight=", "ignore_index=", "label_smoothing="],
}


def samples(name, dtype, training):
    """PyTorch's samples: a constructor's arguments and a call's arguments, each (args, kwargs)."""
    info = modules()[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=True, training=training
        )
    for sample in given:
        made, called = sample.constructor_input, sample.forward_input
        yield (made.args, made.kwargs), (called.args, called.kwargs)


def compare_modules(name, dtype, training, made, called):
    """AssertionError unless both modules compute the same, with the same gradients and buffers."""
    args, kwargs = made
    torch_module = getattr(torch.nn, name)(*args, **kwargs).to(dtype).train(training)
    for x in torch_module.state_dict().values():
        if x.is_floating_point():  # a variance is positive, and a batch norm's weights are not all 1
            x.uniform_(0.5, 1.5)
    args, kwargs = for_minires(made)
    module = getattr(nn, name)(*args, **kwargs).to(for_minires(dtype)).train(training)
    try:
        module.load_state_dict({key: x.numpy() for key, x in torch_module.state_dict().items()})
    except CheckpointError as error:  # a refusal of PyTorch's weights excuses nothing
        raise AssertionError(str(error)) from error

    compare(module, torch_module, *called, sums=True)
    gradients = dict(torch_module.named_parameters())
    for key, parameter in module.named_parameters():
        assert_same(parameter.grad, gradients.pop(key).grad, f"the gradient of {key}", sums=True)
    assert not gradients, f"minires has no parameter {', '.join(gradients)}"
    expected = torch_module.state_dict()
    for key, buffer in module.named_buffers():
        assert_same(buffer.detach(), expected[key], f"{key} after the call", sums=True)


def run(name, dtype, training):
    """The Outcomes of all samples of a class."""
    outcomes = Outcomes()
    for made, called in samples(name, dtype, training):
        text = partial(module_text, name, made, called, training)
        outcomes.run(text, partial(compare_modules, name, dtype, training, made, called))
    return outcomes


def module_text(name, made, called, training):
    mode = "train" if training else "eval"
    return f"{call_text(f'nn.{name}', *made)}.{mode}(){call_text('', *called)}"


@pytest.mark.parametrize("name", MODULES)
def test_samples_in_training(name):
    outcomes = run(name, torch.float32, training=True)
    assert_no_failures([outcomes])
    assert outcomes.agreed
    assert_refused_as_listed([outcomes], REFUSED.get(name, []), complete=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_all_samples(name):
    all_outcomes = [
        run(name, dtype, training) for dtype in (torch.float32, torch.float64) for training in (True, False)
    ]
    assert_no_failures(all_outcomes)
    assert all(outcomes.agreed for outcomes in all_outcomes)
    assert_refused_as_listed(all_outcomes, REFUSED.get(name, []))


def test_every_module_is_compared():
    classes = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    assert classes - set(MODULES) == NOT_AMONG_THE_SAMPLES
