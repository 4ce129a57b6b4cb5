"""Learning rates as pure functions.

A schedule is called as `schedule(step, lowest_error)`: how many steps have been taken, and the lowest
training error seen so far, in percent. Nothing is remembered in between: a resumed run goes on where it was.
"""

import math


def step_decay(base, drops, factor=0.1):
    """`base`, times `factor` from each step in `drops` on. The ResNet paper: 0.1, drops at 32k and 48k."""
    return lambda step, lowest_error=0.0: base * factor ** sum(step >= drop for drop in drops)


def cosine(base, total):
    """Half a cosine from `base` at step 0 to 0 at step `total` (Loshchilov and Hutter 2017, no restarts)."""
    return lambda step, lowest_error=0.0: base * (1 + math.cos(math.pi * min(step / total, 1))) / 2


def warm_up(rate, until_error, then):
    """`rate` while the training error has never been below `until_error` percent; the schedule `then` after.

    The ResNet paper starts its 110-layer net so: 0.01 until 80 % (section 4.2).
    """
    return lambda step, lowest_error: then(step, lowest_error) if lowest_error < until_error else rate
