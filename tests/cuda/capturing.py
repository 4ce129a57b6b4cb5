"""Captures a CUDA graph: `with Capturing(cupy) as captured: ...`, and afterwards `captured.graph`."""


class Capturing:
    """The work inside of the context is captured, on memory of a separate pool."""

    def __init__(self, cupy, non_blocking=True):
        self.cupy, self.pool = cupy, cupy.cuda.MemoryPool()
        self.stream = cupy.cuda.Stream(non_blocking=non_blocking)

    def __enter__(self):
        self.allocator = self.cupy.cuda.using_allocator(self.pool.malloc)
        self.allocator.__enter__()
        self.stream.__enter__()
        self.stream.begin_capture()
        return self

    def __exit__(self, *_):
        self._graph = self._error = None
        try:
            self._graph = self.stream.end_capture()
        except RuntimeError as error:
            self._error = error
        self.stream.__exit__()
        self.allocator.__exit__(None, None, None)

    @property
    def graph(self):
        """The captured graph; raises the error of the capture if it failed."""
        if self._error:
            raise self._error
        return self._graph
