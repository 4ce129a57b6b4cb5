"""Captures: the work between a stream's begin_capture and end_capture, and what CUDA refuses meanwhile."""

_captures = []  # those that have begun and not ended


class CUDARuntimeError(RuntimeError):
    """What CUDA itself refuses. When that happens to a captured stream, the capture is of no use any more."""


class Capture:
    """The work of a stream, the origin, and of those that joined it by waiting for one of its events."""

    def __init__(self, origin):
        self.origin, self.streams = origin, []
        self.work = []  # pairs (a function, the blocks of memory that it touches)
        self.unjoined = {}  # stream: how much work there was after its last, for which nobody waits yet
        self.broken = False
        self.let_join(origin)
        _captures.append(self)

    def let_join(self, stream):
        stream.capture = self
        self.streams.append(stream)

    def write_down(self, stream, do, blocks):
        self.check()
        self.work.append((do, blocks))
        self._must_join(stream)

    def wait(self, stream, event):
        """`stream` waits for the event, and so for all work of the event's stream before it."""
        if self.unjoined.get(event.stream, len(self.work) + 1) <= event.position:
            del self.unjoined[event.stream]
            self._must_join(stream)

    def _must_join(self, stream):
        if stream is not self.origin:
            self.unjoined[stream] = len(self.work)

    def check(self):
        if self.broken:
            raise CUDARuntimeError("this capture was broken off by an error before")

    def end(self):
        """The work, if it makes a graph."""
        self.forget()
        self.check()
        if self.unjoined:
            raise CUDARuntimeError("a stream that joined the capture has work that nobody waits for")
        return self.work

    def forget(self):
        _captures.remove(self)
        for stream in self.streams:
            stream.capture = None


def refused_by_cuda(what, capture):
    """Break the capture off, if there is one, and raise CUDARuntimeError."""
    if capture is not None:
        capture.broken = True
        raise CUDARuntimeError(f"{what} is not possible while a stream is captured")


def refused_in_any_capture(what):
    for capture in _captures:
        refused_by_cuda(what, capture)


def refuse_the_null_stream():
    """A capture of a stream that waits for the null stream, and it for that one, forbids work there."""
    for capture in _captures:
        if not capture.origin.is_non_blocking:
            refused_by_cuda("work on the null stream beside a blocking one", capture)


def reset():
    for capture in tuple(_captures):
        capture.forget()
