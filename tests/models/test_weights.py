"""Weights from files: read, renamed, compared with a network, written."""

import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minires import Tensor, no_grad
from minires.errors import CheckpointError, OptionError
from minires.models import (
    CifarResNet,
    GoogLeNet,
    ResNet,
    WeightsWarning,
    WideResNet,
    create,
    read_weights,
    rename,
    write_weights,
)
from minires.nn.init import skip_init

SMALL = {"widths": (4, 6, 8)}


@pytest.fixture
def net(rng):
    return CifarResNet(8, generator=rng, **SMALL)


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_weights_come_back_from_a_file(tmp_path, net, ending):
    path = tmp_path / f"weights.{ending}"
    if ending == "npz":
        np.savez(path, **net.state_dict())
    else:
        write_weights(net.state_dict(), path)
    state = read_weights(path)
    assert state.keys() == net.state_dict().keys()
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(state[name], array)


def test_a_file_of_pytorch_weights_loads_unchanged(tmp_path, net, rng):
    """PyTorch's counters of batches are ignored; half precision becomes single."""
    state = {name: array.astype(np.float16) for name, array in net.state_dict().items()}
    state["bn1.num_batches_tracked"] = np.array(7)
    save_file(state, tmp_path / "weights.safetensors")
    with skip_init():
        loaded = CifarResNet(8, **SMALL)
    loaded.load_state_dict(read_weights(tmp_path / "weights.safetensors"))
    x = Tensor(rng.standard_normal((2, 3, 16, 16)), dtype="float32")
    with no_grad():
        np.testing.assert_allclose(loaded(x).numpy(), net(x).numpy(), rtol=0, atol=0.02)
    assert loaded.fc.weight.dtype == np.float32


NARROW = {"widths": (4, 4, 4, 4), "classes": 2}


def saved_by_pytorch(network):
    """The network's state as PyTorch would save it, with a counter for each batch norm."""
    state = network.state_dict()
    counters = [name.replace("running_var", "num_batches_tracked") for name in state if "running_var" in name]
    assert counters
    return state | dict.fromkeys(counters, np.array(7))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *((lambda depth=depth: ResNet(depth, **NARROW), f"resnet{depth}_v1_5") for depth in (50, 101, 152)),
        (lambda: create("resnet50", **NARROW), "this ResNet-50 has its strides where the paper has them"),
        (lambda: ResNet(50, width_per_group=128, **NARROW), r"stride_in_1x1=False.*stride_in_1x1=True\."),
        (lambda: GoogLeNet(classes=2, heads=False), "transform_input=true"),
    ],
)
def test_weights_of_pytorch_that_are_meant_for_another_network_bring_a_warning(make, message):
    with skip_init():
        network = make()
    with pytest.warns(WeightsWarning, match=message) as caught:
        network.load_state_dict(saved_by_pytorch(network))
    assert [warning.filename for warning in caught] == [__file__]
    assert issubclass(WeightsWarning, UserWarning)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResNet(18, **NARROW),
        lambda: ResNet(50, stride_in_1x1=True, **NARROW),
        lambda: ResNet(50, stride_in_1x1=False, **NARROW),
        lambda: ResNet(50, "C", **NARROW),  # not a network of torchvision or timm
        lambda: create("resnet50_v1_5", **NARROW),
        lambda: create("resnext50_32x4d", widths=(16, 16, 16, 16)),
        lambda: create("wide_resnet101_2", **NARROW),
        lambda: CifarResNet(20, "B", bottleneck=True),
        lambda: GoogLeNet(classes=2, heads=False, transform_input=False),
        lambda: GoogLeNet(classes=2, heads=False, transform_input=True),
    ],
)
def test_weights_of_pytorch_load_silently_where_the_network_is_the_same_or_the_user_has_said_so(make):
    with skip_init():
        network = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.load_state_dict(saved_by_pytorch(network))


def test_weights_of_minires_load_silently():
    with skip_init():
        network = ResNet(50, **NARROW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network.load_state_dict(network.state_dict())


def test_no_warning_where_the_weights_do_not_fit():
    with skip_init():
        network = ResNet(50, **NARROW)
    state = saved_by_pytorch(network)
    del state["fc.weight"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match=r"missing fc\.weight"):
            network.load_state_dict(state)


def test_renaming_by_regular_expressions():
    state = {"module.linear.weight": 1, "module.block1.conv.weight": 2}
    assert rename(state, ["^module.=", "linear=fc", r"block(\d)=layer\1.0"]) == {
        "fc.weight": 1,
        "layer1.0.conv.weight": 2,
    }
    assert rename(state, []) == state


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        ("linear", OptionError, "a rename must be OLD=NEW, not 'linear'"),
        ("(=x", OptionError, "rename '\\(=x' is not a regular expression"),
        (r"a=\2", OptionError, "is not a regular expression"),
        ("zzz=x", OptionError, "rename 'zzz=x' changes no name; one of them is 'a.weight'"),
        ("^[ab]=c", CheckpointError, "two tensors would be called 'c.weight', one of them is 'b.weight'"),
    ],
)
def test_bad_renames_are_refused(rule, error, message):
    with pytest.raises(error, match=message):
        rename({"a.weight": 1, "b.weight": 2}, [rule])


@pytest.mark.parametrize("name", ["weights.pth", "model.pt", "pytorch_model.bin", "old.pth.tar"])
def test_pickles_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'echo run'\ntR.")
    with pytest.raises(
        CheckpointError, match=r"a pickle, which can run any code.*safetensors.torch.save_file"
    ):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.safetensors", "missing.npz"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"cannot read weights from .*{name}: No such file"):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.npz"])
@pytest.mark.parametrize("content", [b"", b"no weights at all, but long enough to look like some"])
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"cannot read weights from .*{name}"):
        read_weights(tmp_path / name)


def test_a_truncated_file_is_named(tmp_path, net):
    path = tmp_path / "weights.safetensors"
    write_weights(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"cannot read weights from .*weights\.safetensors"):
        read_weights(path)


def test_number_formats_that_numpy_does_not_have_are_named(tmp_path):
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(CheckpointError, match="a is BF16, which NumPy does not have; save it as float32"):
        read_weights(tmp_path / "w.safetensors")


def test_a_file_that_cannot_be_written_is_named(tmp_path, net):
    with pytest.raises(CheckpointError, match=r"cannot write weights to .*nowhere"):
        write_weights(net.state_dict(), tmp_path / "nowhere" / "w.safetensors")


def test_misfits_are_listed_by_their_cause(net):
    state = net.state_dict()
    state["linear.weight"] = state.pop("fc.weight")
    state["conv1.weight"] = state["conv1.weight"][:2]
    assert net.misfits(state) == {
        "missing": ["missing fc.weight"],
        "unexpected": ["unexpected linear.weight"],
        "reshaped": ["conv1.weight has shape (2, 3, 3, 3), not (4, 3, 3, 3)"],
        "unusable": [],
    }


def test_skipped_initialization_leaves_zeros_and_draws_nothing(rng):
    state = rng.bit_generator.state
    with skip_init():
        net = CifarResNet(8, generator=rng)
    assert rng.bit_generator.state == state
    assert not net.conv1.weight.numpy().any()
    assert CifarResNet(8, generator=rng).conv1.weight.numpy().all()


def test_safetensors_reads_written_weights(tmp_path, net):
    write_weights(net.state_dict(), tmp_path / "w.safetensors")
    assert load_file(tmp_path / "w.safetensors")["fc.weight"].shape == (10, 8)


def test_one_seed_decides_dropout_too():
    """Two nets with one seed drop the same values; two layers of a net drop different ones."""
    nets = [WideResNet(10, 1, dropout=0.5, generator=3) for _ in range(2)]
    masks = [
        [layer(Tensor(np.ones(100, np.float32))).numpy() for layer in net.modules() if hasattr(layer, "p")]
        for net in nets
    ]
    assert len(masks[0]) == 3
    np.testing.assert_array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0][0], masks[0][1])
