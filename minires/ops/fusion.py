"""A convolution, its batch norm, the addition and the ReLU behind them as one operation, or as two.

Models say relu(bn(conv(x)) + z). Computed one after the other, each of them writes a whole map to memory that
the next one reads again, and memory is slower than arithmetic. So inside of a module's forward a result may
stay open at first: it knows its shape, and how to become numbers when somebody asks for them. What follows
does not ask; it joins, and one sweep over the map computes all of it. Batch norm's result takes an addition
and a ReLU. A convolution's stays open only where nothing is recorded, and also takes a batch norm of given
statistics, which is a factor and a shift for each channel.

On a GPU the result of a batch norm and its ReLU stays open even then: the convolution that comes next reads
the map that went into the batch norm, and does both on the way (normalized_conv.py).

When the outermost module is done, all that is still open is computed, for whoever has kept it: an array that
is changed in place changes no result from before. A convolution's result that is needed for itself after
something has joined it is computed once more.
"""

from contextvars import ContextVar
from copy import copy
from weakref import ref

from minires.engine import Function, Tensor
from minires.engine.function import as_tensors, recording

_opened = ContextVar("opened", default=None)  # inside of a module: weak references to what was left open


def as_a_whole(forward, /, *inputs, **options):
    """forward(*inputs, **options), inside of which results may stay open."""
    if _opened.get() is not None:
        return forward(*inputs, **options)
    opened = []
    token = _opened.set(opened)
    try:
        y = forward(*inputs, **options)
    finally:
        _opened.reset(token)
    for tensor in opened:
        if tensor() is not None:
            tensor().close()
    return y


class OpenTensor(Tensor):
    """A tensor whose numbers are computed when they are first looked at.

    op: the Joinable that computes it; compute: returns its array, which has this shape and dtype.
    """

    def __init__(self, op, compute, shape, dtype):
        self.op, self.compute = op, compute
        self.inputs = None
        self.recorded = recording.get()
        self.requires_grad, self.grad, self.creator = False, None, None
        self._shape, self._dtype = shape, dtype

    @property
    def is_open(self):
        return self.compute is not None

    def close(self):
        """Compute the numbers now."""
        if self.is_open:
            self.data = self.compute()

    @property
    def data(self):
        self.close()
        return self._array

    @data.setter
    def data(self, array):
        self.op = self.inputs = self.compute = None
        self._array = array.data if isinstance(array, Tensor) else array

    @property
    def shape(self):
        return self._shape if self.is_open else self.data.shape

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def dtype(self):
        return self._dtype if self.is_open else self.data.dtype

    def join(self, *more, **options):
        """The operation over again, with more inputs and options; None once its numbers exist."""
        if not self.is_open or self.op.relu or self.recorded != recording.get():
            return None
        op = copy(self.op)
        op.inputs = ()
        vars(op).update(options, joined=True)
        return op(*self.inputs, *more)


class Joinable(Function):
    """A function of one map and its parameters, whose `forward` may return an OpenTensor.

    A batch norm of given statistics that joins sets `scale` and `shift`, (C,), where `scaled` is False; an
    addition appends the other map to the inputs and sets `added`; a ReLU sets `relu`. `joined` tells forward
    that it was called before.
    """

    joined = added = relu = False
    scaled = True

    def __call__(self, *inputs):
        y = super().__call__(*inputs)
        if isinstance(y, OpenTensor):
            y.inputs = as_tensors(inputs)
        return y

    def open(self, compute, shape, dtype, to_be_read_through=False):
        """What forward returns: compute(), or an OpenTensor of it where something may still join.

        to_be_read_through: whether it may stay open after its ReLU, too.
        """
        if (self.relu and not to_be_read_through) or _opened.get() is None:
            return compute()
        y = OpenTensor(self, compute, shape, dtype)
        _opened.get().append(ref(y))
        return y


def join_scale(x, scale_and_shift):
    """scale x + shift for each channel where x is open and can take it; else None.

    scale_and_shift: called for both, (C,) each.
    """
    if not isinstance(x, OpenTensor) or not x.is_open or x.op.scaled or x.op.added:
        return None
    scale, shift = scale_and_shift()
    return x.join(scaled=True, scale=scale, shift=shift)


def join_add(a, b):
    """a + b where one of them is open and can take the other, a map of its shape and dtype; else None."""
    for x, z in ((a, b), (b, a)):
        if (
            isinstance(x, OpenTensor)
            and isinstance(z, Tensor)
            and (x.shape, x.dtype) == (z.shape, z.dtype)
            and x.is_open
            and not x.op.added
        ):
            return x.join(z, added=True)
    return None


def join_relu(x):
    """max(x, 0) where x is open; else None."""
    return x.join(relu=True) if isinstance(x, OpenTensor) else None


def unread_normalization(x):
    """(op, inputs) of the batch norm whose ReLU x is, where x is open and may be read through; else None."""
    if isinstance(x, OpenTensor) and x.is_open and x.op.relu and x.recorded == recording.get():
        return x.op, x.inputs
    return None
