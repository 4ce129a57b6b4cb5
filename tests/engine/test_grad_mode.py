"""no_grad() as a context, as a decorator of functions and of generators, in several threads."""

from threading import Thread

import pytest

from minires import Tensor, no_grad


def records():
    return (Tensor([1.0], requires_grad=True) * 2).requires_grad


def in_thread(function):
    results = []
    thread = Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("decorate", [no_grad, no_grad()], ids=["without brackets", "with brackets"])
def test_as_a_decorator(decorate):
    @decorate
    def function(x, *, y):
        """Its text."""
        return records(), x, y

    assert function(1, y=2) == (False, 1, 2)
    assert (function.__name__, function.__doc__) == ("function", "Its text.")
    assert records()


def test_one_object_can_be_used_again_and_inside_of_itself():
    block = no_grad()
    for _ in range(2):
        with block:
            with block:
                assert not records()
            assert not records()
        assert records()


def test_a_generator_computes_without_a_graph_and_its_caller_with_one():
    @no_grad()
    def steps():
        received = []
        for _ in range(2):
            received.append((records(), (yield records())))
        try:
            yield "waiting"
        except ValueError:
            yield records()
        return received

    generator = steps()
    assert next(generator) is False
    assert records()
    assert generator.send("a") is False
    assert generator.send("b") == "waiting"
    assert generator.throw(ValueError()) is False
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == [(False, "a"), (False, "b")]
    assert records()


def test_a_closed_generator_ends_without_a_graph():
    ended = []

    @no_grad()
    def steps():
        try:
            yield
        finally:
            ended.append(records())

    generator = steps()
    next(generator)
    generator.close()
    assert ended == [False]
    assert records()


def test_a_generator_may_be_closed_in_another_thread():
    def inside():
        with no_grad():
            yield

    generator = inside()
    in_thread(lambda: next(generator))
    generator.close()
    assert records()
    with no_grad():
        other = inside()
        in_thread(lambda: next(other))
        other.close()
        assert not records()


def test_threads_do_not_share_it():
    block = no_grad()
    with block:
        assert in_thread(records)
        assert not records()


def test_a_generator_gets_every_exception_that_is_thrown_into_it():
    @no_grad()
    def steps():
        try:
            yield 1
        except KeyboardInterrupt:
            yield 2

    running = steps()
    assert next(running) == 1
    assert running.throw(KeyboardInterrupt()) == 2
