"""Watching a run without holding it up: its Report, and how often to ask for one."""

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """How a run stands at one moment; None for what has not been measured yet."""

    step: int
    loss: float | None  # these two: since the last training row of the history, or of that row itself
    train_error: float | None  # in percent
    test_error: float | None  # in percent, of the last evaluation
    evaluated: bool  # whether that was after this very step
    images_per_second: float


def now_and_then(show, seconds=0.1):
    """An on_step for train(): show(trainer), at most once in so many seconds, and after every evaluation.

    A GPU has to finish what it was given before it can be asked how things stand.
    """
    shown = -math.inf

    def on_step(trainer):
        nonlocal shown
        now = time.monotonic()
        if now - shown >= seconds or trainer.evaluated:
            shown = now
            show(trainer)

    return on_step
