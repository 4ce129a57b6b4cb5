"""The training loop."""

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from warnings import warn

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
from minires.train.loss import classification_loss
from minires.train.out_of_memory import enough_memory_for, enough_memory_for_steps
from minires.train.run_folder import RunFolder
from minires.train.running_sums import Sums
from minires.train.watching import Report


def forward_backward_step(images, labels, model, optimizer, sums):
    """What one batch does to a network. `sums`: the RunningSums that count it."""
    loss, logits = classification_loss(model(Tensor(images)), labels)
    sums.add(loss, logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@dataclass
class State:
    """Where a run stands. With recipe, weights, velocities, sums and history it decides how it goes on."""

    step: int = 0
    lowest_error: float = 100.0  # of the training rows so far, in percent
    seconds: float = 0.0


class Trainer:
    """One run of a recipe.

    recipe: a Recipe; dataset: what data.load(recipe.data, ...) gave; hardware: a Hardware, the CPU if left
    out.
    folder: the RunFolder to keep the run in. `resume` goes on from the checkpoint there, `overwrite` starts
        anew; see RunFolder.prepare. Nothing is written before everything is built.
    """

    def __init__(self, recipe, dataset, hardware=None, folder=None, *, resume=False, overwrite=False):
        self.recipe, self.dataset, self.folder = recipe, dataset, None
        if folder is not None:
            folder.check(recipe, resume, overwrite)
        self.model = build_model(recipe, dataset.train.channels, len(dataset.classes))
        self.hardware = (hardware or Hardware.choose()).for_model(self.model)
        self.input_format = measure_input(recipe, dataset)
        if folder is not None and resume:
            self.input_format = folder.same_input(self.input_format)
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
        self.state, self.history = State(), History()
        self.stopping = False
        if folder is not None:
            self._open(folder, resume, overwrite)

    def run(self, on_step=None, checkpoint_every=None):
        """Train to the end; `on_step(trainer)` is called after every step, and first where a run is resumed.

        A checkpoint is saved at the end and every `checkpoint_every` steps; left out, every 100 on the CPU,
        every 2,000 on a GPU. Ctrl-C or stop() finish the step, save, and raise
        TrainingInterrupted. Weights or a loss that are not finite raise DivergenceError.
        """
        self.stopping = False
        checkpoint_every = checkpoint_every or self.hardware.checkpoint_every
        if on_step is not None and self.state.step:
            on_step(self)
        try:
            with (
                polite_signals() as interrupted,
                # NumPy's warnings of overflow say nothing about where; the loss is checked instead.
                np.errstate(over="ignore", invalid="ignore"),
                one_thread_per_product(),
                enough_memory_for_steps(self),
                self.working(),
            ):
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
        self._record()

    def stop(self):
        """End the run after this step, in the way of Ctrl-C; for on_step to call."""
        self.stopping = True

    def save(self):
        """Save a checkpoint of this moment."""
        if self.folder is None:
            return
        sums = self._read_sums()
        for name, array in self.model.state_dict().items():
            self._check_finite(name, array)  # a good checkpoint must not give way to a ruined one
        saved = {
            "run": asdict(self.state) | sums._asdict(),
            "history_bytes": self.history.sync(),
            "generators": [generator.bit_generator.state for generator in self._generators()],
        }
        self.folder.save(self.state.step, self.model, self.optimizer, saved, self.average)

    def plot(self):
        """Draw the curves so far into the folder."""
        if self.folder is not None and self.history.rows:
            plot_run(self.history, self.recipe.model, self.folder.curves_file)

    def keep_in(self, folder, resume=False, overwrite=False):
        """The old way to give a run its folder: as Trainer(..., folder=folder), with a warning."""
        warn("Trainer.keep_in: write Trainer(..., folder=folder) instead", DeprecationWarning, stacklevel=2)
        folder.check(self.recipe, resume, overwrite)
        if resume:
            self.input_format = folder.same_input(self.input_format)
            self._prepare_batches()
        self._open(folder, resume, overwrite)

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
        sums, history = self._read_sums(), self.history
        return Report(
            step=self.state.step,
            loss=sums.loss if sums.image_count else history.last("loss"),
            train_error=sums.error if sums.image_count else history.last("train_error"),
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
        """The batches to train and to test on, where the network is, and what trains on them."""
        self.train_loader = self.test_loader = self.training_step = None  # with what they have on a GPU
        loaders = build_loaders(self.recipe, self.dataset, self.input_format)
        classes = len(self.dataset.classes)
        with enough_memory_for("the network and its images", self.hardware.device):
            self.train_loader, self.test_loader = (self.hardware.loader(one, classes) for one in loaders)
        self.sums = self.hardware.running_sums(self._check_loss, next(self.model.parameters()).data)
        work = partial(forward_backward_step, model=self.model, optimizer=self.optimizer, sums=self.sums)
        self.training_step = self.hardware.step(work, self.train_loader, self.optimizer)

    def _open(self, folder, resume, overwrite):
        """Make the folder this run's, and go on from the checkpoint there, if there is one."""
        checkpoint, kept = folder.prepare(self.recipe, resume, overwrite, self.hardware), 0
        if checkpoint is not None:
            saved = folder.load(checkpoint, self.model, self.optimizer, self.average)
            run, kept = saved["run"], saved["history_bytes"]
            self.sums.write(Sums(**{name: run.pop(name) for name in Sums._fields}))
            self.state = State(**run)
            for generator, state in zip(self._generators(), saved["generators"], strict=True):
                generator.bit_generator.state = state
        self.history = History(folder.metrics_file, kept)
        self.input_format.save(folder.input_file)  # now that nothing was refused
        self.folder = folder

    @contextmanager
    def working(self):
        """The context in which `step` may be called: as the hardware wants to be used."""
        with self.hardware.in_use(), self.training_step.working():
            yield

    def _read_sums(self):
        """The Sums since the last training row."""
        start = time.perf_counter()  # a GPU first ends the steps that it was given, and that is training time
        sums = self.sums.read()
        self.state.seconds += time.perf_counter() - start
        return sums

    def _due(self, interval):
        return self.state.step % interval == 0 or self.state.step == self.recipe.iterations

    def _record(self):
        """Append the rows of the history that are due."""
        state, recipe = self.state, self.recipe
        log, test = self._due(recipe.log_every), self._due(recipe.evaluate_every)
        if not (log or test):
            return
        sums = self._read_sums()
        where = {"step": state.step, "epoch": state.step / len(self.train_loader)}
        if log:
            self.history.append(
                **where,
                loss=sums.loss,
                train_error=sums.error,
                learning_rate=self.optimizer.lr,
                seconds=round(state.seconds, 3),
            )
            state.lowest_error = min(state.lowest_error, sums.error)
            self.sums.write(Sums())
        if test:
            loss, error = evaluate(self.model, self.test_loader, self.average)
            self._check_finite("test loss", loss)
            self.history.append(**where, test_loss=loss, test_error=error)

    def _check_loss(self, loss):
        self._check_finite("loss", loss)

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
    folder = None if out is None else RunFolder(out)
    trainer = Trainer(recipe, dataset, hardware, folder, resume=resume, overwrite=overwrite)
    trainer.run(on_step, checkpoint_every)
    return trainer
