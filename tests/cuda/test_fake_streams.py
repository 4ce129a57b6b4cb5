"""Streams of the fake CuPy: two streams may not use the same memory unless one waits for the other."""

import numpy as np
import pytest


@pytest.fixture
def streams(cp):
    return [cp.cuda.Stream(non_blocking=True) for _ in range(3)]


@pytest.fixture
def x(cp, streams):
    """An array that the first stream has worked on."""
    with streams[0]:
        return cp.zeros(4, np.float32)


def use_on(stream, x):
    with stream:
        x += 1


def test_one_stream_works_in_order(streams, x):
    use_on(streams[0], x)
    use_on(streams[0], x)


def test_two_streams_may_not_use_the_same_memory(cp, streams, x):
    for other in (streams[1], cp.cuda.Stream.null):
        with pytest.raises(AssertionError, match="16 bytes are used on one stream while work on another"):
            use_on(other, x)


@pytest.mark.parametrize(
    "wait",
    [
        lambda cp, streams, x: streams[0].synchronize(),
        lambda cp, streams, x: streams[0].record().synchronize(),
        lambda cp, streams, x: streams[1].wait_event(streams[0].record()),
        lambda cp, streams, x: cp.cuda.Device().synchronize(),
        lambda cp, streams, x: x.get(stream=streams[0]),
    ],
)
def test_unless_the_second_stream_waits(cp, streams, x, wait):
    wait(cp, streams, x)
    use_on(streams[1], x)


@pytest.mark.parametrize(
    "wait",
    [
        lambda cp, streams, x: streams[1].synchronize(),
        lambda cp, streams, x: streams[1].wait_event(cp.cuda.Event()),
        lambda cp, streams, x: streams[2].wait_event(streams[0].record()),
        lambda cp, streams, x: x.get(stream=streams[0], blocking=False),
    ],
)
def test_waiting_for_something_else_is_not_enough(cp, streams, x, wait):
    wait(cp, streams, x)
    with pytest.raises(AssertionError, match="used on one stream"):
        use_on(streams[1], x)


def test_an_event_does_not_cover_the_work_after_it(streams, x):
    event = streams[0].record()
    use_on(streams[0], x)
    streams[1].wait_event(event)
    with pytest.raises(AssertionError, match="used on one stream"):
        use_on(streams[1], x)


def test_waiting_is_transitive(streams, x):
    streams[1].wait_event(streams[0].record())
    streams[2].wait_event(streams[1].record())
    use_on(streams[2], x)


def test_blocking_streams_and_the_null_stream_wait_for_each_other(cp):
    x, stream = cp.zeros(4, np.float32), cp.cuda.Stream()
    use_on(stream, x)
    x += 1
    with pytest.raises(AssertionError, match="used on one stream"):
        use_on(cp.cuda.Stream(non_blocking=True), x)


def test_memory_is_not_handed_out_while_another_stream_uses_it(cp, streams):
    x = cp.zeros(4, np.float32)
    cp.cuda.Device().synchronize()
    use_on(streams[0], x)
    del x
    with streams[1]:
        cp.zeros(4, np.float32)  # other memory
    with pytest.raises(AssertionError, match="used on one stream"):
        cp.zeros(4, np.float32)
