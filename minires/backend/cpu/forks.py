"""What lets the child of a fork compute, even if other threads were computing when the process forked.

The child has only the thread that forked, and a copy of what the others were about to finish: their locks
stay locked, their numbers half changed. That holds for the locks inside of the BLAS library, too, which
computes NumPy's products. So a fork waits until no other thread is in a kernel's work (`computing`) or
changes what all threads share (`state_lock`).
"""

import os
from threading import Condition, RLock, get_ident

LONGEST_WAIT_SECONDS = 10  # of a fork for the other threads; a kernel's work takes much less


class Gate:
    """`with gate:` around work that a fork must not cut in two.

    While a fork waits, a thread that is inside may enter once more, so that it can finish.
    """

    def __init__(self):
        self.lock, self.waiting_forks, self.inside = RLock(), 0, {}  # inside: {thread: how often it entered}
        self.changed = Condition(self.lock)

    def __enter__(self):
        thread = get_ident()
        with self.lock:
            while self.waiting_forks and thread not in self.inside:
                self.changed.wait()
            self.inside[thread] = self.inside.get(thread, 0) + 1

    def __exit__(self, *_):
        thread = get_ident()
        with self.lock:
            self.inside[thread] -= 1
            if not self.inside[thread]:
                del self.inside[thread]
                if self.waiting_forks:
                    self.changed.notify_all()

    def close(self):
        """Let no more threads in, and wait until the others are out."""
        with self.lock:
            self.waiting_forks += 1
            self.changed.wait_for(lambda: self.inside.keys() <= {get_ident()}, LONGEST_WAIT_SECONDS)

    def open(self):
        """Let the threads in again."""
        with self.lock:
            self.waiting_forks = max(0, self.waiting_forks - 1)  # an interrupt may have cut off close()
            self.changed.notify_all()

    def forget_other_threads(self):
        """Begin anew in the child of a fork, with the thread that forked."""
        own = {thread: count for thread, count in self.inside.items() if thread == get_ident()}
        self.__init__()
        self.inside = own


def at_fork(**hooks):
    """os.register_at_fork, where the system has forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)


def held_by_forks(lock):
    """The lock. Each fork takes it first, so that in the child it is free, and what it guards is complete."""
    at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


# One lock for all that the kernels' threads share. The thread that has it may take it again: a signal handler
# or a finalizer may interrupt it, and compute.
state_lock = held_by_forks(RLock())

# The hooks that are registered last run first before a fork: threads that it waits for may need the lock.
computing = Gate()
at_fork(
    before=computing.close,
    after_in_parent=computing.open,
    after_in_child=computing.forget_other_threads,
)
