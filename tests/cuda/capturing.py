"""`with Capturing(cupy) as captured: ...`, and afterwards `captured.graph`."""


class Capturing:
    """What is inside is written down, on memory of a pool of its own."""

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
        """What was written down; raises the error instead if that makes no graph."""
        if self._error:
            raise self._error
        return self._graph
