"""Convolutions on any GPU, also without tensor cores: im2col writes the columns to memory, cuBLAS multiplies
them. The rung "explicit". GEMM stands for the multiplication of matrices; it is explicit where the matrix of
columns is written to memory.

Here a window becomes a row of KH*KW*C/G numbers, not a column: in a map stored as N, H, W, C the channels of
a pixel are side by side, and so they are in the product. cuBLAS multiplies float32 numbers; maps in bfloat16
are converted first. See im2col.cu.
"""

from minires.backend.cuda.batch_norm import scale_and_shift
from minires.backend.cuda.cublas import matmul_on_any_gpu
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import channels_last, empty_map, geometry, thread_table
from minires.backend.device import library

FILE = "im2col.cu"
THREADS = 256
BLOCK_WRITES = 2048  # writes of a block of im2col, of 1 or 4 numbers each
WORKSPACE_BYTES = 1 << 30  # for the columns that exist at the same time


def convolution(x, W, window, groups, b=None, z=None, relu=False):
    """y = W col(x) + b, group by group: (N, C, H, W), (O, C/G, KH, KW), (O,) -> (N, O, OH, OW).

    z: a map of the same shape to be added to it; relu: whether to end with max(y, 0).
    """
    dtype, x, z = x.dtype, _float32(x), None if z is None else _float32(z)
    y = empty_map(x, (len(x), len(W), *window.output_size(*x.shape[2:])))
    filters = _rows_of_filters(W, groups)
    for images in _image_chunks(x.shape, window):
        columns = _columns(x[images], window, groups)
        for column, filter, rows in zip(columns, filters, _group_matrices(y[images], groups), strict=True):
            matmul_on_any_gpu(column, filter.T, out=rows)
    if b is not None or z is not None or relu:
        scale_and_shift(y, None, b, z, relu, out=y)
    return y.astype(dtype, copy=False)


def convolution_input_gradient(gy, W, shape, window, groups):
    """gx = col^T(W^T gy): (N, O, OH, OW), (O, C/G, KH, KW) -> (N, C, H, W) = shape."""
    dtype, gy = gy.dtype, _float32(gy)
    gx = empty_map(gy, shape)
    filters = _rows_of_filters(W, groups)
    for images in _image_chunks(shape, window):
        rows = _group_matrices(gy[images], groups)
        if _is_pointwise(window):
            columns = _group_matrices(gx[images], groups)
        else:
            columns = library(gy).empty((groups, len(rows[0]), filters.shape[2]), gy.dtype)
        for row, filter, column in zip(rows, filters, columns, strict=True):
            matmul_on_any_gpu(row, filter, out=column)
        if not _is_pointwise(window):
            col2im(columns, gx[images], window)
    return gx.astype(dtype, copy=False)


def convolution_weight_gradient(gy, x, shape, window, groups):
    """gW = gy col(x)^T: (N, O, OH, OW), (N, C, H, W) -> (O, C/G, KH, KW) = shape."""
    gy, x, xp = _float32(gy), _float32(x), library(x)
    O, D, KH, KW = shape
    gW = xp.empty((groups, O // groups, KH * KW * D), x.dtype)
    for images in _image_chunks(x.shape, window):
        columns = _columns(x[images], window, groups)
        for column, rows, gradient in zip(columns, _group_matrices(gy[images], groups), gW, strict=True):
            if images.start == 0:
                matmul_on_any_gpu(rows.T, column, out=gradient)
            else:
                gradient += matmul_on_any_gpu(rows.T, column)
    return xp.ascontiguousarray(gW.reshape(O, KH, KW, D).transpose(0, 3, 1, 2))


def im2col(x, window, groups):
    """(N, C, H, W) -> (G, N*OH*OW, KH*KW*C/G): each window becomes a row, in the order KH, KW, C/G."""
    x = channels_last(x)
    N, C, *size = x.shape
    (OH, OW), (KH, KW), D = window.output_size(*size), window.size, C // groups
    columns = library(x).empty((groups, N * OH * OW, KH * KW * D), x.dtype)
    if columns.size:
        width, _, _ = thread_table(D, x)
        rows_of_block = max(1, BLOCK_WRITES // (KH * KW * D // width))
        arguments = x, columns, N * OH * OW, *geometry(x.shape, window), width, rows_of_block
        blocks = blocks_for(N * OH * OW, rows_of_block), groups
        launch(FILE, "im2col_float", blocks, THREADS, *arguments)
    return columns


def col2im(columns, x, window):
    """Fill the map x, (N, C, H, W): add every column back to where im2col took it from.

    This is the adjoint of im2col. columns: (G, N*OH*OW, KH*KW*C/G), as im2col returns them.
    """
    (N, C, H, W), groups = x.shape, len(columns)
    if x.size:
        width, side_by_side, tables = thread_table(C // groups, columns, x)
        blocks = blocks_for(N * H * W, THREADS // side_by_side), tables * groups
        arguments = columns, x, N, *geometry(x.shape, window), groups, width, side_by_side
        launch(FILE, "col2im_float", blocks, THREADS, *arguments)


def _float32(x):
    return channels_last(x).astype("float32", copy=False)


def _columns(x, window, groups):
    """The columns of each group, as by im2col; without a copy if a window is one pixel."""
    return _group_matrices(x, groups) if _is_pointwise(window) else im2col(x, window, groups)


def _is_pointwise(window):
    return window.size == window.stride == (1, 1) and window.padding == (0, 0)


def _group_matrices(x, groups):
    """For each group of channels, the matrix (N*H*W, C/G) of a map stored as N, H, W, C: views."""
    rows, D = x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]), x.shape[1] // groups
    return [rows[:, g * D : (g + 1) * D] for g in range(groups)]


def _rows_of_filters(W, groups):
    """(O, C/G, KH, KW) -> (G, O/G, KH*KW*C/G), in the order of im2col's rows."""
    return W.transpose(0, 2, 3, 1).reshape(groups, len(W) // groups, -1)


def _image_chunks(shape, window):
    """Slices of the N images whose columns fit into WORKSPACE_BYTES, each of one image at least."""
    N, C, *size = shape
    (OH, OW), (KH, KW) = window.output_size(*size), window.size
    images = max(1, WORKSPACE_BYTES // max(1, 4 * C * KH * KW * OH * OW))
    return [slice(first, first + images) for first in range(0, max(N, 1), images)]
