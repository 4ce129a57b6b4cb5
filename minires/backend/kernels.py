"""The hot kernels: sliding windows, convolution, pooling.

A feature map is (N, C, H, W) wherever a user looks. In memory the kernels make it C, H, W, N: with the images
innermost, each copy of im2col moves long runs of neighbouring numbers however small the map is (OW * N of
them, against OW in the order N, C, H, W), each channel is one contiguous row for batch norm, and the product
of a convolution needs no transposition on either side.

These are the plain versions, one formula each. Every function takes arrays of NumPy or CuPy.
"""

from dataclasses import dataclass

from minires.backend.device import library


@dataclass(frozen=True)
class Window:
    """The geometry of a window that slides over a map; each field is a pair (vertical, horizontal)."""

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def output_size(self, H, W):
        """(OH, OW): how many positions the window has on an H x W map.

        floor((H + 2 padding - extent) / stride) + 1, where extent = dilation (size - 1) + 1. With ceil_mode
        it is ceil, but no window may start in the bottom or right padding (PyTorch's rule).
        """
        positions = []
        for n, k, s, p, d in zip((H, W), self.size, self.stride, self.padding, self.dilation, strict=True):
            room = n + 2 * p - d * (k - 1) - 1
            count = (-(-room // s) if self.ceil_mode else room // s) + 1
            if self.ceil_mode and (count - 1) * s >= n + p:
                count -= 1
            positions.append(count)
        return tuple(positions)

    def padded_size(self, H, W):
        """(HP, WP): the map with its border, and room for a last window that ceil_mode lets hang over."""
        reach = [
            (count - 1) * s + d * (k - 1) + 1
            for count, k, s, d in zip(
                self.output_size(H, W), self.size, self.stride, self.dilation, strict=True
            )
        ]
        return max(H + 2 * self.padding[0], reach[0]), max(W + 2 * self.padding[1], reach[1])

    def taps(self, H, W):
        """For each element (i, j) of the window: i, j, and the pixels of the padded map that it ever covers,
        as an index into (C, HP, WP, N) that leaves (C, OH, OW, N).
        """
        (SH, SW), (DH, DW), (OH, OW) = self.stride, self.dilation, self.output_size(H, W)
        for i in range(self.size[0]):
            rows = slice(i * DH, i * DH + SH * (OH - 1) + 1, SH)
            for j in range(self.size[1]):
                yield i, j, (slice(None), rows, slice(j * DW, j * DW + SW * (OW - 1) + 1, SW))


def channels_first(x):
    """(N, C, H, W) -> (C, H, W, N), a view."""
    return x.transpose(1, 2, 3, 0)


def images_first(x):
    """(C, H, W, N) -> (N, C, H, W), a view."""
    return x.transpose(3, 0, 1, 2)


def channel_rows(x):
    """(N, C, ...) -> (C, everything else): a view where memory holds C, ..., N, as the kernels leave it."""
    return x.transpose(1, *range(2, x.ndim), 0).reshape(x.shape[1], -1)


def from_channel_rows(rows, shape):
    """The inverse of channel_rows: (C, everything else) -> (N, C, ...) = shape."""
    N, C, *size = shape
    return rows.reshape(C, *size, N).transpose(len(shape) - 1, *range(len(shape) - 1))


def padded(x, window, value=0):
    """(N, C, H, W) -> (C, HP, WP, N) with a border of `value`."""
    xp, (N, C, H, W), (top, left) = library(x), x.shape, window.padding
    HP, WP = window.padded_size(H, W)
    if (HP, WP) == (H, W):
        return channels_first(x)
    y = xp.full((C, HP, WP, N), value, x.dtype)
    y[:, top : top + H, left : left + W] = channels_first(x)
    return y


def cropped(y, window, H, W):
    """(C, HP, WP, N) -> (N, C, H, W): the adjoint of `padded`."""
    top, left = window.padding
    return images_first(y[:, top : top + H, left : left + W])


def im2col(x, window):
    """Every position's window as one column: (N, C, H, W) -> (C*KH*KW, OH*OW*N).

    A view with one axis per coordinate picks the windows out of the padded map without moving anything; the
    reshape at the end is the one copy.
    """
    (N, C, *size), (KH, KW) = x.shape, window.size
    OH, OW = window.output_size(*size)
    x = padded(x, window)
    sC, sH, sW, sN = x.strides
    (SH, SW), (DH, DW) = window.stride, window.dilation
    columns = library(x).lib.stride_tricks.as_strided(
        x,
        shape=(C, KH, KW, OH, OW, N),
        strides=(sC, DH * sH, DW * sW, SH * sH, SW * sW, sN),
    )
    return columns.reshape(C * KH * KW, OH * OW * N)


def col2im(columns, shape, window):
    """Add every column back to where im2col took it from: the adjoint of im2col.

    columns: (C*KH*KW, OH*OW*N); shape: (N, C, H, W) of the result.
    """
    (N, C, H, W), (OH, OW) = shape, window.output_size(*shape[2:])
    columns = columns.reshape(C, *window.size, OH, OW, N)
    x = library(columns).zeros((C, *window.padded_size(H, W), N), columns.dtype)
    for i, j, covered in window.taps(H, W):
        x[covered] += columns[:, i, j]
    return cropped(x, window, H, W)


def convolution(x, W, window, groups):
    """y = W col(x), group by group: (N, C, H, W), (O, C/G, KH, KW) -> (N, O, OH, OW)."""
    (N, _, *size), O = x.shape, W.shape[0]
    columns = im2col(x, window).reshape(groups, W[0].size, -1)  # (G, C/G*KH*KW, OH*OW*N)
    y = W.reshape(groups, O // groups, -1) @ columns  # (G, O/G, OH*OW*N)
    return images_first(y.reshape(O, *window.output_size(*size), N))


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape."""
    O = W.shape[0]
    gy = channels_first(gy).reshape(groups, O // groups, -1)  # (G, O/G, OH*OW*N)
    columns = W.reshape(groups, O // groups, -1).swapaxes(1, 2) @ gy  # (G, C/G*KH*KW, OH*OW*N)
    return col2im(columns, shape, window)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    O, *receptive = shape
    gy = channels_first(gy).reshape(groups, O // groups, -1)  # (G, O/G, OH*OW*N)
    columns = im2col(x, window).reshape(groups, -1, gy.shape[2])  # (G, C/G*KH*KW, OH*OW*N)
    return (gy @ columns.swapaxes(1, 2)).reshape(O, *receptive)


def max_pool(x, window):
    """The largest element under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    xp, (H, W) = library(x), x.shape[2:]
    x = padded(x, window, value=-xp.inf)
    y = None
    for _, _, covered in window.taps(H, W):
        y = x[covered] if y is None else xp.maximum(y, x[covered])
    return images_first(y)


def max_pool_gradient(gy, x, y, window):
    """gx: each window hands its gradient to its first maximum, (N, C, OH, OW) -> (N, C, H, W)."""
    xp, (H, W) = library(x), x.shape[2:]
    x, y, gy = padded(x, window, value=-xp.inf), channels_first(y), channels_first(gy)
    gx = xp.zeros(x.shape, gy.dtype)
    unclaimed = xp.ones(y.shape, bool)
    for _, _, covered in window.taps(H, W):
        first = (x[covered] == y) & unclaimed
        gx[covered] += gy * first
        unclaimed &= ~first
    return cropped(gx, window, H, W)


def sum_pool(x, window):
    """The sum of the elements under each window: (N, C, H, W) -> (N, C, OH, OW)."""
    (N, C, H, W), xp = x.shape, library(x)
    x = padded(x, window)
    y = xp.zeros((C, *window.output_size(H, W), N), x.dtype)
    for _, _, covered in window.taps(H, W):
        y += x[covered]
    return images_first(y)


def sum_pool_gradient(gy, shape, window):
    """gx: each pixel collects the gradients of the windows over it, (N, C, OH, OW) -> shape (N, C, H, W)."""
    N, C, H, W = shape
    gx = library(gy).zeros((C, *window.padded_size(H, W), N), gy.dtype)
    for _, _, covered in window.taps(H, W):
        gx[covered] += channels_first(gy)
    return cropped(gx, window, H, W)
