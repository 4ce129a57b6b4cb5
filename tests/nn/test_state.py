"""Loading a state: all of it is checked before any of it is written."""

import numpy as np
import pytest

from minires import Tensor
from minires.errors import CheckpointError, MiniresError, OptionError
from minires.nn import BatchNorm2d, Buffer, Linear, Module, Sequential

UNUSABLE = {
    "complex numbers": np.ones(2, complex),
    "strings": np.array(["1", "2"]),
    "a list of strings": ["a", "b"],
    "objects": np.array([1, None], object),
    "None": None,
    "a list with None": [1.0, None],
    "rows of different lengths": [[1.0], [1.0, 2.0]],
    "dates": np.array(["2024-01-01", "2024-01-02"], "datetime64[D]"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_entry_is_refused_by_name_and_changes_nothing(name, strict):
    layer = Linear(3, 2)
    before = {key: array.copy() for key, array in layer.state_dict().items()}
    state = {"weight": np.zeros((2, 3)), "bias": UNUSABLE[name]}
    with pytest.raises(CheckpointError, match=r"bias \(.+\) cannot be read as an array of real numbers"):
        layer.load_state_dict(state, strict=strict)
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[key])
    assert [len(layer.misfits(state)[kind]) for kind in ("missing", "unexpected", "reshaped")] == [0, 0, 0]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2], np.int8),
        np.array([1, 2], np.float16),
        [1, 2],
        (1.0, 2),
        Tensor([1.0, 2.0]),
        Tensor([1.0, 2.0], requires_grad=True),
        [np.float64(1), Tensor(2.0)],
    ],
    ids=repr,
)
def test_numbers_of_every_kind_are_loaded(values):
    layer = Linear(1, 2)
    layer.load_state_dict({"weight": [[True], [False]], "bias": values})
    assert layer.weight.tolist() == [[1], [0]]
    assert layer.bias.tolist() == [1, 2]
    assert layer.bias.dtype == np.float32


@pytest.mark.parametrize("requires_grad", [True, False])
def test_tensors_of_pytorch_are_loaded(requires_grad):
    torch = pytest.importorskip("torch")
    layer, torch_layer = Linear(3, 2), torch.nn.Linear(3, 2)
    torch_layer.requires_grad_(requires_grad)
    layer.load_state_dict(dict(torch_layer.named_parameters()))
    np.testing.assert_array_equal(layer.weight.numpy(), torch_layer.weight.detach().numpy())
    wrong = {"weight": torch_layer.weight, "bias": torch.zeros(2, dtype=torch.bfloat16)}
    with pytest.raises(CheckpointError, match=r"bias \(torch\.bfloat16\)"):
        layer.load_state_dict(wrong)


@pytest.mark.parametrize("state", [[("weight", 1)], None, "weights.npz", Linear(2, 2)], ids=repr)
def test_what_is_no_dict_is_refused(state):
    with pytest.raises(TypeError, match="a state must be a dict of arrays by name, not") as caught:
        Linear(2, 2).load_state_dict(state)
    assert isinstance(caught.value, MiniresError)


def test_names_that_are_no_strings_are_unexpected():
    layer = Linear(2, 2)
    with pytest.raises(CheckpointError, match="unexpected 3"):
        layer.load_state_dict({**layer.state_dict(), 3: np.ones(2)})


def test_without_strict_what_fits_is_loaded():
    net = Sequential(Linear(1, 2), BatchNorm2d(2))
    keys = net.load_state_dict({"0.bias": [5, 6], "2.weight": np.ones(3)}, strict=False)
    assert net[0].bias.tolist() == [5, 6]
    assert keys.missing_keys == [name for name in net.state_dict() if name != "0.bias"]
    assert keys.unexpected_keys == ["2.weight"]
    with pytest.raises(CheckpointError, match=r"0\.bias has shape \(3,\), not \(2,\)$"):
        net.load_state_dict({"0.bias": np.ones(3), "2.weight": np.ones(3)}, strict=False)
    assert net.load_state_dict(net.state_dict()) == ([], [])


def test_assign_is_refused_by_name():
    layer = Linear(2, 2)
    with pytest.raises(OptionError, match="load_state_dict: assign=True is not built here"):
        layer.load_state_dict(layer.state_dict(), assign=True)


def test_a_buffer_of_the_counters_name_is_loaded():
    class Counting(Module):
        def __init__(self):
            self.num_batches_tracked = Buffer(np.array(0))

    net = Counting()
    net.load_state_dict({"num_batches_tracked": 7, "other.num_batches_tracked": 3})
    assert net.num_batches_tracked.item() == 7
    with pytest.raises(CheckpointError, match="missing num_batches_tracked"):
        net.load_state_dict({})


class Tied(Module):
    """One weight under four names, as in a language model whose embedding is its last layer."""

    def __init__(self):
        self.first, self.second = Linear(2, 2, bias=False), Linear(2, 2)
        self.second.weight = self.first.weight
        self.again, self.layers = self.first, [self.second]


def tied_state(torch):
    class TorchTied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2)
            self.second.weight = self.first.weight
            self.again, self.layers = self.first, torch.nn.ModuleList([self.second])

    return TorchTied().state_dict()


def test_pytorchs_state_of_tied_weights_is_loaded():
    state, net = tied_state(pytest.importorskip("torch")), Tied()
    assert len(state) == 6
    assert list(net.state_dict()) == ["first.weight", "second.bias"]
    assert net.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(net.layers[0].weight.numpy(), state["first.weight"].numpy())
    assert net.second.weight is net.first.weight


def test_nan_is_equal_to_itself_in_tied_weights():
    weight = np.array([[1, np.nan], [np.inf, 0]])
    net = Tied()
    net.load_state_dict({"first.weight": weight, "again.weight": weight.copy(), "second.bias": [0, 0]})
    np.testing.assert_array_equal(net.first.weight.numpy(), weight)


def test_tied_weights_that_differ_are_refused():
    net = Tied()
    state = {**net.state_dict(), "layers.0.weight": net.first.weight.numpy() + 1}
    before = net.first.weight.numpy().copy()
    with pytest.raises(CheckpointError, match=r"first\.weight and layers\.0\.weight are one tensor here"):
        net.load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"again\.weight has shape \(3,\)"):
        net.load_state_dict({**net.state_dict(), "again.weight": np.ones(3)})
    np.testing.assert_array_equal(net.first.weight.numpy(), before)


def test_another_name_of_a_tied_weight_does_not_replace_the_first():
    net = Tied()
    state = {"again.weight": np.full((2, 2), 3.0), "second.bias": [1, 2]}
    with pytest.raises(CheckpointError, match=r"missing first\.weight"):
        net.load_state_dict(state)
    assert net.load_state_dict(state, strict=False) == (["first.weight"], [])
    assert net.first.weight.tolist() == [[3, 3], [3, 3]]


def test_names_beside_the_tied_ones_are_unexpected():
    net = Tied()
    for name in ("third.weight", "first.weight.0", "layers.1.weight", "first", "training", "layers"):
        with pytest.raises(CheckpointError, match=f"unexpected {name}$"):
            net.load_state_dict({**net.state_dict(), name: np.zeros((2, 2))})


def test_a_state_may_have_a_prefix():
    layer = Linear(1, 1)
    assert list(layer.state_dict(prefix="net.")) == ["net.weight", "net.bias"]
    for options in ({"destination": {}}, {"keep_vars": True}):
        with pytest.raises(OptionError, match=f"state_dict: {next(iter(options))}="):
            layer.state_dict(**options)
