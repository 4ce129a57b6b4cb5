"""How many threads NumPy's matrix products use.

Inside of the fast kernels each product uses one thread, because the kernels' own threads share the work
already. A BLAS library, which computes NumPy's products, otherwise keeps threads of its own spinning for a
while after each product, in case more work comes; they would take the cores from the kernels' threads.
"""

from functools import cache
from threading import get_ident

from threadpoolctl import ThreadpoolController

from minires.backend.cpu.forks import at_fork, state_lock

_entered = {}  # {thread: how many one_thread_per_product() it has entered}; without the threads that are out
_count_outside = None  # how many threads a product uses outside of all of them; None until it is known


class one_thread_per_product:  # noqa: N801, used like a function
    """Hold NumPy's matrix products to one thread: `with one_thread_per_product(): ...`.

    Each fast kernel does this itself. To do it once around many small operations saves time.
    """

    def __enter__(self):
        global _count_outside
        thread = get_ident()
        with state_lock:
            if not _entered:
                if _count_outside is None:  # not set by the program: what the library chose
                    _count_outside = max((library.num_threads for library in libraries()), default=1)
                if _count_outside != 1:  # to set it takes as long as a small product
                    _set_thread_count(1)
            _entered[thread] = _entered.get(thread, 0) + 1

    def __exit__(self, *_):
        thread = get_ident()
        with state_lock:
            _entered[thread] -= 1
            if not _entered[thread]:
                del _entered[thread]
            if not _entered and _count_outside != 1:
                _set_thread_count(_count_outside)


def set_thread_count_outside(count):
    """Let products outside of one_thread_per_product() use `count` threads."""
    global _count_outside
    with state_lock:
        _count_outside = count
        if not _entered:
            _set_thread_count(count)


def libraries():
    """The BLAS libraries of this process, which compute the products."""
    return _controller().lib_controllers


def _set_thread_count(count):
    for library in libraries():
        _let_any_thread_set_the_count(library)
        library.set_num_threads(count)
        _let_any_thread_set_the_count(library)


def _let_any_thread_set_the_count(library):
    """Undo threadpoolctl's choice, from version 3.8 on, of the one thread that may set an OpenBLAS's count.

    It ignores the others, so that threads do not disagree. Here they take turns, and agree by _entered.
    """
    if hasattr(library, "clear_controlling_thread"):
        library.clear_controlling_thread(force=True)


@cache
def _controller():
    return ThreadpoolController().select(user_api="blas")


def _forget_other_threads():
    """For the child of a fork: only what the thread that forked has entered is entered."""
    for thread in _entered.keys() - {get_ident()}:
        del _entered[thread]
    if not _entered and _count_outside is not None:
        _set_thread_count(_count_outside)


at_fork(after_in_child=_forget_other_threads)
