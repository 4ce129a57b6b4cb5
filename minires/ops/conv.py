"""2-D convolution: im2col turns every window of the input into a column, one matrix product does the rest.

So it is defined here; the kernels compute the same in faster ways.
"""

from operator import index

from minires.backend import kernels
from minires.engine import Function
from minires.errors import OptionError, ShapeError
from minires.ops.checks import as_tensors, check_same_float, sliding_window
from minires.ops.epilogue import add_and_relu, kernel_can_add


class Conv2d(Function):
    """y = W col(x) + b        gx = col^T(W^T gy)        gW = gy col(x)^T        gb = sum gy

    y[n, o, p, q] = b[o] + sum over c, i, j of W[o, c, i, j] x[n, c, s p + d i, s q + d j]

    for stride s and dilation d on the zero-padded x (a cross-correlation, as in every deep-learning library).
    col is im2col, linear in x, and col^T its adjoint, col2im. With G groups, C/G input channels each feed O/G
    output channels.

    x: (N, C, H, W), W: (O, C/G, KH, KW), b: (O,) or left out, y: (N, O, OH, OW). For backward, x is saved and
    not its columns, which are up to KH*KW times as large.

    added, relu: whether a map z, the last input, is added, and whether a ReLU follows. With both,
        y = max(W col(x) + b + z, 0), and gz = 0 where y <= 0, else gy, takes the place of gy above.
    measured: whether the statistics of y's channels are computed while y is written, without b and z. The
        batch norm that follows needs them: `statistics`, as kernels.batch_statistics returns them.
    """

    def __init__(self, window, groups, *, added=False, relu=False, measured=False):
        self.window, self.groups = window, groups
        self.added, self.relu, self.measured = added, relu, measured
        self.fresh_gradients = relu or not added  # without a ReLU, gz is gy itself

    def forward(self, x, W, *b_and_z):
        if self.measured:
            y, self.statistics = kernels.convolution_and_statistics(x, W, self.window, self.groups)
        else:
            *b, z = b_and_z if self.added else (*b_and_z, None)
            b = b[0] if b else None
            y = kernels.convolution(x, W, self.window, self.groups, b, z, relu=self.relu)
        self.saved = (x, W, y) if self.relu else (x, W)
        return y

    def backward(self, gy):
        (x, W, *y), geometry = self.saved, (self.window, self.groups)
        gz = kernels.relu_gradient(gy, *y) if self.relu else gy
        gx = gW = None
        if self.needs_grad[0]:
            gx = kernels.convolution_input_gradient(gz, W, x.shape, *geometry)
        if self.needs_grad[1]:
            gW = kernels.run_in_background(kernels.convolution_weight_gradient, gz, x, W.shape, *geometry)
        gradients = [gx, gW]
        if len(self.needs_grad) > 2 + self.added:
            # In the weights' dtype, which may be wider than that of the maps.
            gradients.append(kernels.channel_sum(gz, W.dtype) if self.needs_grad[2] else None)
        if self.added:
            gradients.append(gz)
        return tuple(gradients)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, add=None, relu=False):
    """Convolve (N, C, H, W) with (O, C/groups, KH, KW) and add (O,): -> (N, O, OH, OW).

    stride, padding, dilation: one number, or a pair (vertical, horizontal).
    add: a tensor, array or number to add to the result. relu: whether max(result, 0) is returned. A map of
        the result's shape, dtype and device is added, and the ReLU applied, while the result is written; for
        any other addend both are operations of their own.
    Raises ShapeError or OptionError that names the argument that does not fit.
    """
    inputs = as_tensors("conv2d", input, weight, *(() if bias is None else (bias,)))
    x, weight = inputs[:2]
    window = convolution_window(*inputs, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if add is None:
        return Conv2d(window, groups, relu=relu)(*inputs)
    if kernel_can_add(add, (x.shape[0], weight.shape[0], *window.output_size(*x.shape[2:])), x):
        return Conv2d(window, groups, added=True, relu=relu)(*inputs, add)
    return add_and_relu(Conv2d(window, groups)(*inputs), add, relu)


def conv2d_and_statistics(x, weight, stride=1, padding=0, dilation=1, groups=1):
    """(conv2d of the arguments, the statistics of its channels, for batch_norm to use)."""
    window = convolution_window(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    convolution = Conv2d(window, groups, measured=True)
    return convolution(x, weight), convolution.statistics


def convolution_window(x, weight, bias=None, *, stride, padding, dilation, groups):
    """The Window of a convolution; ShapeError or OptionError if an argument does not fit."""
    check_same_float("conv2d", *((x, weight) if bias is None else (x, weight, bias)))
    shape, filters = x.shape, weight.shape
    if len(filters) != 4:
        raise ShapeError(f"conv2d: the weight must be (O, C/groups, KH, KW), not {filters}")
    window = sliding_window("conv2d", shape, filters[2:], stride, padding, dilation)
    try:
        index(groups)
    except TypeError as error:
        raise OptionError(f"conv2d: groups must be a whole number, not {groups!r}") from error
    if groups < 1 or filters[0] % groups or shape[1] != filters[1] * groups:
        raise ShapeError(
            f"conv2d: input {shape} and weight {filters} do not fit with groups={groups}: the weight takes "
            f"{filters[1]} * {groups} channels, and groups must divide its {filters[0]} outputs"
        )
    if bias is not None and bias.shape != filters[:1]:
        raise ShapeError(f"conv2d: bias {bias.shape} does not fit weight {filters}; it needs {filters[:1]}")
    return window
