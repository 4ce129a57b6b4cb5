"""Batch norm without gamma and beta, without running statistics, and with a cumulative average."""

import numpy as np
import pytest

from minires import Tensor, nn
from minires.backend import kernels
from minires.errors import ShapeError
from minires.nn.utils import fuse_conv_bn_eval
from minires.train.hardware import why_not_recorded

OPTIONS = {
    "no gamma and beta": {"affine": False},
    "no beta": {"bias": False},
    "no statistics": {"track_running_stats": False},
    "cumulative average": {"momentum": None},
    "neither": {"affine": False, "track_running_stats": False},
    "no statistics, no momentum": {"track_running_stats": False, "momentum": None},
    "no gamma and beta, cumulative": {"affine": False, "momentum": None},
    "all at their defaults": {},
}


@pytest.fixture(params=OPTIONS)
def options(request):
    return OPTIONS[request.param]


def randomized(bn, rng):
    for tensor in bn.parameters():
        tensor.data[...] = rng.uniform(0.5, 2, tensor.shape)
    return bn


def names_without_counter(state, options):
    """PyTorch counts batches in any case, minires for a cumulative average alone."""
    counted = options.get("momentum", 0.1) is None
    return [name for name in state if counted or not name.endswith("num_batches_tracked")]


def assert_same_state(ours, theirs, options):
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == names_without_counter(expected, options)
    for name, array in state.items():
        np.testing.assert_allclose(array, expected[name].numpy(), rtol=1e-10, err_msg=name)
        assert array.dtype == expected[name].numpy().dtype


@pytest.mark.parametrize("layer", ["BatchNorm1d", "BatchNorm2d"])
def test_options_as_in_pytorch(layer, options, same_as_torch, rng):
    """Four batches in training and two in evaluation: results, gradients and statistics."""
    torch = pytest.importorskip("torch")
    ours = getattr(nn, layer)(3, **options).to("float64")
    theirs = getattr(torch.nn, layer)(3, **options).double()
    theirs.load_state_dict({k: torch.tensor(v) for k, v in randomized(ours, rng).state_dict().items()}, False)
    shape = (5, 3) if layer == "BatchNorm1d" else (4, 3, 2, 2)
    for training in (True, True, False, True, True, False):
        ours.train(training)
        theirs.train(training)
        same_as_torch(ours, theirs, [rng.standard_normal(shape) * 3 + 1])
        assert_same_state(ours, theirs, options)
    other = getattr(nn, layer)(3, **options).to("float64")
    other.load_state_dict(theirs.state_dict())
    assert_same_state(other, theirs, options)


@pytest.mark.parametrize("change", ["momentum", "track_running_stats"])
def test_options_that_change_after_the_layer_is_made(change, same_as_torch, rng):
    """A cumulative average from then on, as statistics are estimated anew; or statistics that stand still."""
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm2d(3).to("float64"), torch.nn.BatchNorm2d(3).double()
    ours.momentum = theirs.momentum = 0.4
    for step in range(4):
        if step == 2:
            for layer in (ours, theirs):
                layer.reset_running_stats()
                setattr(layer, change, None if change == "momentum" else False)
        same_as_torch(ours, theirs, [rng.standard_normal((4, 3, 2, 2))])
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(getattr(ours, name).numpy(), getattr(theirs, name).numpy(), rtol=1e-10)
    same_as_torch(ours.eval(), theirs.eval(), [rng.standard_normal((4, 3, 2, 2))])


def test_the_cumulative_average_is_the_mean_over_the_batches(rng):
    bn, means = nn.BatchNorm1d(2, momentum=None).to("float64"), []
    assert bn.num_batches_tracked.dtype == np.int64
    for _ in range(5):
        x = rng.standard_normal((6, 2))
        means.append(x.mean(axis=0))
        bn(Tensor(x))
    np.testing.assert_allclose(bn.running_mean.numpy(), np.mean(means, axis=0), rtol=1e-12)
    bn.eval()(Tensor(x))
    assert bn.num_batches_tracked.tolist() == 5
    assert bn.state_dict()["num_batches_tracked"] == 5
    bn.reset_parameters()
    assert bn.num_batches_tracked.tolist() == 0


def test_a_counter_is_part_of_the_state_of_a_cumulative_average_alone():
    for layer in (nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False, momentum=None)):
        assert layer.num_batches_tracked is None
        assert "num_batches_tracked" not in layer.state_dict()


def test_initializing_resets_what_there_is(options):
    bn = nn.BatchNorm2d(3, **options)
    start = {name: array.copy() for name, array in bn.state_dict().items()}
    for _, tensor in bn.named_tensors():
        tensor.data[...] = 5
    nn.init.initialize(bn, 0)
    for name, array in bn.state_dict().items():
        np.testing.assert_array_equal(array, start[name])


def test_the_printed_form_shows_what_is_missing():
    assert repr(nn.BatchNorm2d(3)) == "BatchNorm2d(3)"
    assert repr(nn.BatchNorm2d(3, affine=False)) == "BatchNorm2d(3, affine=False)"
    assert repr(nn.BatchNorm2d(3, track_running_stats=False)) == "BatchNorm2d(3, track_running_stats=False)"


def layers(options, rng):
    """conv, bn, relu, conv, bn: what chains fuse, and what is folded."""
    convs = [nn.Conv2d(3, 3, 3, padding=1, bias=False, generator=i) for i in range(2)]
    bns = [randomized(nn.BatchNorm2d(3, **options), rng) for _ in range(2)]
    return [convs[0], bns[0], nn.ReLU(), convs[1], bns[1], nn.ReLU()]


@pytest.mark.parametrize("fused", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_a_chain_computes_what_its_layers_compute(options, fused, monkeypatch):
    monkeypatch.setattr(kernels, "reads_through_batch_norm", lambda array: fused)
    results = []
    for run in (nn.chain, lambda x, *steps: [x := step(x) for step in steps][-1]):
        net, rng = (
            nn.Sequential(*layers(options, np.random.default_rng(0))).to("float64"),
            np.random.default_rng(1),
        )
        arrays = []
        for training in (True, True, False):
            x = Tensor(rng.standard_normal((4, 3, 5, 5)), requires_grad=True)
            y = run(x, *net.train(training))
            y.backward(rng.standard_normal(y.shape))
            arrays += [y.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in net.parameters())]
        results.append(arrays + [array.copy() for array in net.state_dict().values()])
    for array, expected in zip(*results, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-11)


def test_folding_leaves_a_batch_norm_that_cannot_be_folded(options, rng):
    net, x = nn.Sequential(*layers(options, rng)).to("float64"), Tensor(rng.standard_normal((4, 3, 5, 5)))
    net(x)
    net.eval()
    folded = fuse_conv_bn_eval(net)
    np.testing.assert_allclose(folded(x).numpy(), net(x).numpy(), rtol=1e-9, atol=1e-11)
    kept = sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    foldable = options in ({}, {"momentum": None})
    assert kept == (0 if foldable else 2)


def test_a_cumulative_average_keeps_a_step_from_being_recorded():
    net = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, momentum=None))
    assert why_not_recorded(net[:1], "fused") is None
    assert why_not_recorded(net, "fused").startswith("1 (batch norm without a momentum)")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm2d, (3, 3, 5)), (nn.BatchNorm2d, (2, 3)), (nn.BatchNorm2d, (2, 3, 4, 4, 4)),
        (nn.BatchNorm1d, (2, 3, 4, 4)), (nn.BatchNorm1d, (3,)),
    ],
)  # fmt: skip
def test_maps_of_other_dimensions_are_refused(layer, shape):
    with pytest.raises(ShapeError, match=f"{layer.__name__}: the input must be"):
        layer(3)(Tensor(np.ones(shape, np.float32)))
    layer(3)(Tensor(np.ones((2, 3, 4, 4) if layer is nn.BatchNorm2d else (2, 3, 4), np.float32)))
