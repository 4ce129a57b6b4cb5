"""Captures: the work between begin_capture and end_capture of a stream, and what CUDA refuses meanwhile."""

_captures = []  # those that have begun and not ended


class CUDARuntimeError(RuntimeError):
    """Refused by CUDA itself. If the stream is captured, its capture becomes useless."""


class Capture:
    """The work of a stream, the origin, and of the streams that joined it by waiting for an event of it."""

    def __init__(self, origin):
        self.origin, self.streams = origin, []
        self.work = []  # pairs (a function, the blocks of memory that it touches)
        # {stream whose last work no other stream waits for yet: the length of `work` after this work}
        self.unjoined = {}
        self.broken = False
        self.let_join(origin)
        _captures.append(self)

    def let_join(self, stream):
        stream.capture = self
        self.streams.append(stream)

    def record(self, stream, do, blocks):
        self.check()
        self.work.append((do, blocks))
        self._must_join(stream)

    def wait(self, stream, event):
        """`stream` waits for the event, and thus for all work of the event's stream before it."""
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
        """End the capture; return its work. Raises CUDARuntimeError if it cannot become a graph."""
        self.forget()
        self.check()
        if self.unjoined:
            raise CUDARuntimeError("a stream that joined the capture has work that no stream waits for")
        return self.work

    def forget(self):
        _captures.remove(self)
        for stream in self.streams:
            stream.capture = None


def refuse_like_cuda(action, capture):
    """If there is a capture, break it off and raise CUDARuntimeError."""
    if capture is not None:
        capture.broken = True
        raise CUDARuntimeError(f"{action} is not possible while a stream is captured")


def refuse_in_any_capture(action):
    for capture in _captures:
        refuse_like_cuda(action, capture)


def refuse_the_null_stream():
    """Refuse work on the null stream during the capture of a blocking stream: the two wait for each other."""
    for capture in _captures:
        if not capture.origin.is_non_blocking:
            refuse_like_cuda("work on the null stream beside a blocking one", capture)


def reset():
    for capture in tuple(_captures):
        capture.forget()
