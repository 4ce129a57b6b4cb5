"""Watching a run without holding it up."""

import math
import time


def now_and_then(look, seconds=0.1):
    """An on_step for train(): look(trainer), at most once in so many seconds, and after every evaluation.

    A GPU has to finish what it was given before it can be asked how things stand.
    """
    looked = -math.inf

    def on_step(trainer):
        nonlocal looked
        now = time.monotonic()
        if now - looked >= seconds or trainer.evaluated:
            looked = now
            look(trainer)

    return on_step
