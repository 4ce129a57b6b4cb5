"""Figures, from histories and results. matplotlib's figures are used directly, without a global state."""

from minires.plot.curves import plot_run, plot_runs
from minires.plot.degradation import plot_degradation
from minires.plot.prediction import plot_guesses
from minires.plot.scaling import plot_scaling
from minires.plot.shift import plot_shift

__all__ = ["plot_degradation", "plot_guesses", "plot_run", "plot_runs", "plot_scaling", "plot_shift"]
