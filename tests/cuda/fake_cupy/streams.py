"""Streams, and the one place that all work on the device goes through: issue().

Work is done at once, except between a stream's begin_capture and end_capture: there, as on a GPU, it is
written down and not done; the graph's launch() does it, on the same memory.
"""

import threading
import time

_local = threading.local()
_capturing = []  # the streams that write down what they are given


class Stream:
    """A queue of work: cupy.cuda.Stream."""

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.is_null = null
        self.is_non_blocking = non_blocking
        self.captured = None  # the work written down since begin_capture

    def __enter__(self):
        _stack().append(self)
        return self

    def __exit__(self, *_):
        _stack().pop()

    def use(self):
        _stack()[-1] = self
        return self

    def begin_capture(self, mode=None):
        if self.is_null:
            raise RuntimeError("the null stream cannot be captured")
        if self.captured is not None:
            raise RuntimeError("this stream is being captured already")
        self.captured = []
        _capturing.append(self)

    def end_capture(self):
        if self.captured is None:
            raise RuntimeError("this stream is not being captured")
        work = self.captured
        for stream in [s for s in _capturing if s.captured is work]:  # those that joined by an event, too
            stream.captured = None
            _capturing.remove(stream)
        return Graph(work)

    def is_capturing(self):
        return self.captured is not None

    @property
    def done(self):
        refuse_in_capture("asking a stream whether it is done", self)
        return True

    def synchronize(self):
        refuse_in_capture("waiting for a stream", self)

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        if event.captured is not None and self.captured is None:
            self.captured = event.captured
            _capturing.append(self)

    @property
    def ptr(self):
        return 0 if self.is_null else id(self)


Stream.null = Stream(null=True)


class Graph:
    """What a stream was given between begin_capture and end_capture."""

    def __init__(self, work):
        self.work = work  # pairs (a function, the blocks of memory that it touches)

    def launch(self, stream=None):
        for do, blocks in self.work:
            issue(do, blocks, stream)

    def upload(self, stream=None):
        pass


class Event:
    """A moment in a stream: cupy.cuda.Event."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.time = self.captured = None

    def record(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        self.time, self.captured = time.perf_counter(), stream.captured

    def synchronize(self):
        refuse_in_capture("waiting for an event")

    @property
    def done(self):
        refuse_in_capture("asking an event whether it is done")
        return True


def get_elapsed_time(start, end):
    """Milliseconds between two events."""
    refuse_in_capture("reading the time of an event")
    return 1000 * (end.time - start.time)


def _stack():
    if not hasattr(_local, "streams"):
        _local.streams = [Stream.null]
    return _local.streams


def get_current_stream():
    return _stack()[-1]


def issue(do, blocks=(), stream=None):
    """Call `do` now, or when the graph is launched that the stream writes down.

    blocks: the memory that it touches, which the graph does not keep from being given away, as on a GPU.
    """
    stream = get_current_stream() if stream is None else stream
    if stream.captured is not None:
        stream.captured.append((do, blocks))
        return
    if any(block.gone for block in blocks):
        raise RuntimeError("a graph uses memory that its pool has given back")
    do()


def refuse_in_capture(what, stream=None, error=RuntimeError):
    """Raise `error` if the stream is being captured."""
    stream = get_current_stream() if stream is None else stream
    if stream.captured is not None:
        raise error(f"{what} is not possible while a stream is captured")


def refuse_in_any_capture(what):
    if _capturing:
        raise RuntimeError(f"{what} is not possible while a stream is captured")


def reset():
    for stream in _capturing:
        stream.captured = None
    _capturing.clear()
    _stack()[:] = [Stream.null]
