"""Streams, and the one place that all work on the device goes through: issue().

Work is done at once, except between a stream's begin_capture and end_capture: there, as on a GPU, it is
written down and not done; the graph's launch() does it, on the same memory.
"""

import threading
import time

from fake_cupy import capture, order
from fake_cupy.capture import Capture, CUDARuntimeError, refuse_the_null_stream, refused_by_cuda

_local = threading.local()


class Stream:
    """A queue of work: cupy.cuda.Stream."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else id(self)
        self.is_non_blocking = non_blocking
        self.capture = None
        order.know(self)

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
        refused_by_cuda("asking a stream whether it is done", self.capture)
        return True

    def synchronize(self):
        refused_by_cuda("waiting for a stream", self.capture)
        order.host_waits_for(order.behind(self))

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
            self.known_done.learn(event.behind)
            return
        if event.capture is not self.capture:
            refused_by_cuda("waiting for what was not captured with it", self.capture)
        self.capture.wait(self, event)


Stream.null = Stream(null=True)


class Graph:
    """What a stream was given between begin_capture and end_capture."""

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
        self.stream = self.time = self.capture = self.position = self.behind = None

    def record(self, stream=None):
        self.stream = get_current_stream() if stream is None else stream
        self.time, self.capture = time.perf_counter(), self.stream.capture
        self.position = len(self.capture.work) if self.capture else None
        self.behind = order.behind(self.stream)

    def is_captured(self):
        """Whether it was recorded in a capture that goes on."""
        return self.capture is not None and self.stream.capture is self.capture

    def synchronize(self):
        refused_by_cuda("waiting for a captured event", self.capture)
        if self.stream is not None:
            order.host_waits_for(self.behind)

    @property
    def done(self):
        refused_by_cuda("asking a captured event whether it is done", self.capture)
        return True


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events."""
    for event in (start_event, end_event):
        refused_by_cuda("reading the time of a captured event", event.capture)
    return 1000 * (end_event.time - start_event.time)


def _stack():
    if not hasattr(_local, "streams"):
        _local.streams = [Stream.null]
    return _local.streams


def get_current_stream(device_id=-1):
    return _stack()[-1]


def issue(do, blocks=(), stream=None):
    """Call `do` now, or when the graph is launched that the stream writes down.

    blocks: the memory that it touches, which the graph does not keep from being given away, as on a GPU.
    """
    stream = get_current_stream() if stream is None else stream
    if stream.capture is not None:
        stream.capture.write_down(stream, do, blocks)
        return
    if stream.ptr == 0:
        refuse_the_null_stream()
    if any(block.gone for block in blocks):
        raise RuntimeError("a graph uses memory that its pool has given back")
    order.begin(stream, blocks)
    do()


def refused_by_cupy(what, error=RuntimeError):
    """Raise `error` if the current stream is captured, before CUDA hears of it: the capture goes on."""
    if get_current_stream().is_capturing():
        raise error(f"{what} is not possible while a stream is captured")


def reset():
    capture.reset()
    order.host_waits_for_all()
    _stack()[:] = [Stream.null]
