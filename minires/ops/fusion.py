"""Batch norm, the addition and the ReLU behind it as one operation.

Models say relu(bn(x) + z). Computed one after the other, each of the three writes a whole map to memory that
the next one reads again, and memory is slower than arithmetic. So the result of batch norm stays open at
first: it knows its shape, and how to become numbers when somebody asks for them. An addition or a ReLU does
not ask; it joins, and one sweep over the map computes all three.
"""

from copy import copy

from minires.engine import Function, Tensor
from minires.engine.function import as_tensors, recording


class OpenTensor(Tensor):
    """A tensor whose numbers are computed when they are first looked at.

    op: the Joinable that computes it; like: an array of its shape and dtype; compute: returns its array.
    """

    def __init__(self, op, like, compute):
        self.op, self.compute = op, compute
        self.inputs = None
        self.recorded = recording.get()
        self.requires_grad, self.grad, self.creator = False, None, None
        self._shape, self._dtype = like.shape, like.dtype

    @property
    def data(self):
        if self.compute is not None:
            self._array = self.compute()
            self.op = self.inputs = self.compute = None
        return self._array

    @data.setter
    def data(self, array):
        self.op = self.inputs = self.compute = None
        self._array = array.data if isinstance(array, Tensor) else array

    @property
    def shape(self):
        return self._shape if self.compute is not None else self.data.shape

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def dtype(self):
        return self._dtype if self.compute is not None else self.data.dtype

    def join(self, *more, **options):
        """The operation over again, with more inputs and options; None once its numbers exist."""
        if self.compute is None or self.recorded != recording.get():
            return None
        op = copy(self.op)
        op.inputs = ()
        vars(op).update(options)
        return op(*self.inputs, *more)


class Joinable(Function):
    """A function of one map and its parameters, whose `forward` may return an OpenTensor.

    An addition that joins appends the other map to the inputs, a ReLU sets `relu`; `joined` tells forward
    that the first call has done the rest already.
    """

    joined = relu = False

    def __call__(self, *inputs):
        y = super().__call__(*inputs)
        if isinstance(y, OpenTensor):
            y.inputs = as_tensors(inputs)
        return y


def join_add(a, b):
    """a + b where one of them is open and can take the other, a map of its shape and dtype; else None."""
    for x, z in ((a, b), (b, a)):
        if (
            isinstance(x, OpenTensor)
            and isinstance(z, Tensor)
            and (x.shape, x.dtype) == (z.shape, z.dtype)
            and x.inputs is not None
            and len(x.inputs) == 3
        ):
            return x.join(z, joined=True)
    return None


def join_relu(x):
    """max(x, 0) where x is open; else None."""
    return x.join(joined=True, relu=True) if isinstance(x, OpenTensor) else None
