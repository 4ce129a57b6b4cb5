"""2-D convolution: im2col turns every window of the input into a column, one matrix product does the rest."""

from minires.backend import kernels
from minires.engine.function import recording
from minires.errors import ShapeError
from minires.ops.fusion import Joinable, unread_normalization
from minires.ops.normalized_conv import NormalizedConv2d
from minires.ops.window import same_float, sliding_window


class Conv2d(Joinable):
    """y = W col(x) + b        gx = col^T(W^T gy)        gW = gy col(x)^T        gb = sum gy

    y[n, o, p, q] = b[o] + sum over c, i, j of W[o, c, i, j] x[n, c, s p + d i, s q + d j]

    for stride s and dilation d on the zero-padded x (a cross-correlation, as in every deep-learning library).
    col is im2col, linear in x, and col^T its adjoint, col2im. With G groups, C/G input channels each feed O/G
    output channels.

    x: (N, C, H, W), W: (O, C/G, KH, KW), b: (O,) or left out, y: (N, O, OH, OW). The columns, KH*KW times as
    large as x, are made again in backward rather than kept.

    What follows may join in where nothing is recorded (fusion.py): y = max(scale y + shift + z, 0).
    """

    fresh_gradients = True
    scaled = False
    output_statistics = None  # of y's channels, where they were taken

    def __init__(self, window, groups):
        self.window, self.groups = window, groups

    def forward(self, x, W, *b_and_z):
        self.saved = x, W
        b = b_and_z[0] if len(b_and_z) > self.added else None
        z = b_and_z[-1] if self.added else None

        def compute():
            if not self.scaled:
                return kernels.convolution(x, W, self.window, self.groups, b, z, relu=self.relu)
            filters = W * self.scale[:, None, None, None]
            shift = self.shift if b is None else b * self.scale + self.shift
            return kernels.convolution(x, filters, self.window, self.groups, shift, z, relu=self.relu)

        if not recording.get():
            shape = len(x), len(W), *self.window.output_size(*x.shape[2:])
            return self.open(compute, shape, x.dtype)
        if b is None and kernels.reads_through_batch_norm(x):
            y, self.output_statistics = kernels.convolution_and_statistics(x, W, self.window, self.groups)
            return y
        return compute()

    def backward(self, gy):
        (x, W), window, groups = self.saved, self.window, self.groups
        gx = gW = gb = None
        if self.needs_grad[0]:
            gx = kernels.convolution_input_gradient(gy, W, x.shape, window, groups)
        if self.needs_grad[1]:
            gW = kernels.later(kernels.convolution_weight_gradient, gy, x, W.shape, window, groups)
        if self.needs_grad[2:] == [True]:
            gb = gy.sum(axis=(0, 2, 3), dtype=W.dtype)  # a map in bfloat16 has its sums in float32
        return (gx, gW, gb)[: len(self.needs_grad)]


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolve (N, C, H, W) with (O, C/groups, KH, KW) and add (O,): -> (N, O, OH, OW).

    stride, padding, dilation: one number, or a pair (vertical, horizontal).
    """
    if weight.ndim != 4:
        raise ShapeError(f"conv2d: the weight must be (O, C/groups, KH, KW), not {weight.shape}")
    window = sliding_window("conv2d", x, weight.shape[2:], stride, padding, dilation)
    O, C = weight.shape[0], x.shape[1]
    if groups < 1 or O % groups or C != weight.shape[1] * groups:
        raise ShapeError(
            f"conv2d: input {x.shape} and weight {weight.shape} do not fit with groups={groups}: "
            f"the weight takes {weight.shape[1]} * {groups} channels, and groups must divide its {O} outputs"
        )
    if bias is not None and bias.shape != (O,):
        raise ShapeError(f"conv2d: bias {bias.shape} does not fit weight {weight.shape}; it needs {(O,)}")
    inputs = (x, weight) if bias is None else (x, weight, bias)
    same_float("conv2d", *inputs)
    unread = unread_normalization(x) if bias is None else None
    if unread is not None:
        normalization, (u, gamma, beta) = unread
        return NormalizedConv2d(window, groups, normalization)(u, gamma, beta, weight)
    return Conv2d(window, groups)(*inputs)
