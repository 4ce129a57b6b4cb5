"""CUDA graphs: work that is recorded once and then repeated by the GPU alone.

A training step of ResNet-20 is some two hundred kernels of a few microseconds each. Starting a kernel from
Python takes longer than running it. Therefore the step is recorded: the Python code runs as usual, but
nothing is computed; every kernel and every copy is only noted down, with its addresses. From then on, one
call repeats the whole step. The learning rate, the images and the random numbers change from step to step.
A recorded step must read them from the GPU's memory, at addresses that stay the same. It may neither read
anything back from the GPU nor send anything to it.
"""

from contextlib import contextmanager, suppress

from minires.backend.device import load_cupy
from minires.errors import RecordingError


class Recorder:
    """A stream to work on, and a pool of memory for the steps that are recorded on it.

    A recorded step takes all its memory from this pool, and writes to it each time that it is repeated. So
    nothing else may use that memory, and nothing in it may be needed after the step.
    """

    def __init__(self):
        # The default stream cannot be recorded. A non-blocking stream also does not wait for it.
        self.stream = load_cupy().cuda.Stream(non_blocking=True)
        self.pool, self.recordings = new_pool(), 0

    @contextmanager
    def working(self):
        """Inside of `with recorder.working():` all work goes to this stream.

        Before, it waits for all work of all streams, because streams do not wait for each other: data that
        one stream loads may not be complete when another one reads it. At the end it waits for this stream.
        """
        load_cupy().cuda.Device().synchronize()
        try:
            with self.stream:
                yield
        finally:
            self.stream.synchronize()

    def record(self, work):
        """Record what `work()` does; return a function without arguments that repeats it.

        Both `record` and the returned function are to be called inside of `working`. Recording computes
        nothing. All kernels that `work` starts must have been compiled before.
        Raises RecordingError if `work` does something that cannot be recorded.
        """
        cupy = load_cupy()
        cupy.get_default_memory_pool().free_all_blocks()  # the memory of the steps before the recording
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
        with suppress(load_cupy().cuda.runtime.CUDARuntimeError):  # it says that the recording has failed
            self.stream.end_capture()
        if not self.recordings:
            self.pool = new_pool()


def new_pool():
    """A pool of memory that returns nothing to the GPU while it exists.

    When the GPU's memory is full, CuPy's own pool returns its free memory to the GPU and tries again. During
    a recording it must not do that: the memory that is free in the pool is memory that the step has used so
    far, and each repetition writes to it.
    """
    return load_cupy().cuda.MemoryPool(_new_memory)


def _new_memory(size):
    cuda = load_cupy().cuda
    try:
        return cuda.MemoryPointer(cuda.Memory(size), 0)
    except cuda.runtime.CUDARuntimeError as error:  # at this error the pool would return its free memory
        raise MemoryError(f"out of memory: {size:,} more bytes are needed") from error
