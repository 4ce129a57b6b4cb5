"""How many threads NumPy's matrix products use.

Inside of the kernels it is one for each product, because the kernels' own threads share the work already. A
library of products that was asked for more keeps its threads spinning for a while in case more work comes;
they would take the cores from ours.
"""

from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

_lock = Lock()
_held = 0  # how many one_thread_per_product() are open, in all threads
_outside = None  # threads of a product while none is open; None before it is known


class one_thread_per_product:  # noqa: N801, used like a function
    """Hold NumPy's matrix products to one thread: `with one_thread_per_product(): ...`.

    Each kernel does so for itself. Around many small operations once for all saves time.
    """

    def __enter__(self):
        global _held, _outside
        with _lock:
            _held += 1
            if _held == 1:
                if _outside is None:  # nobody has decided: as the library chose
                    _outside = max((library.num_threads for library in libraries()), default=1)
                if _outside != 1:  # setting it takes as long as a small product
                    _limit(1)

    def __exit__(self, *_):
        global _held
        with _lock:
            _held -= 1
            if not _held and _outside != 1:
                _limit(_outside)


def set_threads_outside(count):
    """Let products outside of the kernels use `count` threads."""
    global _outside
    with _lock:
        _outside = count
        if not _held:
            _limit(count)


def libraries():
    """The libraries that compute products in this process."""
    return _controller().lib_controllers


def _limit(count):
    for library in libraries():
        library.set_num_threads(count)


@cache
def _controller():
    return ThreadpoolController().select(user_api="blas")


def reset():
    """For the child of a fork: nothing is held, and the lock is free."""
    global _lock, _held
    _lock, _held = Lock(), 0
    if _outside is not None:
        _limit(_outside)
