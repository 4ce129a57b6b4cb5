"""One training step: forward, backward, update; computed anew each time, or recorded and repeated."""

from collections import Counter
from warnings import warn

from minires.engine import Tensor
from minires.errors import RecordingError
from minires.train.loss import classification_loss

STEPS_BEFORE_RECORDING = 2  # so that all kernels are compiled and all memory is there


class Step:
    """What happens to a batch.

    model, optimizer: a Module and its SGD; loader: gives the batches; tally: a Tally of what comes out.
    """

    def __init__(self, model, optimizer, loader, tally):
        self.model, self.optimizer, self.loader, self.tally = model, optimizer, loader, tally

    def run(self, step):
        """Train on the batch after `step` others."""
        self.compute(*self.loader.batch(step))

    def compute(self, images, labels):
        """Forward, backward, update."""
        loss, logits = classification_loss(self.model(Tensor(images)), labels)
        self.tally.add(loss, logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


class RecordedStep(Step):
    """The same as a CUDA graph for each size of batch, recorded after that size's first two steps.

    loader: also gives batches in two parts, prepare(step) on the CPU and draw(kind) on the GPU.
    recorder: a backend.cuda.graph.Recorder.
    """

    def __init__(self, model, optimizer, loader, tally, recorder):
        super().__init__(model, optimizer, loader, tally)
        self.recorder = recorder
        self.taken, self.recordings, self.kept = Counter(), {}, []

    def run(self, step):
        kind = self.loader.prepare(step)
        self.taken[kind] += 1
        if self.taken[kind] == STEPS_BEFORE_RECORDING + 1:
            self._record(kind)
        if kind in self.recordings:
            self.optimizer.before_repeating()
            self.recordings[kind]()
        else:
            self.compute(*self.loader.draw(kind))

    def _record(self, kind):
        try:
            self.recordings[kind] = self.recorder.record(lambda: self.compute(*self.loader.draw(kind)))
        except RecordingError as error:
            warn(f"{error}; training goes on with kernels started one by one", stacklevel=2)
        else:
            self.kept.append(self.optimizer.after_recording())
        # The gradients lie in memory that only recorded steps may use, and that goes when these go.
        self.optimizer.zero_grad()
