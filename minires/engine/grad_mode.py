"""no_grad: computing without recording the graph."""

from contextvars import ContextVar
from functools import partial, wraps
from inspect import isgeneratorfunction

# The no_grad() objects that are entered, in the thread or task that asks: each has a context of its own.
_entered = ContextVar("entered", default=())


def grad_enabled():
    """Whether operations are recorded."""
    return not _entered.get()


class no_grad:  # noqa: N801, used like a function
    """Compute without recording the graph.

    `with no_grad(): ...`, or as a decorator of functions and generators, `@no_grad()` or `@no_grad`.
    """

    def __new__(cls, function=None):
        block = super().__new__(cls)
        return block if function is None else block(function)

    def __enter__(self):
        _entered.set((*_entered.get(), self))

    def __exit__(self, *_):
        outer = list(_entered.get())
        if self in outer:  # a generator may be closed in another thread, which has not entered this block
            outer.remove(self)
            _entered.set(tuple(outer))

    def __call__(self, function):
        """The function, which computes without recording the graph."""

        @wraps(function)
        def wrapper(*args, **options):
            with self:
                result = function(*args, **options)
            return _without_grad(result) if isgeneratorfunction(function) else result

        return wrapper


def _without_grad(generator):
    """As `yield from generator`; the generator's own steps, and they alone, run under no_grad()."""
    resume = partial(next, generator)
    try:
        while True:
            with no_grad():
                item = resume()
            try:
                received = yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # all errors: the generator may handle them
                resume = partial(generator.throw, error)
            else:
                resume = partial(generator.send, received)
    except StopIteration as stop:
        return stop.value
    finally:
        with no_grad():
            generator.close()
