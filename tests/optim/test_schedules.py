import math

import numpy as np
import pytest

from minires.errors import OptionError
from minires.optim import cosine, plateau, step_decay, warm_up, warm_up_for

PAPER = step_decay(0.1, (32_000, 48_000))


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.1),
        (1, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_the_papers_schedule(step, rate):
    assert PAPER(step) == pytest.approx(rate, rel=1e-15)


def test_step_decay_with_another_factor_and_without_drops():
    assert step_decay(1.0, (10, 20), factor=0.5)(20) == 0.25
    assert step_decay(0.1, ())(10**6) == 0.1


def test_cosine_at_both_ends_and_in_the_middle():
    schedule = cosine(0.2, 100)
    assert schedule(0) == 0.2
    assert schedule(50) == pytest.approx(0.1, rel=1e-15)
    assert schedule(25) == pytest.approx(0.1 * (1 + math.sqrt(0.5)), rel=1e-15)
    assert schedule(100) == 0
    assert schedule(150) == 0


def test_cosine_never_rises():
    rates = [cosine(0.2, 100)(step) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_warm_up_of_the_110_layer_net_ends_permanently():
    schedule = warm_up(0.01, 80, PAPER)
    errors = [90.0, 85.0, 80.0, 79.9, 85.0, 95.0, 60.0]  # it rises again after the first 79.9
    lowest = np.minimum.accumulate(errors)
    rates = [schedule(step, error) for step, error in enumerate(lowest)]
    assert rates == [0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.1]
    assert schedule(32_000, 5.0) == pytest.approx(0.01)
    assert schedule(48_000, 5.0) == pytest.approx(0.001)


def test_warm_up_needs_the_lowest_error():
    """With a default, the warm-up might never end."""
    with pytest.raises(TypeError, match="lowest_error"):
        warm_up(0.01, 80, PAPER)(0)


@pytest.mark.parametrize(
    "schedule",
    [
        PAPER,
        cosine(0.1, 64_000),
        warm_up(0.01, 80, PAPER),
        warm_up_for(0.01, 400, PAPER),
        plateau(0.1, patience=1),
    ],
)
def test_schedules_are_pure_functions_of_their_arguments(schedule):
    """A resumed run that starts at step 40,000 must get the same rate as an uninterrupted one."""
    fresh = schedule(40_000, 50.0, (60.0, 60.0))
    for step in (0, 63_999, 40_000):
        schedule(step, 99.0, (60.0, 60.0, 70.0))
    assert schedule(40_000, 50.0, (60.0, 60.0)) == fresh
    assert type(fresh) is float


def test_warm_up_for_a_number_of_steps():
    """Identity Mappings: 0.01 in steps 0 to 399; the drops stay where they are, and errors do not matter."""
    schedule = warm_up_for(0.01, 400, PAPER)
    rates = {0: 0.01, 399: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 48_000: 0.001}
    for step, rate in rates.items():
        assert schedule(step) == schedule(step, 99.0) == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    ("errors", "drops"),
    [
        ([], 0),
        ([50.0, 50.0, 50.0], 0),  # the first one is a new lowest
        ([50.0, 50.0, 50.0, 50.0], 1),
        ([50.0, 60.0, 70.0, 80.0], 1),
        ([50.0, 60.0, 70.0, 49.9], 0),  # a new lowest just before the drop
        ([50.0, 60.0, 70.0, 49.9, 49.9, 50.0], 0),
        ([50.0, 60.0, 70.0, 49.9, 49.9, 50.0, 55.0], 1),
        ([50.0, 60.0, 60.0, 60.0, 55.0, 52.0], 1),  # better than the error before, but the lowest is 50
        ([50.0, 60.0, 60.0, 60.0, 55.0, 52.0, 51.0], 2),
        ([50.0, 60.0, 60.0, 60.0, 40.0, 45.0, 45.0], 1),  # an improvement does not take a drop back
        ([50.0] * 31, 10),
    ],
)
def test_plateau_drops_after_three_evaluations_without_a_new_lowest(errors, drops):
    schedule = plateau(0.1, patience=3)
    assert schedule(0, 0.0, errors) == schedule(10**6, 99.0, errors) == pytest.approx(0.1 * 0.1**drops)


@pytest.mark.parametrize(
    ("evaluations", "rate"),
    [(0, 1.0), (2, 1.0), (3, 0.25), (4, 0.25), (5, 0.0625), (6, 0.0625), (7, 0.0625), (99, 0.0625)],
)
def test_plateau_drops_at_most_max_drops_times(evaluations, rate):
    schedule = plateau(1.0, patience=2, max_drops=2, factor=0.25)
    assert schedule(0, 0.0, [9.0] * evaluations) == rate


def test_plateau_without_evaluations_is_the_first_rate():
    assert plateau(0.01, patience=1)(10**6) == 0.01


def test_warm_ups_pass_the_evaluations_to_the_next_schedule():
    errors = [50.0, 50.0]
    assert warm_up(0.5, 80, plateau(0.1, 1))(0, 70.0, errors) == pytest.approx(0.01)
    assert warm_up_for(0.5, 10, plateau(0.1, 1))(10, 99.0, errors) == pytest.approx(0.01)
    assert warm_up_for(0.5, 10, plateau(0.1, 1))(9, 99.0, errors) == 0.5


NAN = float("nan")
BAD_SCHEDULES = [
    (lambda: step_decay(-0.1, ()), "step_decay: base must be at least 0, not -0.1"),
    (lambda: step_decay(NAN, ()), "base must be at least 0, not nan"),
    (lambda: step_decay("0.1", ()), "base must be a number, not '0.1'"),
    (lambda: step_decay(None, ()), "base must be a number, not None"),
    (lambda: step_decay(math.inf, ()), "base must be finite"),
    (lambda: step_decay(0.1, (10,), factor=-0.5), "factor must be at least 0"),
    (lambda: step_decay(0.1, (10,), factor=NAN), "factor must be at least 0, not nan"),
    (lambda: step_decay(0.1, (48_000, 32_000)), r"drops must be in order, not \(48000, 32000\)"),
    (lambda: step_decay(0.1, (-1, 10)), "drops must be at least 0, not -1"),
    (lambda: step_decay(0.1, (10, NAN)), "drops must be at least 0, not nan"),
    (lambda: step_decay(0.1, 10), r"drops must be a list of steps, not 10; write \(10,\)"),
    (lambda: step_decay(0.1, "10"), "drops must be a number, not '1'"),
    (lambda: cosine(-0.1, 10), "cosine: base must be at least 0"),
    (lambda: cosine(0.1, 0), "total must be above 0"),
    (lambda: cosine(0.1, -10), "total must be at least 0, not -10"),
    (lambda: cosine(0.1, NAN), "total must be at least 0, not nan"),
    (lambda: plateau(-0.1, 5), "plateau: base must be at least 0"),
    (lambda: plateau(0.1, 0), "patience must be a positive whole number, not 0"),
    (lambda: plateau(0.1, -1), "patience must be a positive whole number, not -1"),
    (lambda: plateau(0.1, 1.5), "patience must be a positive whole number, not 1.5"),
    (lambda: plateau(0.1, 5, max_drops=-1), "max_drops must be a positive whole number, not -1"),
    (lambda: plateau(0.1, 5, max_drops=1.5), "max_drops must be a positive whole number, not 1.5"),
    (lambda: plateau(0.1, 5, factor=NAN), "factor must be at least 0, not nan"),
    (lambda: warm_up(-0.1, 80, PAPER), "warm_up: rate must be at least 0"),
    (lambda: warm_up(0.01, NAN, PAPER), "until_error must be at least 0, not nan"),
    (lambda: warm_up(0.01, 0, PAPER), "until_error must be above 0"),
    (lambda: warm_up(0.01, 80, 0.1), "then must be a schedule, such as .*, not 0.1"),
    (lambda: warm_up_for(NAN, 400, PAPER), "warm_up_for: rate must be at least 0, not nan"),
    (lambda: warm_up_for(0.01, -1, PAPER), "steps must be at least 0, not -1"),
    (lambda: warm_up_for(0.01, 400, None), "then must be a schedule"),
]


@pytest.mark.parametrize(("make", "message"), BAD_SCHEDULES)
def test_bad_arguments_are_refused_when_the_schedule_is_made(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_drops_may_be_equal_at_0_and_from_an_iterator():
    schedule = step_decay(1.0, iter([0, 2, 2]), factor=0.5)
    for _ in range(2):  # an iterator would be empty the second time
        assert [schedule(step) for step in range(4)] == [0.5, 0.5, 0.125, 0.125]


def test_drops_that_change_later_do_not_change_the_schedule():
    drops = [1, 2]
    schedule = step_decay(1.0, drops, factor=0.5)
    drops.clear()
    assert schedule(2) == 0.25


def test_limits_that_are_allowed():
    assert plateau(0.1, 1, max_drops=0)(0, 0.0, [50.0] * 9) == 0.1
    assert warm_up_for(0.5, 0, PAPER)(0) == 0.1
    assert step_decay(0.0, (1,), factor=0)(0) == 0.0
    assert step_decay(1.0, (1,), factor=2)(1) == 2.0
    assert cosine(0.2, np.int64(100))(100) == 0


@pytest.mark.parametrize(
    "options", [{"patience": [2]}, {"patience": ()}, {"patience": True}, {"patience": 1, "max_drops": [2]}]
)
def test_a_patience_is_one_number(options):
    with pytest.raises(OptionError, match=r"plateau: .* must be a positive whole number"):
        plateau(0.1, **options)
