"""Training steps: computed anew each time, or recorded on a GPU and repeated."""

from collections import Counter
from contextlib import nullcontext
from warnings import warn

from minires.backend.cuda.sgd import updates_of
from minires.errors import RecordingError

STEPS_BEFORE_RECORDING = 2  # so that all kernels are compiled and all memory is there


class Step:
    """Takes the batch of a step and trains on it.

    train_on: called as train_on(images, labels); loader: gives the batches.
    working: a function that returns the context in which steps run.
    """

    def __init__(self, train_on, loader, working=nullcontext):
        self.train_on, self.loader, self.working = train_on, loader, working

    def run(self, step):
        """Train on the batch after `step` others."""
        self.train_on(*self.loader.batch(step))


class RecordedStep(Step):
    """The same as a CUDA graph for each size of batch, recorded after that size's first two steps.

    loader: also gives batches in two parts, prepare(step) on the CPU and draw(kind) on the GPU.
    optimizer: the SGD that `train_on` calls. recorder: a backend.cuda.graph.Recorder.
    """

    def __init__(self, train_on, loader, optimizer, recorder):
        super().__init__(train_on, loader, recorder.working)
        self.optimizer, self.recorder = optimizer, recorder
        self.steps_taken, self.recordings, self.tables = Counter(), {}, []

    def run(self, step):
        kind = self.loader.prepare(step)
        self.steps_taken[kind] += 1
        if self.steps_taken[kind] == STEPS_BEFORE_RECORDING + 1:
            self._record(kind)
        if kind in self.recordings:
            updates_of(self.optimizer.workspace).set_rate(self.optimizer.lr)
            self.recordings[kind]()
        else:
            self.train_on(*self.loader.draw(kind))

    def _record(self, kind):
        try:
            self.recordings[kind] = self.recorder.record(lambda: self.train_on(*self.loader.draw(kind)))
        except RecordingError as error:
            warn(f"{error}; training goes on with kernels started one by one", stacklevel=2)
        else:
            # The graph reads its table at every launch, so that the table must live as long.
            self.tables.append(updates_of(self.optimizer.workspace).write_captured())
        # The gradients lie in memory that only recorded steps may use, and that goes when these go.
        self.optimizer.zero_grad()
