"""Which work is done before which. The fake does all work at once; on a GPU streams run side by side.

Work of one stream is sure to be done before work of another one only if that stream waited for an event
behind it, or if the host waited and gave the other work afterwards. Otherwise the two must not use the same
memory.
"""

import weakref

_streams = weakref.WeakSet()


class Done(dict):
    """{stream: how many of its works are sure to be done}."""

    def learn(self, other):
        for stream, count in other.items():
            self[stream] = max(count, self.get(stream, 0))


_by_the_host = Done()  # what it has waited for


def know(stream):
    """Begin with a new stream."""
    stream.count, stream.known_done = 0, Done()
    _streams.add(stream)


def behind(stream):
    """What is done when all is done that the stream was given so far."""
    return Done({**stream.known_done, stream: stream.count})


def host_waits_for(done):
    _by_the_host.learn(done)


def host_waits_for_all():
    for stream in _streams:
        host_waits_for(behind(stream))


def begin(stream, blocks):
    """One more work of a stream, which uses these blocks of memory."""
    stream.known_done.learn(_by_the_host)
    for other in _streams:
        if wait_for_each_other(stream, other):
            stream.known_done.learn(behind(other))
    stream.count += 1
    for block in blocks:
        use(stream, block)


def wait_for_each_other(stream, other):
    """The null stream and all that were not made to be non-blocking."""
    blocking = not stream.is_non_blocking and not other.is_non_blocking
    return blocking and 0 in (stream.ptr, other.ptr) and stream is not other


def use(stream, block):
    if block.used is not None:
        other, count = block.used
        if other is not stream and stream.known_done.get(other, 0) < count:
            raise AssertionError(
                f"{block.size} bytes are used on one stream while work on another one may still use them; "
                "wait for that stream, or for an event behind its work"
            )
    block.used = stream, stream.count
