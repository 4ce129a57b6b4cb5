"""Training steps: computed anew each time, or recorded on a GPU and repeated."""

from collections import Counter
from contextlib import nullcontext
from warnings import warn

from minires.backend.cuda.sgd import recordable_updates
from minires.errors import RecordingError

STEPS_BEFORE_RECORDING = (
    2  # so that all kernels are compiled, and the memory that outlives a step is allocated
)


class StepRunner:
    """Runs training steps: takes the batch of a step and trains on it.

    train_on_batch: called as train_on_batch(images, labels); loader: gives the batches.
    working: a function that returns the context in which steps run.
    """

    def __init__(self, train_on_batch, loader, working=nullcontext):
        self.train_on_batch, self.loader, self.working = train_on_batch, loader, working

    def run(self, step):
        """Train on batch `step`, counted from 0."""
        self.train_on_batch(*self.loader.batch(step))


class RecordingStepRunner(StepRunner):
    """Records a step as a CUDA graph after the first two steps of each size of batch, and then repeats it.

    It starts anew when an option of the optimizer has changed, other than a learning rate.

    loader: also makes a batch in two parts: prepare(step) on the CPU, which returns the batch's size (a
        number of images or a shape), and draw(batch_size) on the GPU.
    optimizer: the SGD that `train_on_batch` calls. recorder: a backend.cuda.graph.Recorder.
    """

    def __init__(self, train_on_batch, loader, optimizer, recorder):
        super().__init__(train_on_batch, loader, recorder.working)
        self.optimizer, self.recorder = optimizer, recorder
        self._forget_recordings()

    def run(self, step):
        batch_size = self.loader.prepare(step)
        if recorded_options(self.optimizer) != self.options:
            self.recorder.stream.synchronize()  # it may be repeating a recording
            self._forget_recordings()
        self.steps_taken[batch_size] += 1
        if self.steps_taken[batch_size] == STEPS_BEFORE_RECORDING + 1:
            self._record(batch_size)
        if batch_size in self.recordings:
            self._set_rates()
            self.recordings[batch_size]()
            for parameter in self.optimizer.params:
                parameter.changed()
        else:
            self.train_on_batch(*self.loader.draw(batch_size))

    def _record(self, batch_size):
        try:
            self.recordings[batch_size] = self.recorder.record(
                lambda: self.train_on_batch(*self.loader.draw(batch_size))
            )
        except RecordingError as error:
            warn(f"{error}; training goes on with kernels started one by one", stacklevel=2)
        else:
            # The graph reads its table at every launch, so the table must live as long as the graph.
            self.tables += [updates.write_captured_tables() for _, updates in self._updates()]
        # The gradients lie in memory that belongs to the recordings and is freed with them.
        self.optimizer.zero_grad()

    def _set_rates(self):
        self.optimizer.check_options()  # a recorded step does not
        for group, updates in self._updates():
            updates.set_rate(group["lr"])

    def _updates(self):
        """(group, its RecordableUpdates) for the optimizer's groups of parameters that are not empty."""
        groups, workspaces = enumerate(self.optimizer.param_groups), self.optimizer.workspaces
        return [(group, recordable_updates(workspaces[i])) for i, group in groups if group["params"]]

    def _forget_recordings(self):
        self.options = recorded_options(self.optimizer)
        self.steps_taken, self.recordings, self.tables = Counter(), {}, []


def recorded_options(optimizer):
    """What a recorded step repeats of each group of parameters: all but the learning rate."""
    names = ("momentum", "weight_decay", "nesterov")
    return [(*map(id, group["params"]), *(group[name] for name in names)) for group in optimizer.param_groups]
