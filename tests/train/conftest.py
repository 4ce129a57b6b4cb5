"""Runs that do not draw their curves, unless a test needs them."""

import pytest

from minires.plot import plot_run

PLOT_RUN = "minires.train.trainer.plot_run"


@pytest.fixture(scope="module", autouse=True)
def empty_curves():
    """Runs leave an empty curves.png: drawing it takes longer than most of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PLOT_RUN, lambda history, name, path: path.touch())
        yield


@pytest.fixture
def curves(monkeypatch):
    """Runs draw their curves, as outside of tests."""
    monkeypatch.setattr(PLOT_RUN, plot_run)
