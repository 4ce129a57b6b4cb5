"""Stopping between two steps instead of in the middle of one."""

import signal
import sys
import threading
from contextlib import contextmanager


@contextmanager
def polite_signals():
    """While this is open, Ctrl-C and SIGTERM only ask: yields a function that tells whether they did.

    A second Ctrl-C interrupts at once. Outside of the main thread, where Python delivers no signals, nothing
    is ever asked.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def on_signal(number, frame):
        if asked.is_set():
            print("\nStopped at once. --resume goes on from the last checkpoint.", file=sys.stderr)
            raise KeyboardInterrupt
        asked.set()
        print("\nFinishing this step, then saving. Ctrl-C again stops at once.", file=sys.stderr)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
