"""Streams, and the function through which all work on the device goes: issue().

Work is done immediately, except between a stream's begin_capture and end_capture: there, as on a GPU, it is
recorded and not done. The launch() of the graph does it, on the same memory.
"""

import threading
import time

from fake_cupy import capture, order
from fake_cupy.capture import Capture, CUDARuntimeError, refuse_like_cuda, refuse_the_null_stream

_local = threading.local()


class Stream:
    """A queue of work: cupy.cuda.Stream."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else id(self)
        self.is_non_blocking = non_blocking
        self.capture = None
        order.register(self)

    def __enter__(self):
        _stack().append(self)
        return self

    def __exit__(self, *_):
        _stack().pop()

    def use(self):
        _stack()[-1] = self
        return self

    def begin_capture(self, mode=None):
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.capture is not None:
            raise CUDARuntimeError("this stream is captured already")
        Capture(self)

    def end_capture(self):
        if self.capture is None or self.capture.origin is not self:
            raise CUDARuntimeError("no capture has begun on this stream")
        return Graph(self.capture.end())

    def is_capturing(self):
        return self.capture is not None

    @property
    def done(self):
        refuse_like_cuda("asking a stream whether it is done", self.capture)
        return True

    def synchronize(self):
        refuse_like_cuda("waiting for a stream", self.capture)
        order.host_waits_for(order.done_after(self))

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        if event.stream is None:  # never recorded: nothing to wait for
            return
        if self.capture is None and event.is_captured():
            event.capture.let_join(self)
        if self.capture is None:
            self.known_done.learn(event.done_before)
            return
        if event.capture is not self.capture:
            refuse_like_cuda("waiting for an event that was not captured with it", self.capture)
        self.capture.wait(self, event)


Stream.null = Stream(null=True)


class Graph:
    """The work of a stream between begin_capture and end_capture: cupy.cuda.Graph."""

    def __init__(self, work):
        self.work = work

    def launch(self, stream=None):
        for do, blocks in self.work:
            issue(do, blocks, stream)

    def upload(self, stream=None):
        pass


class Event:
    """A moment in a stream: cupy.cuda.Event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.stream = self.time = self.capture = self.position = self.done_before = None

    def record(self, stream=None):
        self.stream = get_current_stream() if stream is None else stream
        self.time, self.capture = time.perf_counter(), self.stream.capture
        self.position = len(self.capture.work) if self.capture else None
        self.done_before = order.done_after(self.stream)

    def is_captured(self):
        """Whether it was recorded in a capture that has not ended."""
        return self.capture is not None and self.stream.capture is self.capture

    def synchronize(self):
        refuse_like_cuda("waiting for a captured event", self.capture)
        if self.stream is not None:
            order.host_waits_for(self.done_before)

    @property
    def done(self):
        refuse_like_cuda("asking a captured event whether it is done", self.capture)
        return True


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events."""
    for event in (start_event, end_event):
        refuse_like_cuda("reading the time of a captured event", event.capture)
    return 1000 * (end_event.time - start_event.time)


def _stack():
    if not hasattr(_local, "streams"):
        _local.streams = [Stream.null]
    return _local.streams


def get_current_stream(device_id=-1):
    return _stack()[-1]


def issue(do, blocks=(), stream=None):
    """Call `do` now or, if the stream is captured, at each launch of the graph.

    blocks: the memory that `do` uses. The graph does not keep it from being handed out again, as on a GPU.
    """
    stream = get_current_stream() if stream is None else stream
    if stream.capture is not None:
        stream.capture.record(stream, do, blocks)
        return
    if stream.ptr == 0:
        refuse_the_null_stream()
    if any(block.given_back for block in blocks):
        raise RuntimeError("a graph uses memory that its pool has given back")
    order.begin(stream, blocks)
    do()


def refuse_like_cupy(action, error=RuntimeError):
    """Raise `error` if the current stream is captured. The capture goes on, since CUDA is not called."""
    if get_current_stream().is_capturing():
        raise error(f"{action} is not possible while a stream is captured")


def reset():
    capture.reset()
    order.host_waits_for_all()
    _stack()[:] = [Stream.null]
