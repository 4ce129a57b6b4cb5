"""What a person sees while nets train."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column


class TrainingProgress:
    """A line for each run: bar, steps, loss, training and test error, images per second, time left.

        with TrainingProgress() as progress:
            train(recipe, on_step=progress.follow("resnet20", recipe.iterations))

    Below 100 columns the speed is left out. Where the output is no terminal, there is a line for each
    evaluation instead.
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
        # Where a run was refused before its first step, empty bars would only stand in the way.
        self.bars.live.transient = not any(task.completed for task in self.bars.tasks)
        self.bars.stop()

    def follow(self, name, total):
        """Add a line for a run of `total` steps; returns the function to be called after every step."""
        task = self.bars.add_task(name, total=total, figures="waiting", start=False)
        evaluated = None

        def on_step(trainer):
            nonlocal evaluated
            figures = describe(trainer, speed=self.wide)
            self.bars.start_task(task)
            self.bars.update(task, completed=trainer.state.step, figures=figures)
            row = trainer.history.rows[-1:] or [{}]
            if not self.console.is_terminal and "test_error" in row[0] and row[0] is not evaluated:
                evaluated = row[0]
                self.console.print(f"{name} step {trainer.state.step}/{total}: {figures}", highlight=False)

        return on_step


def describe(trainer, speed=True):
    """Loss, training and test error as of the last rows of the history, and the speed if asked for."""
    state, history = trainer.state, trainer.history
    loss, train_error = history.last("loss"), history.last("train_error")
    if state.image_count:
        loss, train_error = state.loss_sum / state.image_count, 100 * state.error_count / state.image_count
    test_error = history.last("test_error")
    test = "" if test_error is None else f" test {test_error:.2f}%"
    images = f" {trainer.images_per_second:,.0f} images/s" if speed else ""
    return f"loss {loss:.3f} train {train_error:.2f}%{test}{images}"
