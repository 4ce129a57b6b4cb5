"""The tensors that a module owns."""

import numpy as np

from minires.engine import Tensor
from minires.options import refuse_unless_default

NO_DATA = np.zeros(0, np.float32)


class Parameter(Tensor):
    """A tensor that training changes. Without data it is empty, as in PyTorch."""

    def __init__(self, data=None, requires_grad=True):
        super().__init__(NO_DATA if data is None else data, requires_grad)


class Buffer(Tensor):
    """A tensor that is part of a module's state but not trained: batch norm's running statistics.

    Without data it is empty, as in PyTorch.
    """

    def __init__(self, data=None, *, persistent=True, dtype=None):
        refuse_unless_default("Buffer", persistent=(persistent, True))
        super().__init__(NO_DATA if data is None else data, dtype=dtype)

    @classmethod
    def of(cls, tensor):
        """A buffer with the array and the history of a tensor."""
        buffer = cls(tensor)
        buffer.requires_grad, buffer.grad, buffer.creator = tensor.requires_grad, tensor.grad, tensor.creator
        return buffer
