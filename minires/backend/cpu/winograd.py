"""The 3 x 3 convolution of stride 1, with 6 multiplications where the definition has 9.

Winograd's F(2, 3): two neighbouring outputs of a 3-tap filter w on the inputs d take 4 products, not 6,

    m0 = (d0 - d2) w0                       y0 = m0 + (m1 + m2)
    m1 = (d1 + d2) (w0 + w1 + w2) / 2       y1 = m3 + (m1 - m2)
    m2 = (d2 - d1) (w0 - w1 + w2) / 2
    m3 = (d1 - d3) (-w2)

or y = A^T ((G w) * (B^T d)). Here it runs down the height of the map, two rows of outputs at a time; the
width is summed as it stands. So four rows of the input become four others, V_j, one for each product j. Three
neighbouring pixels of such a row lie side by side in memory with all their channels: they are the column that
the weights U_j = G w are multiplied with, and the outputs are sums of the M_j = U_j V_j:

    y = A^T (U V)          gU = (A gy) V^T,  gW = G^T gU

U, V and M are stored as [[V_0, V_3], [V_1, V_2]]: then V_0 and V_3 are one difference, of all rows and those
two further on, and y is one sum. The work goes block by block: a few rows at a time, small enough for the
processor's cache.
Source: Lavin and Gray 2015, Fast algorithms for convolutional neural networks, section 4.1.
"""

import numpy as np

from minires.backend.cpu.buffers import empty, empty_map, in_pixel_order, overlapping_view
from minires.backend.cpu.direct_convolution import (
    MOST_CHANNEL_PAIRS,
    SERIAL_BELOW_MULTIPLICATIONS,
    multiply_each,
    padded,
)
from minires.backend.cpu.threads import chunk_ranges, run_in_all_threads
from minires.backend.layout import pixels_first

G = np.array([[1, 0, 0], [0, 0, -1], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5]])  # in the order of U, see above
BLOCK_BYTES = 1 << 20  # bytes of V in a block, if V has more than 8 times as many


def is_fastest_for(window, shape, groups):
    """Whether this file should compute such a convolution; shape: (O, C/G, KH, KW) of the weights.

    It is for 3 x 3 filters with stride 1, padding up to 2, one group, and not too many channels.
    """
    return (
        (window.size, window.stride, window.dilation) == ((3, 3), (1, 1), (1, 1))
        and max(window.padding) <= 2
        and groups == 1
        and shape[0] * shape[1] <= MOST_CHANNEL_PAIRS
    )


def convolution(x, W, padding, finish):
    """(N, C, H, W), (O, C, 3, 3) -> (N, O, OH, OW); for `finish` see epilogue.py."""
    N, _, *size = x.shape
    OH, OW = (n + 2 * p - 2 for n, p in zip(size, padding, strict=True))
    y, x = empty_map(N, len(W), OH, OW, x.dtype), in_pixel_order(x)
    U = transformed_weights(W)

    blocks = blocks_of_rows(x, len(W), OH, OW)

    def work(queue):
        V, columns = memory_for_transform(blocks, x, padding, OW)
        M = empty((*V.shape[:3], OW, len(W), N), x.dtype)
        M12 = empty(M.shape[1:], x.dtype)
        for _, (top, bottom) in queue:
            pairs = pairs_of(top, bottom)
            transform(x, padding, top, V[:, :pairs])
            out = pixels_first(y)[top:bottom]
            multiply(U, columns[:, :pairs], M[:, :pairs], M12[:pairs], out)
            if finish:
                finish(out, top)

    run_in_all_threads(work, blocks)
    return y


def weight_gradient(gy, x, padding):
    """(N, O, OH, OW), (N, C, H, W) -> (O, C, 3, 3)."""
    gy, x = in_pixel_order(gy), in_pixel_order(x)
    OH, OW, O, N = gy.shape
    C = x.shape[2]

    blocks = blocks_of_rows(x, O, OH, OW)
    parts = [None] * len(blocks)

    def work(queue):
        V, columns = memory_for_transform(blocks, x, padding, OW)
        Z = empty((V.shape[1], 2, OW, O, N), x.dtype)
        for i, (top, bottom) in queue:
            pairs = pairs_of(top, bottom)
            transform(x, padding, top, V[:, :pairs])
            parts[i] = correlate(gy[top:bottom], columns[:, :pairs], Z[:pairs])

    run_in_all_threads(work, blocks)
    return weights_gradient(sum(parts), O, C)


def transformed_weights(W):
    """U_j = (G w)_j for the three rows w of the filter: (O, C, 3, 3) -> (2, 1, 2, 1, O, 3*C)."""
    O, C, _, _ = W.shape
    w = W.transpose(2, 0, 3, 1).reshape(3, -1)  # row of the filter, then O, column of the filter, C
    return (G.astype(W.dtype) @ w).reshape(2, 1, 2, 1, O, 3 * C)


def weights_gradient(gU, O, C):
    """gW = G^T gU, the adjoint of transformed_weights; gU transposed: (4, 3*C, O) -> (O, C, 3, 3)."""
    gw = G.T.astype(gU.dtype) @ gU.reshape(4, -1)
    return gw.reshape(3, 3, C, O).transpose(3, 2, 0, 1)


def blocks_of_rows(x, O, OH, OW):
    """The ranges of output rows that the work is cut into; all of even length, perhaps except the last."""
    _, _, C, N = x.shape
    pairs, bytes_of_pair = (OH + 1) // 2, 4 * (OW + 2) * C * N * x.itemsize
    longest = BLOCK_BYTES // bytes_of_pair if pairs * bytes_of_pair > 8 * BLOCK_BYTES else pairs
    pairs = chunk_ranges(pairs, longest, shared=6 * O * C * OH * OW * N > SERIAL_BELOW_MULTIPLICATIONS)
    return [(2 * low, min(2 * high, OH)) for low, high in pairs]


def pairs_of(top, bottom):
    """The number of pairs of output rows from top to bottom; the last pair may lack its second row."""
    return (bottom - top + 1) // 2


def memory_for_transform(blocks, x, padding, OW):
    """Memory for V of the largest block, (2, pairs, 2, OW + 2, C, N), with zeros on the left and right, and a
    view of it in which every three neighbouring pixels are one matrix, (2, pairs, 2, OW, 3*C, N).
    """
    _, W, C, N = x.shape
    V = empty((2, max(pairs_of(*block) for block in blocks), 2, OW + 2, C, N), x.dtype)
    V[..., : padding[1], :, :] = V[..., padding[1] + W :, :, :] = 0
    shape = (*V.shape[:3], OW, 3 * C, N)
    return V, overlapping_view(V, shape, V.strides)


def transform(x, padding, top, V):
    """Fill V with V_j = (B^T d)_j, where d are the rows of x under the output rows from `top` on."""
    pairs, (_, W, C, N), (above, left) = V.shape[1], x.shape, padding
    low = top - above
    d = padded(x, low, low + 2 * pairs + 2, left=0, width=W)
    d1, d2 = d[1:-2:2], d[2:-1:2]
    V = V[..., left : left + W, :, :]
    np.subtract(d[:-2].reshape(pairs, 2, W, C, N), d[2:].reshape(pairs, 2, W, C, N), out=V[0])
    np.add(d1, d2, out=V[1, :, 0])
    np.subtract(d2, d1, out=V[1, :, 1])


def multiply(U, columns, M, M12, out):
    """Fill out, (rows, OW, O, N), with y = A^T (U V) of a block.

    M is memory for U V, M12 for M_1 + M_2 and M_1 - M_2.
    """
    np.matmul(U, columns, out=M)
    np.add(M[1, :, 0], M[1, :, 1], out=M12[:, 0])
    np.subtract(M[1, :, 0], M[1, :, 1], out=M12[:, 1])
    rows = len(out)
    np.add(M[0].reshape(-1, *out.shape[1:])[:rows], M12.reshape(-1, *out.shape[1:])[:rows], out=out)


def correlate(gy, columns, Z):
    """A block's share of gU^T = V (A gy)^T, (4, 3*C, O); gy: (rows, OW, O, N); Z is memory to work in."""
    if len(gy) % 2:
        gy = np.concatenate([gy, np.zeros_like(gy[:1])])
    gy = gy.reshape(-1, 2, *gy.shape[1:])
    np.add(gy[:, 0], gy[:, 1], out=Z[:, 0])
    np.subtract(gy[:, 0], gy[:, 1], out=Z[:, 1])
    pairs = zip(columns, (gy, Z), strict=True)
    return np.concatenate([multiply_each(v, z.swapaxes(3, 4)).sum(axis=(0, 2)) for v, z in pairs])
