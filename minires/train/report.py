"""Report: how a run stands, for people to watch."""

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
