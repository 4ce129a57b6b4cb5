"""The benchmark measures the same net in both libraries, in turn, and counts every operation once."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from minires import Function, Tensor, models, no_grad
from minires.bench import benchmark, describe
from minires.bench.operations import operation_times, timed_operations
from minires.bench.peak_memory import peak_bytes
from minires.bench.step import MiniresStep
from minires.bench.timing import interleaved
from minires.errors import ShapeError, UnknownNameError


def test_functions_are_called_in_turn_and_the_first_rounds_do_not_count(monkeypatch):
    calls, clock = [], iter(range(1000))
    monkeypatch.setattr("minires.bench.timing.time.perf_counter", lambda: next(clock))
    steps = {name: lambda name=name: calls.append(name) for name in "ab"}
    rounds = []
    medians = interleaved(steps, repeats=3, warmup=2, follow=lambda: rounds.append(len(calls)))
    assert calls == list("ab" * 5)
    assert rounds == [2, 4, 6, 8, 10]
    assert medians == {"a": 1, "b": 1}


def test_every_operation_is_counted_once():
    step = MiniresStep("resnet8", 4)
    rows = {row["operation"]: row for row in operation_times(step, repeats=2)}
    assert rows["conv2d"]["calls"] == 1 + 6
    assert rows["linear"]["calls"] == rows["cross_entropy"]["calls"] == 1
    assert all(row["forward_ms"] > 0 for row in rows.values())
    assert rows["conv2d"]["backward_ms"] > 0
    assert list(rows)[-1] == "everything else"


def test_timing_leaves_the_operations_as_they_were():
    before = Function.__call__, Function.input_gradients
    with pytest.raises(ShapeError), timed_operations() as times:
        _ = Tensor([1.0]) + Tensor([2.0]) + Tensor([1.0, 2.0, 3.0]) @ Tensor([1.0])
    assert (Function.__call__, Function.input_gradients) == before
    assert times["add"][2] == 1


@pytest.mark.slow
def test_a_larger_batch_needs_more_memory():
    small, large = (peak_bytes("minires", "resnet8", size, 1) for size in (8, 64))
    maps = (
        64 * 7 * 16 * 32 * 32 * 4 / 4
    )  # bytes: a quarter of the memory of seven maps of the largest size, for 64 images
    assert large > small + maps / 2


def test_an_unknown_net_is_refused_at_once():
    with pytest.raises(UnknownNameError, match=r"did you mean .*resnet20"):
        benchmark("resnet2o")


def test_report_without_pytorch(monkeypatch):
    monkeypatch.setattr("minires.bench.compare.find_spec", lambda name: None)
    report = benchmark("resnet8", batch_size=4, repeats=1)
    assert "pytorch" not in report
    assert "ratio" not in report
    assert set(report["minires"]) == {"train_images_per_s", "infer_images_per_s", "peak_bytes"}
    assert all(figure > 0 for figure in report["minires"].values())
    assert json.loads(json.dumps(report)) == report
    headline, speed, _ = describe(report, 1)
    assert headline.startswith("resnet8, 4 images of 32 x 32")
    assert [column.header for column in speed.columns] == ["", "minires"]


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("torch"), reason="needs PyTorch")
def test_report_beside_pytorch():
    announced = []
    report = benchmark("resnet8", batch_size=4, repeats=1, follow=announced.append)
    assert announced == ["training", "inference", "operations", "memory"]
    own, other, ratio = report["minires"], report["pytorch"], report["ratio"]
    assert ratio["train"] == own["train_images_per_s"] / other["train_images_per_s"]
    assert ratio["infer"] == own["infer_images_per_s"] / other["infer_images_per_s"]
    assert ratio["memory"] == own["peak_bytes"] / other["peak_bytes"]
    _, speed, _ = describe(report, 1)
    assert [column.header for column in speed.columns] == ["", "minires", "pytorch", "ratio"]


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
def test_the_twin_in_pytorch_is_the_same_net(shortcut, rng):
    torch = pytest.importorskip("torch")
    from minires.bench.pytorch import twin

    model = models.CifarResNet(14, shortcut, generator=0)
    torch_model = twin(model).eval()
    pairs = list(zip(model.parameters(), torch_model.parameters(), strict=True))
    for p, q in pairs:
        assert p.shape == tuple(q.shape)
        with torch.no_grad():
            q.copy_(torch.from_numpy(p.numpy()))
    x = rng.standard_normal((3, 3, 32, 32)).astype(np.float32)
    with no_grad(), model.evaluating(), torch.no_grad():
        expected = torch_model(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(model(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-4)
