"""Learning rates as pure functions.

A schedule is called as `schedule(step, lowest_error, evaluations)`: how many steps have been taken, the
lowest training error so far, and the errors of all evaluations so far, in order; errors in percent. An
argument that a schedule does not need may be left out. A schedule keeps no state: a resumed run gets the same
rates.

Each function here makes a schedule, and raises OptionError for arguments that make none: a rate, a factor or
a step that is no number or below 0, and what would drop or warm up at the wrong time.
"""

import math
from collections.abc import Iterable
from itertools import pairwise

from minires.errors import OptionError
from minires.options import check_not_negative, check_whole


def step_decay(base, drops, factor=0.1):
    """`base`, multiplied by `factor` at each of the steps `drops`; in the ResNet paper 0.1, 32k and 48k.

    drops: steps in order; one that is there twice counts twice.
    """
    if not isinstance(drops, Iterable):
        raise OptionError(f"step_decay: drops must be a list of steps, not {drops!r}; write ({drops!r},)")
    drops = tuple(drops)  # an iterator would be empty after the first rate
    check_not_negative("step_decay", base=base, factor=factor)
    for drop in drops:
        check_not_negative("step_decay", drops=drop)
    if any(later < earlier for earlier, later in pairwise(drops)):
        raise OptionError(f"step_decay: drops must be in order, not {drops}")
    return lambda step, lowest_error=0.0, evaluations=(): base * factor ** sum(step >= drop for drop in drops)


def cosine(base, total):
    """Half a cosine from `base` at step 0 to 0 at step `total` (Loshchilov and Hutter 2017, no restarts)."""
    check_not_negative("cosine", base=base, total=total)
    if not total:
        raise OptionError("cosine: total must be above 0; it is the step at which the rate reaches 0")
    return lambda step, lowest_error=0.0, evaluations=(): (
        base * (1 + math.cos(math.pi * min(step / total, 1))) / 2
    )


def plateau(base, patience, max_drops=None, factor=0.1):
    """`base`, times `factor` after every `patience` evaluations in a row without a new lowest error.

    After a drop the count restarts at 0; the lowest error stays. At most `max_drops` drops; None: no limit.
    AlexNet (Krizhevsky et al. 2012, section 5) and the ResNet paper's ImageNet nets (section 3.4) lower their
    rate when the error stops improving, AlexNet three times. Neither paper says how long it waits.
    """
    check_not_negative("plateau", base=base, factor=factor)
    check_whole("plateau", patience=patience)
    if max_drops not in (None, 0):  # with 0 drops the rate stays
        check_whole("plateau", max_drops=max_drops)

    def schedule(step, lowest_error=0.0, evaluations=()):
        lowest, waited, drops = math.inf, 0, 0
        for error in evaluations:
            lowest, waited = (error, 0) if error < lowest else (lowest, waited + 1)
            if waited == patience:
                waited, drops = 0, drops + 1
        return base * factor ** (drops if max_drops is None else min(drops, max_drops))

    return schedule


def warm_up(rate, until_error, then):
    """`rate` until the training error has once been below `until_error` percent; then the schedule `then`.

    The ResNet paper starts its 110-layer net so: 0.01 until 80 % (section 4.2).
    """
    check_not_negative("warm_up", rate=rate, until_error=until_error)
    if not until_error:
        raise OptionError("warm_up: until_error must be above 0; no error is below 0, so it would never end")
    _check_schedule("warm_up", then)
    return lambda step, lowest_error, evaluations=(): (
        then(step, lowest_error, evaluations) if lowest_error < until_error else rate
    )


def warm_up_for(rate, steps, then):
    """`rate` in the first `steps` steps; then the schedule `then`, which counts from the start of the run.

    Identity Mappings (He et al. 2016, appendix) starts all its CIFAR nets so: 0.01 for 400 steps.
    """
    check_not_negative("warm_up_for", rate=rate, steps=steps)
    _check_schedule("warm_up_for", then)
    return lambda step, lowest_error=0.0, evaluations=(): (
        rate if step < steps else then(step, lowest_error, evaluations)
    )


def _check_schedule(where, then):
    """OptionError unless `then` can be called."""
    if not callable(then):
        raise OptionError(f"{where}: then must be a schedule, such as cosine(0.1, 1000), not {then!r}")
