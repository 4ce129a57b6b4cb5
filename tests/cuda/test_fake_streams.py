"""Streams of the fake CuPy: no two of them may use memory without waiting for each other."""

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


def test_two_streams_do_not(cp, streams, x):
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
def test_but_for_one_that_waits(cp, streams, x, wait):
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
def test_and_waits_for_the_right_thing(cp, streams, x, wait):
    wait(cp, streams, x)
    with pytest.raises(AssertionError, match="used on one stream"):
        use_on(streams[1], x)


def test_what_comes_after_an_event_is_not_waited_for(streams, x):
    event = streams[0].record()
    use_on(streams[0], x)
    streams[1].wait_event(event)
    with pytest.raises(AssertionError, match="used on one stream"):
        use_on(streams[1], x)


def test_waiting_goes_on_from_stream_to_stream(streams, x):
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
