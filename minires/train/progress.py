"""The progress that the terminal shows while nets train."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from minires.train.reports import throttled


class TrainingProgress:
    """A line for each run: bar, steps, loss, training and test error, images per second, time left.

        with TrainingProgress() as progress:
            train(recipe, on_step=progress.follow("resnet20", recipe.iterations))

    Below 100 columns the images per second are left out. If the output is not a terminal, there is a line for
    each evaluation instead.
    """

    def __init__(self, console=None):
        self.console = console or Console()
        self.wide = self.console.width >= 100
        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=20 if self.wide else 6),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=not self.wide, table_column=Column(no_wrap=True)),
        )
        self.bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)

    def __enter__(self):
        self.bars.start()
        return self

    def __exit__(self, *_):
        # If an error came before the first step, the empty bars are removed from the terminal.
        self.bars.live.transient = not any(task.completed for task in self.bars.tasks)
        self.bars.stop()

    def follow(self, name, steps):
        """Add a line for a run of so many steps; returns the on_step for train()."""
        show = self.line(name, steps)
        return throttled(lambda trainer: show(trainer.report()))

    def line(self, name, steps):
        """Add a line for a run in another process; returns the function to call with its Reports."""
        task = self.bars.add_task(name, total=steps, figures="waiting", start=False)

        def show(report):
            figures = describe(report, speed=self.wide)
            self.bars.start_task(task)
            self.bars.update(task, completed=report.step, figures=figures)
            if not self.console.is_terminal and report.evaluated:
                self.console.print(f"{name} step {report.step}/{steps}: {figures}", highlight=False)

        return show


def describe(report, speed=True):
    """A Report in words; with the images per second if `speed` is true."""
    test = "" if report.test_error is None else f" test {report.test_error:.2f}%"
    images = f" {report.images_per_second:,.0f} images/s" if speed else ""
    return f"loss {report.loss:.3f} train {report.train_error:.2f}%{test}{images}"
