"""Which work is done before which other work.

The fake does all work immediately; on a GPU streams run side by side. There, work A of one stream is
certainly done before work B of another one only if the second stream has waited for an event after A, or if
the host has waited for A before it issued B. Otherwise A and B must not use the same memory.
"""

import weakref

_streams = weakref.WeakSet()


class Done(dict):
    """{stream: how many pieces of its work are certainly done}."""

    def learn(self, other):
        for stream, count in other.items():
            self[stream] = max(count, self.get(stream, 0))


_by_the_host = Done()  # the work for which the host has waited


def register(stream):
    """Add a new stream."""
    stream.count, stream.known_done = 0, Done()
    _streams.add(stream)


def done_after(stream):
    """The work that is done when all work of the stream so far is done."""
    return Done({**stream.known_done, stream: stream.count})


def host_waits_for(done):
    _by_the_host.learn(done)


def host_waits_for_all():
    for stream in _streams:
        host_waits_for(done_after(stream))


def begin(stream, blocks):
    """Count one more piece of work of a stream, which uses these blocks of memory."""
    stream.known_done.learn(_by_the_host)
    for other in _streams:
        if do_wait_for_each_other(stream, other):
            stream.known_done.learn(done_after(other))
    stream.count += 1
    for block in blocks:
        use(stream, block)


def do_wait_for_each_other(stream, other):
    """Whether one of two streams is the null stream and both are blocking."""
    blocking = not stream.is_non_blocking and not other.is_non_blocking
    return blocking and 0 in (stream.ptr, other.ptr) and stream is not other


def use(stream, block):
    if block.last_use is not None:
        other, count = block.last_use
        if other is not stream and stream.known_done.get(other, 0) < count:
            raise AssertionError(
                f"{block.size} bytes are used on one stream while work on another one may still use them; "
                "wait for that stream, or for an event after its work"
            )
    block.last_use = stream, stream.count
