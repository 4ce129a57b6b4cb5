"""What the fake CuPy records while a stream is captured, and what it refuses meanwhile."""

import numpy as np
import pytest
from capturing import Capturing


@pytest.fixture
def x(cp, rng):
    return cp.asarray(rng.standard_normal((2, 3, 4)).astype(np.float32))


def test_a_graph_does_what_was_captured_and_not_before(cp):
    x, total = cp.zeros(4, np.float32), cp.zeros((), np.float32)
    index = cp.array([3, 0])
    with Capturing(cp) as captured:
        x += 1
        picked = x[index] * 2
        total += picked.sum()
    assert float(x.sum()) == 0
    for step in range(1, 4):
        captured.graph.launch()
        assert x.get().tolist() == [step] * 4
        assert picked.get().tolist() == [2 * step] * 2
    assert float(total) == 4 + 8 + 12


@pytest.mark.parametrize("copies", [False, True])
def test_a_graph_reads_again_what_may_be_a_view_or_a_copy(cp, copies):
    x = cp.zeros((2, 3), np.float32)
    with Capturing(cp) as captured:
        rows = cp.ascontiguousarray(x.T if copies else x)
        total = rows.reshape(6).sum()
    x += 1
    captured.graph.launch()
    assert float(total) == 6


def test_a_graph_launched_in_a_capture_becomes_part_of_it(cp):
    x = cp.zeros(4, np.float32)
    with Capturing(cp) as inner:
        x += 1
    with Capturing(cp) as outer:
        inner.graph.launch()
        x *= 2
        inner.graph.launch()
    assert x.get().tolist() == [0] * 4
    outer.graph.launch()
    assert x.get().tolist() == [3] * 4


@pytest.mark.parametrize(
    "function",
    [
        lambda x, cp: x.get(),
        lambda x, cp: x.set(x_on_host(x)),
        lambda x, cp: float(x.sum()),
        lambda x, cp: bool((x > 0).all()),
        lambda x, cp: x.sum().item(),
        lambda x, cp: f"{x.sum():.3f}",
        lambda x, cp: x[x > 0],
        lambda x, cp: x.__setitem__(x > 0, x[x > 0]),
        lambda x, cp: x[:, [0, 1]],
        lambda x, cp: x.__setitem__([0, 1], 0),
        lambda x, cp: cp.nonzero(x),
        lambda x, cp: cp.where(x > 0),
        lambda x, cp: cp.unique(x),
        lambda x, cp: cp.asarray(np.ones(3)),
        lambda x, cp: cp.array([1.0]),
        lambda x, cp: x.reshape(6, 4) @ x[0].T,
        lambda x, cp: cp.einsum("ijk->i", x),
        lambda x, cp: cp.concatenate([x] * 9),
    ],
)
def test_cupy_refuses(cp, x, function):
    """CuPy refuses it before it calls CUDA, so that the capture goes on."""
    function(x, cp)
    with Capturing(cp) as captured:
        with pytest.raises(RuntimeError):
            function(x, cp)
        cp.concatenate([x] * 8)
    captured.graph.launch()


def x_on_host(x):
    return np.zeros(x.shape, x.dtype)


@pytest.mark.parametrize(
    "function",
    [
        lambda cuda: cuda.get_current_stream().synchronize(),
        lambda cuda: cuda.get_current_stream().done,
        lambda cuda: cuda.get_current_stream().record().synchronize(),
        lambda cuda: cuda.get_current_stream().record().done,
        lambda cuda: cuda.get_elapsed_time(*(cuda.get_current_stream().record() for _ in range(2))),
        lambda cuda: cuda.Device().synchronize(),
        lambda cuda: cuda.runtime.deviceSynchronize(),
    ],
)
def test_cuda_refuses(cp, x, function):
    """Then the capture is useless, but the stream can still be used."""
    error = cp.cuda.runtime.CUDARuntimeError
    function(cp.cuda)
    with Capturing(cp) as captured:
        with pytest.raises(error):
            function(cp.cuda)
        with pytest.raises(error, match="broken off"):
            x + 1
    with pytest.raises(error, match="broken off"):
        captured.graph.launch()
    captured.stream.synchronize()


def test_the_null_stream_cannot_be_captured(cp):
    with pytest.raises(RuntimeError, match="default"):
        cp.cuda.Stream.null.begin_capture()


def test_work_on_the_null_stream_beside_a_capture(cp, x):
    with Capturing(cp), cp.cuda.Stream.null:
        cp.add(x, x, out=x)
    with (
        Capturing(cp, non_blocking=False) as captured,
        cp.cuda.Stream.null,
        pytest.raises(RuntimeError, match="null stream"),
    ):
        cp.add(x, x, out=x)
    with pytest.raises(RuntimeError, match="broken off"):
        captured.graph.launch()


def test_two_captures_at_once(cp):
    x, y = cp.zeros(2, np.float32), cp.zeros(2, np.float32)
    with Capturing(cp) as outer:
        x += 1
        with Capturing(cp) as inner:
            y += 1
        x += 1
    outer.graph.launch()
    assert (x.get().tolist(), y.get().tolist()) == ([2, 2], [0, 0])
    inner.graph.launch()
    assert y.get().tolist() == [1, 1]


def test_captures_begin_and_end_once(cp):
    stream = cp.cuda.Stream()
    with pytest.raises(RuntimeError, match="no capture"):
        stream.end_capture()
    stream.begin_capture()
    with pytest.raises(RuntimeError, match="already"):
        stream.begin_capture()
    stream.end_capture().launch()


def fork(cp, stream):
    """A stream that has joined the capture of another."""
    other = cp.cuda.Stream(non_blocking=True)
    other.wait_event(stream.record())
    return other


def test_a_stream_joins_a_capture_by_an_event_and_is_waited_for(cp):
    x = cp.zeros(4, np.float32)
    with Capturing(cp) as captured:
        x += 1
        other = fork(cp, captured.stream)
        with other:
            x *= 3
        captured.stream.wait_event(other.record())
        x += 1
    assert not other.is_capturing()
    captured.graph.launch()
    assert x.get().tolist() == [4] * 4


def test_a_stream_may_be_waited_for_by_way_of_another(cp):
    x = cp.zeros(4, np.float32)
    with Capturing(cp) as captured:
        second = fork(cp, captured.stream)
        third = fork(cp, second)
        with third:
            x += 1
        second.wait_event(third.record())
        captured.stream.wait_event(second.record())
    captured.graph.launch()
    assert x.get().tolist() == [1] * 4


@pytest.mark.parametrize("waited", [False, True])
def test_work_that_no_stream_waits_for(cp, waited):
    x = cp.zeros(4, np.float32)
    with Capturing(cp) as captured:
        other = fork(cp, captured.stream)
        if waited:  # before the work, so that it does not count
            captured.stream.wait_event(other.record())
        with other:
            x += 1
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="no stream waits"):
        captured.graph.launch()
    assert not other.is_capturing()


def test_events_of_another_capture_or_of_none(cp):
    before = cp.cuda.Stream(non_blocking=True).record()
    with Capturing(cp) as captured:
        captured.stream.wait_event(cp.cuda.Event())  # never recorded: nothing to wait for
        with pytest.raises(RuntimeError, match="not captured"):
            captured.stream.wait_event(before)
    with pytest.raises(RuntimeError, match="broken off"):
        captured.graph.launch()
    before.synchronize()
    other = cp.cuda.Stream()
    other.wait_event(captured.stream.record())
    assert not other.is_capturing()


def test_time_between_events(cp):
    first, second = cp.cuda.Event(), cp.cuda.Event()
    first.record()
    second.record()
    second.synchronize()
    assert 0 <= cp.cuda.get_elapsed_time(first, second) < 1000
