"""Learning rates as pure functions.

A schedule is called as `schedule(step, lowest_error, evaluations)`: how many steps have been taken, the
lowest training error so far, and the errors of all evaluations so far, in order; errors in percent. An
argument that a schedule does not need may be left out. A schedule keeps no state: a resumed run gets the same
rates.
"""

import math


def step_decay(base, drops, factor=0.1):
    """`base`, multiplied by `factor` at each of the steps `drops`; in the ResNet paper 0.1, 32k and 48k."""
    return lambda step, lowest_error=0.0, evaluations=(): base * factor ** sum(step >= drop for drop in drops)


def cosine(base, total):
    """Half a cosine from `base` at step 0 to 0 at step `total` (Loshchilov and Hutter 2017, no restarts)."""
    return lambda step, lowest_error=0.0, evaluations=(): (
        base * (1 + math.cos(math.pi * min(step / total, 1))) / 2
    )


def plateau(base, patience, max_drops=None, factor=0.1):
    """`base`, times `factor` after every `patience` evaluations in a row without a new lowest error.

    After a drop the count restarts at 0; the lowest error stays. At most `max_drops` drops; None: no limit.
    AlexNet (Krizhevsky et al. 2012, section 5) and the ResNet paper's ImageNet nets (section 3.4) lower their
    rate when the error stops improving, AlexNet three times. Neither paper says how long it waits.
    """

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
    return lambda step, lowest_error, evaluations=(): (
        then(step, lowest_error, evaluations) if lowest_error < until_error else rate
    )


def warm_up_for(rate, steps, then):
    """`rate` in the first `steps` steps; then the schedule `then`, which counts from the start of the run.

    Identity Mappings (He et al. 2016, appendix) starts all its CIFAR nets so: 0.01 for 400 steps.
    """
    return lambda step, lowest_error=0.0, evaluations=(): (
        rate if step < steps else then(step, lowest_error, evaluations)
    )
