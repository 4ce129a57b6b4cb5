"""Times of several functions, measured in turn."""

import time
from statistics import median


def interleaved(steps, repeats, warmup=2, follow=None):
    """The median seconds of each function in `steps`, {name: function}, over `repeats` rounds of all of them.

    A disturbance of the machine then slows all of them alike. The first `warmup` rounds do not count.
    follow: called after each round.
    """
    seconds = {name: [] for name in steps}
    for turn in range(warmup + repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
        if follow is not None:
            follow()
    return {name: median(times) for name, times in seconds.items()}
