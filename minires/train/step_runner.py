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

    loader: also makes a batch in two parts: prepare(step) on the CPU, which returns the batch's size (a
        number of images or a shape), and draw(batch_size) on the GPU.
    optimizer: the SGD that `train_on_batch` calls. recorder: a backend.cuda.graph.Recorder.
    """

    def __init__(self, train_on_batch, loader, optimizer, recorder):
        super().__init__(train_on_batch, loader, recorder.working)
        self.optimizer, self.recorder = optimizer, recorder
        self.steps_taken, self.recordings, self.tables = Counter(), {}, []

    def run(self, step):
        batch_size = self.loader.prepare(step)
        self.steps_taken[batch_size] += 1
        if self.steps_taken[batch_size] == STEPS_BEFORE_RECORDING + 1:
            self._record(batch_size)
        if batch_size in self.recordings:
            recordable_updates(self.optimizer.workspace).set_rate(self.optimizer.lr)
            self.recordings[batch_size]()
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
            self.tables.append(recordable_updates(self.optimizer.workspace).write_captured_tables())
        # The gradients lie in memory that belongs to the recordings and is freed with them.
        self.optimizer.zero_grad()
