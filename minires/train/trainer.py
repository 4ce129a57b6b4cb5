"""The training loop."""

import time
from dataclasses import asdict, dataclass

import numpy as np

from minires.backend import one_thread_per_product
from minires.data import load as load_data
from minires.engine import Tensor, no_grad
from minires.errors import DivergenceError, TrainingInterrupted
from minires.optim import SGD, WeightAverage
from minires.plot import plot_run
from minires.train.build import build_loaders, build_model, measure_input
from minires.train.evaluation import evaluate
from minires.train.hardware import Hardware
from minires.train.history import History
from minires.train.interruption import polite_signals
from minires.train.memory import enough_memory_for, out_of_memory
from minires.train.run_folder import RunFolder


@dataclass
class State:
    """Where a run stands; with weights, velocities, history and recipe all that decides how it goes on."""

    step: int = 0
    lowest_error: float = 100.0  # of the training rows so far, in percent
    loss_sum: float = 0.0  # these three: since the last training row
    error_count: int = 0
    image_count: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Report:
    """How a run stands, for people to watch; None for what has not been measured yet."""

    step: int
    loss: float | None  # these two: since the last training row of the history, or of that row itself
    train_error: float | None  # in percent
    test_error: float | None  # in percent, of the last evaluation
    evaluated: bool  # whether that was after this very step
    images_per_second: float


class Trainer:
    """One run of a recipe.

    recipe: a Recipe; dataset: what data.load(recipe.data, ...) gave; hardware: a Hardware, the CPU if left
    out.
    """

    def __init__(self, recipe, dataset, hardware=None):
        self.recipe, self.dataset = recipe, dataset
        self.model = build_model(recipe, dataset.train.channels, len(dataset.classes))
        self.hardware = (hardware or Hardware()).settled_for(self.model)
        self.input_format = measure_input(recipe, dataset)
        with enough_memory_for("the network and its images", self.hardware.device):
            self.model.to(self.hardware.device)
            self.optimizer = SGD(
                self.model.parameters(),
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
                nesterov=recipe.nesterov,
            )
            self._try_one_image()
        self._prepare_batches()
        self.average = WeightAverage(self.model) if recipe.average_weights else None
        self.folder, self.state, self.history = None, State(), History()
        self.stopping = False

    def keep_in(self, folder, resume=False, overwrite=False):
        """Keep the run in a RunFolder, and go on from the checkpoint there with `resume`."""
        checkpoint = folder.prepare(self.recipe, resume, overwrite, self.hardware)
        self.input_format = folder.same_input(self.input_format)
        self._prepare_batches()
        kept = 0
        if checkpoint is not None:
            saved = folder.load(checkpoint, self.model, self.optimizer, self.average)
            self.state, kept = State(**saved["run"]), saved["history_bytes"]
            self._hand_sums_over()
            for generator, state in zip(self._generators(), saved["generators"], strict=True):
                generator.bit_generator.state = state
        self.history = History(folder.metrics_file, kept)
        self.input_format.save(folder.input_file)  # now that nothing was refused
        self.folder = folder

    def run(self, on_step=None, checkpoint_every=None):
        """Train to the end; `on_step(trainer)` is called after every step, and first where a run is resumed.

        A checkpoint is saved at the end and every `checkpoint_every` steps; left out, every 100 on the CPU,
        every 2,000 on a GPU, which is so much faster. Ctrl-C or stop() finish the step, save, and raise
        TrainingInterrupted. Weights or a loss that are not finite raise DivergenceError.
        """
        self.stopping = False
        checkpoint_every = checkpoint_every or (100 if self.hardware.device == "cpu" else 2000)
        if on_step is not None and self.state.step:
            on_step(self)
        try:
            # NumPy's warnings of overflow say nothing about where; the loss is checked instead.
            quiet = np.errstate(over="ignore", invalid="ignore")
            with polite_signals() as interrupted, quiet, one_thread_per_product(), self.working():
                while self.state.step < self.recipe.iterations:
                    self.step()
                    if on_step is not None:
                        on_step(self)
                    self.stopping = self.stopping or interrupted()
                    if self.state.step % checkpoint_every == 0 or self.stopping:
                        self.save()
                    if self.stopping:
                        self.plot()
                        raise TrainingInterrupted(self.state.step, saved=self.folder is not None)
                self.save()
        except MemoryError as error:
            if self.hardware.device == "cpu":
                raise
            raise out_of_memory(self, error) from error
        finally:
            self.history.close()
        self.plot()

    def step(self):
        """One batch: forward, backward, update; then the rows of the history that are due."""
        start, state, recipe = time.perf_counter(), self.state, self.recipe
        evaluations = self.history.series("test_error")[1] if recipe.schedule == "plateau" else ()
        self.optimizer.lr = recipe.learning_rate_at(state.step, state.lowest_error, evaluations)
        self.training_step.run(state.step)
        state.step += 1
        # The mean of the whole run would hold on to the random weights that it began with.
        if self.average is not None and state.step > recipe.iterations // 2:
            self.average.update()
        state.seconds += time.perf_counter() - start
        if self._due(recipe.log_every) or self._due(recipe.evaluate_every):
            self._collect_sums()
        self._record()

    def stop(self):
        """End the run after this step, in the way of Ctrl-C; for on_step to call."""
        self.stopping = True

    def save(self):
        """Save a checkpoint of this moment."""
        if self.folder is None:
            return
        self._collect_sums()
        for name, array in self.model.state_dict().items():
            self._check_finite(name, array)  # a good checkpoint must not give way to a ruined one
        saved = {
            "run": asdict(self.state),
            "history_bytes": self.history.sync(),
            "generators": [generator.bit_generator.state for generator in self._generators()],
        }
        self.folder.save(self.state.step, self.model, self.optimizer, saved, self.average)

    def plot(self):
        """Draw the curves so far into the folder."""
        if self.folder is not None and self.history.rows:
            plot_run(self.history, self.recipe.model, self.folder.curves_file)

    @property
    def images_per_second(self):
        """Images trained on per second of training, since the run began."""
        return self.state.step * self.recipe.batch_size / max(self.state.seconds, 1e-9)

    @property
    def evaluated(self):
        """Whether there was an evaluation after this very step."""
        row = self.history.rows[-1] if self.history.rows else {}
        return "test_error" in row and row["step"] == self.state.step

    def report(self):
        """A Report of this moment."""
        self._collect_sums()
        state, history = self.state, self.history
        loss, train_error = history.last("loss"), history.last("train_error")
        if state.image_count:
            loss = state.loss_sum / state.image_count
            train_error = 100 * state.error_count / state.image_count
        return Report(
            step=state.step,
            loss=loss,
            train_error=train_error,
            test_error=history.last("test_error"),
            evaluated=self.evaluated,
            images_per_second=self.images_per_second,
        )

    def _try_one_image(self):
        """Let the network refuse images of this size before anything is written."""
        given = self.input_format
        image = np.zeros((1, given.channels, given.size, given.size), np.float32)
        with no_grad(), self.model.evaluating(), self.hardware.in_use():
            self.model(Tensor(image).to(self.hardware.device))

    def _prepare_batches(self):
        self.train_loader = self.test_loader = self.training_step = None  # with what they have on a GPU
        loaders = build_loaders(self.recipe, self.dataset, self.input_format)
        classes = len(self.dataset.classes)
        with enough_memory_for("the network and its images", self.hardware.device):
            self.train_loader, self.test_loader = (self.hardware.loader(one, classes) for one in loaders)
        self.tally = self.hardware.tally(
            lambda value: self._check_finite("loss", value), next(self.model.parameters()).data
        )
        parts = self.model, self.optimizer, self.train_loader, self.tally
        self.recorder = self.hardware.recorder()
        self.training_step = self.hardware.step(*parts, recorder=self.recorder)

    def working(self):
        """The context in which `step` may be called: as the hardware wants to be used."""
        return self.hardware.in_use(self.recorder)

    def _collect_sums(self):
        start, state = time.perf_counter(), self.state
        state.loss_sum, state.error_count, state.image_count = self.tally.read()
        state.seconds += time.perf_counter() - start  # a GPU first ends the steps that it was given

    def _hand_sums_over(self):
        self.tally.set(self.state.loss_sum, self.state.error_count, self.state.image_count)

    def _due(self, every):
        return self.state.step % every == 0 or self.state.step == self.recipe.iterations

    def _record(self):
        state, recipe = self.state, self.recipe
        where = {"step": state.step, "epoch": state.step / len(self.train_loader)}
        if self._due(recipe.log_every):
            error = 100 * state.error_count / state.image_count
            self.history.append(
                **where,
                loss=state.loss_sum / state.image_count,
                train_error=error,
                learning_rate=self.optimizer.lr,
                seconds=round(state.seconds, 3),
            )
            state.lowest_error = min(state.lowest_error, error)
            state.loss_sum, state.error_count, state.image_count = 0.0, 0, 0
            self._hand_sums_over()
        if self._due(recipe.evaluate_every):
            loss, error = evaluate(self.model, self.test_loader, self.average)
            self._check_finite("test loss", loss)
            self.history.append(**where, test_loss=loss, test_error=error)

    def _check_finite(self, what, value):
        """DivergenceError unless the number or array `value` is finite."""
        if np.isfinite(value).all():
            return
        latest = self.folder and self.folder.latest()
        raise DivergenceError(
            f"the {what} became {value if np.isscalar(value) else 'infinite or NaN'} around step "
            f"{self.state.step + 1} (learning rate {self.optimizer.lr:g}); the last checkpoint is "
            f"{latest or 'none'}; try a smaller learning rate"
        )

    def _generators(self):
        """The random generators in the model (dropout's), in definition order."""
        return [g for m in self.model.modules() for _, g in m.named_members(np.random.Generator)]


def train(
    recipe,
    out=None,
    *,
    dataset=None,
    resume=False,
    overwrite=False,
    on_step=None,
    checkpoint_every=None,
    hardware=None,
):
    """Run a recipe, in the folder `out` if given, and return the Trainer with its model and history.

    dataset: what data.load gave, to load it only once. For `resume` and `overwrite` see RunFolder.prepare,
    for `on_step` and `checkpoint_every` see Trainer.run, for `hardware` Trainer. Where the recipe averages
    the weights, the model has those of the last step; it has the mean inside of
    `with trainer.average.in_use():`.
    """
    dataset = load_data(recipe.data, **recipe.data_options) if dataset is None else dataset
    trainer = Trainer(recipe, dataset, hardware)  # refuses what cannot be built, before anything is written
    if out is not None:
        trainer.keep_in(RunFolder(out), resume, overwrite)
    trainer.run(on_step, checkpoint_every)
    return trainer
