"""How many threads NumPy's matrix products use.

Inside of the fast kernels each product uses one thread, because the kernels' own threads share the work
already. A BLAS library, which computes NumPy's products, otherwise keeps threads of its own spinning for a
while after each product, in case more work comes; they would take the cores from the kernels' threads.
"""

from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

_lock = Lock()
_entered = 0  # how many one_thread_per_product() are entered, in all threads
_count_outside = None  # how many threads a product uses outside of all of them; None until it is known


class one_thread_per_product:  # noqa: N801, used like a function
    """Hold NumPy's matrix products to one thread: `with one_thread_per_product(): ...`.

    Each fast kernel does this itself. To do it once around many small operations saves time.
    """

    def __enter__(self):
        global _entered, _count_outside
        with _lock:
            _entered += 1
            if _entered == 1:
                if _count_outside is None:  # not set by the program: what the library chose
                    _count_outside = max((library.num_threads for library in libraries()), default=1)
                if _count_outside != 1:  # to set it takes as long as a small product
                    _set_thread_count(1)

    def __exit__(self, *_):
        global _entered
        with _lock:
            _entered -= 1
            if not _entered and _count_outside != 1:
                _set_thread_count(_count_outside)


def set_thread_count_outside(count):
    """Let products outside of one_thread_per_product() use `count` threads."""
    global _count_outside
    with _lock:
        _count_outside = count
        if not _entered:
            _set_thread_count(count)


def libraries():
    """The BLAS libraries of this process, which compute the products."""
    return _controller().lib_controllers


def _set_thread_count(count):
    for library in libraries():
        library.set_num_threads(count)


@cache
def _controller():
    return ThreadpoolController().select(user_api="blas")


def reset():
    """For the child of a fork: no one_thread_per_product() is entered, and the lock is free."""
    global _lock, _entered
    _lock, _entered = Lock(), 0
    if _count_outside is not None:
        _set_thread_count(_count_outside)
