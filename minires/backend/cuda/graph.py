"""Work recorded once and repeated by the GPU alone: CUDA graphs.

A training step of ResNet-20 is some two hundred kernels of a few microseconds each. Starting one from Python
takes longer than running it. So the step is recorded: an ordinary run of the Python code in which nothing is
computed, every kernel and every copy only noted down with its addresses. From then on one call repeats all of
it. What changes from step to step, the learning rate, the images, the random numbers, must therefore be read
from the GPU's memory, at addresses that stay; nothing may be asked of the GPU or sent to it on the way.
"""

from contextlib import contextmanager, suppress

from minires.backend.device import load_cupy
from minires.errors import RecordingError


class Recorder:
    """A stream to work on, and memory that belongs to what is recorded there.

    Whatever a recorded step allocates and frees comes from a pool of its own. It writes there each time that
    it is repeated; so nothing else may lie there, and nothing that is to last longer than a step.
    """

    def __init__(self):
        # Not the default stream, which cannot be recorded; and one that does not wait for that.
        self.stream = load_cupy().cuda.Stream(non_blocking=True)
        self.pool, self.recordings = new_pool(), 0

    @contextmanager
    def working(self):
        """Do everything inside on this stream, after all that was begun before; at the end, wait for it.

        Streams know nothing of each other: what is loaded on one may not be there yet for another.
        """
        load_cupy().cuda.Device().synchronize()
        try:
            with self.stream:
                yield
        finally:
            self.stream.synchronize()

    def record(self, work):
        """A function without arguments that repeats what `work()` does, at the same addresses.

        To be called inside of `working`, and so is that function. Nothing is computed yet. Whatever `work`
        needs compiled must have run before. Raises RecordingError if it does what cannot be recorded.
        """
        cupy = load_cupy()
        cupy.get_default_memory_pool().free_all_blocks()  # what steps needed so far
        self.stream.begin_capture()
        try:
            with cupy.cuda.using_allocator(self.pool.malloc):
                work()
            graph = self.stream.end_capture()
        except Exception as error:
            self._give_up()
            raise RecordingError(f"this step cannot be recorded: {error}") from error
        self.recordings += 1
        return lambda: graph.launch(self.stream)

    def _give_up(self):
        """End a recording that has failed, so that the stream and the memory can be used again."""
        with suppress(load_cupy().cuda.runtime.CUDARuntimeError):  # that the recording is of no use
            self.stream.end_capture()
        if not self.recordings:
            self.pool = new_pool()


def new_pool():
    """A pool that never gives memory back while it lives.

    CuPy's own, when the GPU is full, gives back what is free in it and tries again. In a recording "free" is
    what a step does not need any more at that point: each repetition will write there.
    """
    return load_cupy().cuda.MemoryPool(_new_memory)


def _new_memory(size):
    cuda = load_cupy().cuda
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:  # after which the pool would try again
        raise MemoryError(f"out of memory, where {size:,} more bytes are needed") from error
