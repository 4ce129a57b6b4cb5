"""Watching a run without slowing it down: its Report, and a limit to how often one is made."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """The state of a run at one moment; None for what has not been measured yet."""

    step: int
    # Means since the last training row of the history; those of that row if no step came after it.
    loss: float | None
    train_error: float | None  # in percent
    test_error: float | None  # in percent, of the last evaluation
    evaluated: bool  # whether that evaluation followed this very step
    images_per_second: float


def throttled(show, seconds=0.1):
    """An on_step for train(): calls show(trainer) at most once in so many seconds, and after each evaluation.

    A GPU has to finish the steps that were started before their sums can be read.
    """
    last_shown = -math.inf

    def on_step(trainer):
        nonlocal last_shown
        now = time.monotonic()
        if now - last_shown >= seconds or trainer.evaluated:
            last_shown = now
            show(trainer)

    return on_step
