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
from minires.train.interruption import deferred_signals
from minires.train.loss import classification_loss
from minires.train.out_of_memory import enough_memory_for, enough_memory_for_steps
from minires.train.reports import Report
from minires.train.run_folder import RunFolder
from minires.train.running_sums import Sums


def train_on_batch(images, labels, model, optimizer, sums):
    """Train the model on one batch. `sums`: the RunningSums to which the batch is added."""
    loss, logits = classification_loss(model(Tensor(images)), labels)
    sums.add(loss, logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@dataclass
class State:
    """How far a run has come. A checkpoint holds it with all else that determines the steps to come."""

    step: int = 0
    lowest_error: float = 100.0  # of the history's training errors so far, in percent
    seconds: float = 0.0


class Trainer:
    """One run of a recipe.

    recipe: a Recipe; dataset: the Dataset that data.load(recipe.data, ...) returned; hardware: a Hardware,
    the CPU if left out.
    folder: the path, or the RunFolder, to keep the run in. `resume` goes on from the checkpoint there,
        `overwrite` deletes an earlier run there. Nothing is written before everything is built.
    """

    def __init__(self, recipe, dataset, hardware=None, folder=None, *, resume=False, overwrite=False):
        self.recipe, self.dataset, self.folder = recipe, dataset, None
        if folder is not None:
            folder = RunFolder(folder)
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
        self._prepare_steps()
        self.average = WeightAverage(self.model) if recipe.average_weights else None
        self.state, self.history = State(), History()
        self.stopping = False
        if folder is not None:
            self._open(folder, resume, overwrite)

    def run(self, on_step=None, checkpoint_every=None):
        """Train to the end; `on_step(trainer)` is called after each step, and at the start of a resumed run.

        A checkpoint is saved at the end and every `checkpoint_every` steps, by default every 100 on the CPU,
        every 2,000 on a GPU. After Ctrl-C, SIGTERM or stop() it finishes the step, saves, and raises
        TrainingInterrupted. It raises DivergenceError if a loss or, at a checkpoint, the weights are not
        finite.
        """
        self.stopping = False
        checkpoint_every = checkpoint_every or self.hardware.checkpoint_every
        if on_step is not None and self.state.step:
            on_step(self)
        try:
            with (
                enough_memory_for_steps(self),
                deferred_signals() as interrupted,
                # NumPy's overflow warnings do not say in which step; the loss is checked instead.
                np.errstate(over="ignore", invalid="ignore"),
                one_thread_per_product(),
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
        """Train on one batch: forward, backward, update. Then append the rows of the history that are due."""
        start, state, recipe = time.perf_counter(), self.state, self.recipe
        evaluations = self.history.series("test_error")[1] if recipe.schedule == "plateau" else ()
        self.optimizer.lr = recipe.learning_rate_at(state.step, state.lowest_error, evaluations)
        self.step_runner.run(state.step)
        state.step += 1
        # A mean over the whole run would include the random weights of its beginning.
        if self.average is not None and state.step > recipe.iterations // 2:
            self.average.update()
        state.seconds += time.perf_counter() - start
        self._record()

    def stop(self):
        """End the run after this step, as Ctrl-C does. An on_step function may call it."""
        self.stopping = True

    def save(self):
        """Save a checkpoint of the current state, if the run has a folder."""
        if self.folder is None:
            return
        sums = self._read_sums()
        for name, array in self.model.state_dict().items():
            self._check_finite(name, array)  # NaN must not replace a good checkpoint
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
        """Deprecated: write Trainer(..., folder=folder). Gives the run its folder, with a warning."""
        warn("Trainer.keep_in: write Trainer(..., folder=folder) instead", DeprecationWarning, stacklevel=2)
        folder.check(self.recipe, resume, overwrite)
        if resume:
            self.input_format = folder.same_input(self.input_format)
            self._prepare_steps()
        self._open(folder, resume, overwrite)

    @property
    def images_per_second(self):
        """Images trained on per second of training, since the run began."""
        return self.state.step * self.recipe.batch_size / max(self.state.seconds, 1e-9)

    @property
    def evaluated(self):
        """Whether the latest step was followed by an evaluation."""
        row = self.history.rows[-1] if self.history.rows else {}
        return "test_error" in row and row["step"] == self.state.step

    def report(self):
        """A Report of the current state."""
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
        """Let the network refuse images of this size before a file is written."""
        side = self.input_format.size
        image = np.zeros((1, self.input_format.channels, side, side), np.float32)
        with no_grad(), self.model.evaluating(), self.hardware.in_use():
            self.model(Tensor(image).to(self.hardware.device))

    def _prepare_steps(self):
        """Make the loaders, with their batches on the network's device, the sums and the step runner."""
        self.train_loader = self.test_loader = self.step_runner = None  # frees the GPU memory of older ones
        loaders = build_loaders(self.recipe, self.dataset, self.input_format)
        classes = len(self.dataset.classes)
        with enough_memory_for("the network and its images", self.hardware.device):
            self.train_loader, self.test_loader = (self.hardware.loader(one, classes) for one in loaders)
        self.sums = self.hardware.running_sums(self._check_loss, next(self.model.parameters()).data)
        train_model = partial(train_on_batch, model=self.model, optimizer=self.optimizer, sums=self.sums)
        self.step_runner = self.hardware.step_runner(train_model, self.train_loader, self.optimizer)

    def _open(self, folder, resume, overwrite):
        """Keep the run in the folder from now on, and go on from the checkpoint there, if there is one."""
        checkpoint, history_bytes = folder.prepare(self.recipe, resume, overwrite, self.hardware), 0
        if checkpoint is not None:
            saved = folder.load(checkpoint, self.model, self.optimizer, self.average)
            run, history_bytes = saved["run"], saved["history_bytes"]
            self.sums.write(Sums(**{name: run.pop(name) for name in Sums._fields}))
            self.state = State(**run)
            for generator, state in zip(self._generators(), saved["generators"], strict=True):
                generator.bit_generator.state = state
        self.history = History(folder.metrics_file, history_bytes)
        self.input_format.save(folder.input_file)  # only after the folder and its checkpoint were accepted
        self.folder = folder

    @contextmanager
    def working(self):
        """The context in which `step` is called: the hardware's kernels, and a GPU's stream."""
        with self.hardware.in_use(), self.step_runner.working():
            yield

    def _read_sums(self):
        """The Sums since the last training row."""
        start = (
            time.perf_counter()
        )  # read() waits until a GPU has finished its steps, so the wait is training time
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
        position = {"step": state.step, "epoch": state.step / len(self.train_loader)}
        if log:
            self.history.append(
                **position,
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
            self.history.append(**position, test_loss=loss, test_error=error)

    def _check_loss(self, loss):
        self._check_finite("loss", loss)

    def _check_finite(self, name, value):
        """DivergenceError unless the number or array `value` is finite."""
        if np.isfinite(value).all():
            return
        latest = self.folder and self.folder.latest()
        raise DivergenceError(
            f"the {name} became {value if np.isscalar(value) else 'infinite or NaN'} around step "
            f"{self.state.step + 1} (learning rate {self.optimizer.lr:g}); try a smaller learning rate; "
            + (f"the last checkpoint is {latest}" if latest else "there is no checkpoint")
        )

    def _generators(self):
        """The random generators in the model (dropout's), in the order of its modules."""
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

    dataset: the Dataset, if it is loaded already. For `resume` and `overwrite` see RunFolder.check,
    for `on_step` and `checkpoint_every` see Trainer.run, for `hardware` Trainer. Where the recipe averages
    the weights, the model has those of the last step; it has the mean inside of
    `with trainer.average.in_use():`.
    """
    dataset = load_data(recipe.data, **recipe.data_options) if dataset is None else dataset
    trainer = Trainer(recipe, dataset, hardware, out, resume=resume, overwrite=overwrite)
    trainer.run(on_step, checkpoint_every)
    return trainer
