"""The 3 x 3 convolution of stride 1, with 6 multiplications where the definition has 9.

Winograd's F(2, 3): two neighbouring outputs of a 3-tap filter w on the inputs d take 4 products, not 6,

    m0 = (d0 - d2) w0                       y0 = m0 + m1 + m2
    m1 = (d1 + d2) (w0 + w1 + w2) / 2       y1 = m1 - m2 + m3
    m2 = (d2 - d1) (w0 - w1 + w2) / 2
    m3 = (d3 - d1) w2

or y = A^T ((G w) * (B^T d)). Here it runs down the height of the map, two rows of outputs at a time; the width
is summed as it stands. So four rows of the input become four others, V_j, one for each product j. Three
neighbouring pixels of such a row lie side by side in memory with all their channels: they are the column that
the weights U_j = G w are multiplied with, and the outputs are sums of the M_j = U_j V_j:

    y = A^T (U V)          gU = (A gy) V^T,  gW = G^T gU

The work goes block by block: a few rows at a time, small enough for the processor's cache.
Source: Lavin and Gray 2015, Fast algorithms for convolutional neural networks, section 4.1.
"""

import numpy as np

from minires.backend.cpu.memory import empty, empty_map, in_pixel_order
from minires.backend.cpu.rows import padded
from minires.backend.cpu.threads import cut, share
from minires.backend.layout import pixels_first

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

CACHE = 4 << 20  # bytes of V in a block
SMALL = 1 << 24  # multiplications that are over before a second thread has started
CHANNELS = 1 << 14  # inputs times outputs up to which many small products are faster than one large one


def fits(window, shape, groups):
    """Whether this file should do it: 3 x 3, stride 1, padding within the filter's reach, not too wide.

    shape: (O, C, 3, 3) of the weights.
    """
    return (
        (window.size, window.stride, window.dilation) == ((3, 3), (1, 1), (1, 1))
        and max(window.padding) <= 2
        and groups == 1
        and shape[0] * shape[1] <= CHANNELS
    )


def convolution(x, W, padding):
    """(N, C, H, W), (O, C, 3, 3) -> (N, O, OH, OW)."""
    N, _, *size = x.shape
    OH, OW = (n + 2 * p - 2 for n, p in zip(size, padding, strict=True))
    y, x = empty_map(N, len(W), OH, OW, x.dtype), in_pixel_order(x)
    U = transformed_weights(W)

    def work(blocks):
        for top, bottom in blocks:
            multiply(U, x, pixels_first(y)[top:bottom], padding, top)

    share(work, blocks_of_rows(x, len(W), OH, OW))
    return y


def weight_gradient(gy, x, padding):
    """(N, O, OH, OW), (N, C, H, W) -> (O, C, 3, 3)."""
    gy, x = in_pixel_order(gy), in_pixel_order(x)
    OH, OW, O, _ = gy.shape
    C = x.shape[2]

    def work(blocks):
        return sum(correlate(gy[top:bottom], x, padding, top) for top, bottom in blocks)

    gU = sum(share(work, blocks_of_rows(x, O, OH, OW)))  # (4, 3*C, O)
    gU = gU.reshape(4, 3, C, O).transpose(3, 2, 1, 0)  # (O, C, columns of the filter, 4)
    gW = gU.reshape(-1, 4) @ G.astype(gU.dtype)
    return gW.reshape(O, C, 3, 3).swapaxes(2, 3)


def transformed_weights(W):
    """U_j = sum over the filter's rows i of G[j, i] W[:, :, i]: (O, C, 3, 3) -> (4, 1, 1, O, 3*C)."""
    O, C, _, _ = W.shape
    U = W.swapaxes(2, 3).reshape(-1, 3) @ G.T.astype(W.dtype)  # (O*C*columns, 4)
    return U.reshape(O, C, 3, 4).transpose(3, 0, 2, 1).reshape(4, 1, 1, O, 3 * C)


def blocks_of_rows(x, O, OH, OW):
    """The ranges of output rows, even ones up to the last, that the work is cut into."""
    _, _, C, N = x.shape
    few = CACHE // (4 * (OW + 2) * C * N * x.itemsize)
    pairs = cut((OH + 1) // 2, few, shared=6 * O * C * OH * OW * N > SMALL)
    return [(2 * low, min(2 * high, OH)) for low, high in pairs]


def multiply(U, x, y, padding, top):
    """y = A^T (U V) for the output rows from `top` on: fills y, (rows, OW, O, N)."""
    rows, OW, O, N = y.shape
    V = transformed_rows(x, padding, top, rows, OW)
    M = empty((4, len(V[0]), OW, O, N), x.dtype)
    np.matmul(U, windows(V), out=M)
    m0, m1, m2, m3 = M
    m0 += m1
    np.add(m0, m2, out=y[0::2])
    m1 -= m2
    np.add(m1[: rows // 2], m3[: rows // 2], out=y[1::2])


def correlate(gy, x, padding, top):
    """The share of gU = V (A gy)^T that the output rows gy, from `top` on, contribute: (4, 3*C, O)."""
    rows, OW, O, N = gy.shape
    V = transformed_rows(x, padding, top, rows, OW)
    z0, z3 = gy[0::2], gy[1::2]
    if rows % 2:
        z3 = np.concatenate([z3, np.zeros_like(z0[:1])])
    Z = empty((2, *z0.shape), gy.dtype)
    np.add(z0, z3, out=Z[0])
    np.subtract(z0, z3, out=Z[1])
    sums = (np.matmul(v, z.swapaxes(2, 3)) for v, z in zip(windows(V), (z0, *Z, z3), strict=True))
    return np.stack([s.sum(axis=(0, 1)) for s in sums])


def transformed_rows(x, padding, top, rows, OW):
    """V_j = (B^T d)_j of the padded rows that the output rows from `top` on need: (4, pairs, OW + 2, C, N)."""
    _, W, C, N = x.shape
    pairs, left = (rows + 1) // 2, padding[1]
    low = top - padding[0]
    d = padded(x, low, low + 2 * pairs + 2, left=0, width=W)
    d0, d1, d2, d3 = (d[k : k + 2 * pairs - 1 : 2] for k in range(4))
    V = empty((4, pairs, OW + 2, C, N), x.dtype)
    V[:, :, :left] = V[:, :, left + W :] = 0
    v0, v1, v2, v3 = V[:, :, left : left + W]
    np.subtract(d0, d2, out=v0)
    np.add(d1, d2, out=v1)
    np.subtract(d2, d1, out=v2)
    np.subtract(d3, d1, out=v3)
    return V


def windows(V):
    """Each three neighbouring pixels as one matrix: (4, pairs, OW + 2, C, N) -> (4, pairs, OW, 3*C, N), a view."""
    j, pairs, width, C, N = V.shape
    sj, sp, sw, sC, sN = V.strides
    shape, strides = (j, pairs, width - 2, 3 * C, N), (sj, sp, sw, sC, sN)
    return np.lib.stride_tricks.as_strided(V, shape, strides, writeable=False)
