"""Stopping between two steps instead of in the middle of one."""

import signal
import sys
import threading
from contextlib import contextmanager


@contextmanager
def deferred_signals():
    """A context in which Ctrl-C and SIGTERM only set a flag; yields a function that tells whether it is set.

    A second signal raises KeyboardInterrupt at once. Outside of the main thread, where Python delivers no
    signals, the flag is never set.
    """
    signalled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield signalled.is_set
        return

    def on_signal(number, frame):
        if signalled.is_set():
            print("\nStopped at once. --resume goes on from the last checkpoint.", file=sys.stderr)
            raise KeyboardInterrupt
        signalled.set()
        print("\nFinishing this step, then saving. Ctrl-C again stops at once.", file=sys.stderr)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signalled.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
