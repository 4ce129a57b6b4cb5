"""
13. Fast on a CPU: cache, blocks, threads
=========================================

**You build** one convolution in eight ways, from loops to threads, and measure what
each idea is worth.

**You need** pages 1 and 5, and page 7 for one part.

**It takes** less than 100 seconds on two cores to run; reading takes longer. The times
that it prints are those of your machine, and they are steady only if the machine has
nothing else to do.

All eight compute the same numbers, and most with the same multiplications. What differs
is how the numbers get to the processor. This page builds the ladder that the library
has climbed, rung by rung, on one layer of a ResNet-20.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minires import Tensor, models, no_grad, optim, set_num_threads
from minires.nn import functional as F

plt.style.use("minires.plot.page")

# %%
# The task
# --------
#
# The layer has 16 channels of 32 x 32 pixels, windows of 3 x 3, padding 1, stride 1,
# and 16 filters. It is one of ResNet-20's first stage, and the batch has 128 images, as
# in the paper. Each output takes :math:`16 \cdot 3 \cdot 3` multiplications, and as
# many additions.
#
# How fast could it be at most? Large matrix products come close to what the processor
# can compute, so one of them gives the yardstick. Up to the section on threads
# everything uses one thread.

set_num_threads(1)  # NumPy's matrix products, too
N = 128
C = O = 16
H = W = 32
generator = np.random.default_rng(0)
x = generator.standard_normal((N, C, H, W), dtype=np.float32)
w = generator.standard_normal((O, C, 3, 3), dtype=np.float32)
multiplications = N * O * H * W * C * 9


def medians(functions, rounds=5):
    """The median seconds of each function, {name: function}, all measured in turn.

    A disturbance of the machine then disturbs all of them.
    """
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):  # the first round is for warming up
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


side = 1_500
square = generator.standard_normal((side, side), dtype=np.float32)
peak = 2 * side**3 / medians({"product": lambda: square @ square})["product"]
print(f"a large product: {peak / 1e9:.0f} billion operations a second")
print(f"the layer: {2 * multiplications / 1e9:.2f} billion operations")
print(f"at that speed: {1e3 * 2 * multiplications / peak:.1f} ms")

# %%
# All versions must have the same result as the library:

with no_grad():
    expected = F.conv2d(Tensor(x), Tensor(w), padding=1).numpy()


def check(y):
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-3)


# %%
# Loops, and whole arrays
# -----------------------
#
# The loops of page 5. They would take minutes for the batch, so they get a part of one
# image, and the time is scaled up.


def loops(x, w):
    """x: (C, H + 2, W + 2), with its border"""
    C, H, W = x.shape
    y = np.zeros((len(w), H - 2, W - 2), x.dtype)
    for o in range(len(w)):
        for p in range(H - 2):
            for q in range(W - 2):
                for c in range(C):
                    for i in range(3):
                        for j in range(3):
                            y[o, p, q] += w[o, c, i, j] * x[c, p + i, q + j]
    return y


def with_border(x):
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


size = 2  # filters, and rows of the outputs
corner = with_border(x[:1])[0, :, : size + 2]  # (C, size + 2, W + 2)
np.testing.assert_allclose(
    loops(corner, w[:size]), expected[0, :size, :size], rtol=1e-3, atol=1e-3
)
part_seconds = medians({"loops": lambda: loops(corner, w[:size])}, rounds=3)["loops"]
ladder = {"loops": part_seconds * multiplications / (size * size * W * C * 9)}

# %%
# The simplest use of whole arrays has a loop over the weights. Each weight is
# multiplied with the whole map, moved by :math:`(i, j)`:


def shifted(x, w):
    x = with_border(x)
    y = np.zeros((N, O, H, W), x.dtype)
    for o in range(O):
        for c in range(C):
            for i in range(3):
                for j in range(3):
                    y[:, o] += w[o, c, i, j] * x[:, c, i : i + H, j : j + W]
    return y


rungs = {"one weight, whole map": lambda: shifted(x, w)}
check(shifted(x, w))

# %%
# No number is touched by Python any more. But each of the 2,304 steps reads three
# arrays of the size of one channel and writes two, for one multiplication and one
# addition with each number. Most of the work is to move numbers. The matrix product of
# page 5 does better: it loads a block of numbers and uses each of them many times.


def im2col(x):
    """(N, C, H, W) -> (N*H*W, C*9)"""
    windows = np.lib.stride_tricks.sliding_window_view(
        with_border(x), (3, 3), axis=(2, 3)
    )
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9)


def columns_at_once(x, w):
    y = im2col(x) @ w.reshape(O, -1).T  # (N*H*W, O)
    return y.reshape(-1, H, W, O).transpose(0, 3, 1, 2)


rungs["columns of the batch"] = lambda: columns_at_once(x, w)
check(columns_at_once(x, w))
columns_bytes = im2col(x[:1]).nbytes * N
print(f"map {x.nbytes / 2**20:.0f} MiB, columns {columns_bytes / 2**20:.0f} MiB")


def report():
    """The milliseconds of the last two rungs."""
    for name, seconds in medians(dict(list(rungs.items())[-2:])).items():
        print(f"{1e3 * seconds:7.1f} ms  {name}")


report()

# %%
# How far away is a number?
# -------------------------
#
# A processor computes with what lies in its registers. Behind these are caches, each
# larger and slower than the one before, and behind the last is the memory. A number
# that was used a moment ago is still in a cache, unless too many others were used
# since.
#
# How much does it matter? Add two arrays into a third, again and again, and count the
# bytes that are read and written a second. The figure has the sizes of this machine's
# caches, where the system tells them.


def cache_sizes():
    """Bytes of the caches, {"L1": ..., "L2": ..., "L3": ...}; empty if unknown."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            files = (folder / name for name in ("level", "type", "size"))
            level, kind, size = (file.read_text().strip() for file in files)
            if kind != "Instruction":
                sizes[f"L{level}"] = int(size.removesuffix("K")) << 10
        except (OSError, ValueError):
            continue
    return sizes


caches = cache_sizes()
print("caches:", {name: f"{size / 2**20:g} MiB" for name, size in caches.items()})

largest = 25  # arrays of up to 2 ** 25 numbers
elements = [2**power for power in range(11, largest + 1)]
speeds = []
for count in elements:
    a, b, total = (np.ones(count, np.float32) for _ in range(3))
    repeats = max(1, 2**21 // count)

    def add_often(a=a, b=b, total=total, repeats=repeats):
        for _ in range(repeats):
            np.add(a, b, out=total)

    seconds = medians({"add": add_often})["add"] / repeats
    speeds.append(3 * a.nbytes / seconds)

MIB = 2**20


def mark_caches(axes, low, high):
    """A line at each cache's size."""
    for name, size in caches.items():
        place = size / MIB
        if low < place < high:
            axes.axvline(place, color="0.5", linestyle="--", linewidth=1)
            top = axes.get_xaxis_transform()
            axes.text(place, 1.01, name, ha="center", transform=top)


figure, axes = plt.subplots(figsize=(6, 3.6))
sizes = [12 * count / MIB for count in elements]
axes.semilogx(sizes, [speed / 1e9 for speed in speeds], marker="o", linewidth=2.5)
mark_caches(axes, sizes[0], sizes[-1])
axes.set(xlabel="three arrays together (MiB)", ylabel="GB a second")
axes.set_ylim(bottom=0)
axes.xaxis.set_major_formatter("{x:g}")
plt.show()

# %%
# On the far left the call itself takes its time. Then the arrays lie in a cache, and as
# they outgrow one cache after the other, the speed falls: the same addition, only with
# numbers from further away.
#
# Blocks
# ------
#
# The columns of the batch are far too many for the caches near to the processor. They
# are written to memory and come back from there for the product. But they are not
# needed all at once. Make the columns of a few images, multiply, and reuse the same
# memory for the next ones:


def columns_in_blocks(x, w, images):
    y = np.empty((N, O, H, W), x.dtype)
    for first in range(0, N, images):
        part = slice(first, first + images)
        y[part] = columns_at_once(x[part], w)
    return y


check(columns_in_blocks(x, w, 4))
block_sizes = [1, 2, 4, 8, 16, 32, 64, 128]
by_block = medians(
    {images: lambda n=images: columns_in_blocks(x, w, n) for images in block_sizes}
)
rungs["columns in blocks"] = lambda: columns_in_blocks(x, w, 1)

figure, axes = plt.subplots(figsize=(6, 3.6))
sizes = [columns_bytes / N * images / MIB for images in block_sizes]
milliseconds = [1e3 * by_block[images] for images in block_sizes]
axes.semilogx(sizes, milliseconds, marker="o", linewidth=2.5)
mark_caches(axes, sizes[0] / 2, sizes[-1] * 2)
axes.set(xlabel="columns of a block (MiB)", ylabel="time of the layer (ms)")
axes.set_ylim(bottom=0)
axes.xaxis.set_major_formatter("{x:g}")
plt.show()

# %%
# The multiplications are the same for every point of this curve.
#
# Another order in memory
# -----------------------
#
# Most of what is left is the copying of the columns. Why are there copies at all?
# Because the numbers of a window lie apart: three pixels of a row, then a jump to the
# next row, then to the next channel. Suppose the map lay in memory in the order
#
# .. math:: (H, W, C, N)
#
# pixel by pixel, each with all its channels, and each channel with the numbers of all
# images. Then three neighbouring pixels with all their channels are one run of numbers.
# The next window's run begins one pixel further on. The runs overlap, but nothing has
# to be copied for that: a view whose second stride is one pixel shows them all. *The
# pixels beside each other are the columns already.*

cells = [(q, c) for q in range(6) for c in range(2)]  # a row of six pixels, C = 2
figure, axes = plt.subplots(figsize=(6.4, 2.6))
for place, (q, c) in enumerate(cells):
    shade = "#CFE5F4" if q % 2 else "#F4F4F4"
    axes.add_patch(plt.Rectangle((place, 0), 1, 1, facecolor=shade, edgecolor="0.55"))
    axes.text(place + 0.5, 0.5, f"{q},{c}", ha="center", va="center")
for q, color in enumerate(("#D55E00", "#009E73", "#CC79A7", "#0072B2")):
    left, level = 2 * q, -0.45 - 0.55 * q
    bar = plt.Rectangle((left + 0.1, level - 0.12), 5.8, 0.24, color=color)
    axes.add_patch(bar)
    axes.text(left + 6.2, level, f"column of window {q}", va="center")
axes.text(0, 1.25, "a row of pixels in memory: pixel, channel (N numbers each)")
axes.set(xlim=(-0.1, 12.1), ylim=(-2.5, 1.8))
axes.axis("off")
plt.show()

# %%
# The three rows of the window are three such views, one row of pixels apart:
#
# .. math:: y_{pq} = \sum_{i=0}^{2} W_i \; x_{p+i,\;q\,..\,q+2}
#
# where :math:`W_i`, row :math:`i` of all filters, has the shape :math:`(O, 3C)`, the
# run of three pixels :math:`(3C, N)`, and :math:`y_{pq}`, one pixel of all outputs,
# :math:`(O, N)`. ``matmul`` computes the products of all places in one call.


def runs(x):
    """(H, W + 2, C, N) -> (H, W, 3*C, N), a view"""
    H, wide, C, N = x.shape
    return np.lib.stride_tricks.as_strided(
        x, (H, wide - 2, 3 * C, N), x.strides, writeable=False
    )


def rows_of(w):
    """(O, C, 3, 3) -> (3, O, 3*C)"""
    return w.transpose(2, 0, 3, 1).reshape(3, len(w), -1)


def without_columns(x, w):
    """x: (H, W, C, N) -> (H, W, O, N)"""
    H = len(x)
    x = np.pad(x, ((1, 1), (1, 1), (0, 0), (0, 0)))
    y = np.zeros((*x[1:-1, 1:-1].shape[:2], len(w), x.shape[3]), x.dtype)
    for i, w_i in enumerate(rows_of(w)):
        y += w_i @ runs(x[i : i + H])
    return y


def to_pixel_order(x):
    return np.ascontiguousarray(x.transpose(2, 3, 1, 0))  # (N, C, H, W) -> (H, W, C, N)


def to_image_order(y):
    return y.transpose(3, 2, 0, 1)  # (H, W, O, N) -> (N, O, H, W)


x_pixels = to_pixel_order(x)
rungs["no columns"] = lambda: without_columns(x_pixels, w)
check(to_image_order(without_columns(x_pixels, w)))
report()

# %%
# In a network all maps stay in this order, so turning them is not part of the time. The
# library does the same: its tensors have the shape :math:`(N, C, H, W)` and lie in
# memory in the other order, which only the strides tell.
#
# Memory that is used again
# -------------------------
#
# ``np.empty`` takes next to no time. But a large piece of fresh memory is only a
# promise of the system. It hands the memory out in pages of 4 KiB or more, each when it
# is touched for the first time, and clears it before that. The processor's detour for
# it is called a *page fault*, and the system counts them.

try:
    from resource import RUSAGE_SELF, getrusage
except ImportError:  # on Windows
    getrusage = None


def page_faults(function):
    if getrusage is None:
        return 0
    before = getrusage(RUSAGE_SELF).ru_minflt
    function()
    return getrusage(RUSAGE_SELF).ru_minflt - before


large = 64 * 2**20 // 4  # numbers in 64 MiB
kept_array = np.empty(large, np.float32)


def fresh():
    np.empty(large, np.float32).fill(1)


def used_again():
    kept_array.fill(1)


fill_seconds = medians({"fresh memory": fresh, "used again": used_again})
faults = {"fresh memory": page_faults(fresh), "used again": page_faults(used_again)}
for name, seconds in fill_seconds.items():
    print(f"{name}: {1e3 * seconds:5.1f} ms, {faults[name]:,} page faults")

# %%
# A training step asks for arrays of the same sizes again and again. So take the memory
# once, and let NumPy write into it with ``out=``. Here are the border and the result,
# and what a block of rows needs. The block is small, so that the products with one row
# of the filter are still in a cache near to the processor when they are added.

block = 2  # rows of the outputs


def make_buffers(C, O, H, W, N):
    bordered = np.zeros((H + 2, W + 2, C, N), np.float32)  # its border stays 0
    y = np.empty((H, W, O, N), np.float32)
    products = np.empty((block, W, O, N), np.float32)
    return bordered, y, products


buffers = make_buffers(C, O, H, W, N)


def in_kept_memory(x, w):
    bordered, y, products = buffers
    bordered[1:-1, 1:-1] = x
    w0, *others = rows_of(w)
    for top in range(0, len(x), block):
        out = y[top : top + block]
        np.matmul(w0, runs(bordered[top : top + block]), out=out)
        for i, w_i in enumerate(others, start=1):
            np.matmul(w_i, runs(bordered[top + i : top + i + block]), out=products)
            out += products
    return y


rungs["memory used again"] = lambda: in_kept_memory(x_pixels, w)
check(to_image_order(in_kept_memory(x_pixels, w)))
report()

# %%
# Fewer multiplications
# ---------------------
#
# So far every version multiplied as often as the formula says. It can be done with
# less. Take one dimension, a filter of three weights, and two neighbouring outputs:
#
# .. math::
#    y_0 &= d_0 w_0 + d_1 w_1 + d_2 w_2 \\
#    y_1 &= d_1 w_0 + d_2 w_1 + d_3 w_2
#
# Six products. Now look at the two inputs in the middle, which both outputs use. Form
#
# .. math::
#    m_1 &= (d_1 + d_2)\,\frac{w_0 + w_1 + w_2}{2} \\
#    m_2 &= (d_2 - d_1)\,\frac{w_0 - w_1 + w_2}{2}
#
# and multiply out. In the sum the terms :math:`d_1 w_0`, :math:`d_1 w_2` and :math:`d_2
# w_1` cancel, in the difference the others:
#
# .. math::
#    m_1 + m_2 &= d_1 w_1 + d_2 w_0 + d_2 w_2 \\
#    m_1 - m_2 &= d_1 w_0 + d_1 w_2 + d_2 w_1
#
# The first is :math:`y_0`, except that :math:`d_2 w_0` is in the place of :math:`d_0
# w_0`. The second is :math:`y_1`, except that :math:`d_1 w_2` is in the place of
# :math:`d_3 w_2`. One more product mends each:
#
# .. math::
#    m_0 &= (d_0 - d_2)\,w_0, \qquad y_0 = m_0 + m_1 + m_2 \\
#    m_3 &= (d_1 - d_3)\,w_2, \qquad y_1 = m_1 - m_2 - m_3
#
# Four products instead of six. This is Winograd's :math:`F(2, 3)`: two outputs, three
# weights. The halves and sums of the weights are made once for all places.

d, v = generator.standard_normal(4), generator.standard_normal(3)
m0 = (d[0] - d[2]) * v[0]
m1 = (d[1] + d[2]) * (v[0] + v[1] + v[2]) / 2
m2 = (d[2] - d[1]) * (v[0] - v[1] + v[2]) / 2
m3 = (d[1] - d[3]) * v[2]
print("four products:", np.array([m0 + m1 + m2, m1 - m2 - m3]))
print("six products: ", np.array([d[:3] @ v, d[1:] @ v]))
np.testing.assert_allclose([m0 + m1 + m2, m1 - m2 - m3], [d[:3] @ v, d[1:] @ v])

# %%
# The :math:`d` and :math:`w` need not be numbers. Let :math:`d_0` to :math:`d_3` be
# four *rows of the map* and :math:`w_0` to :math:`w_2` the rows of the filter, and let
# each product be a matrix product with runs as above. Two rows of outputs then take
# four such products instead of six. For each output these are 6 multiplications a
# channel instead of 9. The price is additions, which go through memory: it must be done
# block by block. An addition of inputs serves all filters, one of outputs all channels.
# So the more there are of both, the more the trick is worth. With 16 of each, as here,
# it may gain little or nothing.

pairs = block // 2


def transformed(w):
    """(O, C, 3, 3) -> (4, O, 3*C)"""
    w0, w1, w2 = rows_of(w)
    return np.stack([w0, (w0 + w1 + w2) / 2, (w0 - w1 + w2) / 2, w2])


def make_workspace():
    V = np.empty((4, pairs, W + 2, C, N), np.float32)
    M = np.empty((4, pairs, W, O, N), np.float32)
    return V, M


def winograd_block(bordered, U, y, top, workspace):
    V, M = workspace
    d = bordered[top : top + block + 2]
    d0, d1, d2, d3 = d[:-2:2], d[1:-2:2], d[2::2], d[3::2]
    np.subtract(d0, d2, out=V[0])
    np.add(d1, d2, out=V[1])
    np.subtract(d2, d1, out=V[2])
    np.subtract(d1, d3, out=V[3])
    for U_j, V_j, M_j in zip(U, V, M, strict=True):
        np.matmul(U_j, runs(V_j), out=M_j)
    y0, y1 = y[top : top + block : 2], y[top + 1 : top + block : 2]
    np.add(M[1], M[2], out=y0)
    y0 += M[0]
    np.subtract(M[1], M[2], out=y1)
    y1 -= M[3]


workspaces = [make_workspace() for _ in range(2)]  # the second one is for later


def winograd(x, w):
    bordered, y, _ = buffers
    bordered[1:-1, 1:-1] = x
    U = transformed(w)
    for top in range(0, H, block):
        winograd_block(bordered, U, y, top, workspaces[0])
    return y


rungs["Winograd"] = lambda: winograd(x_pixels, w)
check(to_image_order(winograd(x_pixels, w)))
report()

# %%
# Threads
# -------
#
# Python lets one thread at a time run its code: the others wait for its lock. But NumPy
# lets the lock go while it computes on an array. So on two free cores two threads help
# where the work is in NumPy, and not where it is in Python itself:

pool = ThreadPoolExecutor(2)
matrix = square[:700, :700]


def in_python():
    return sum(i * i for i in range(200_000))


def in_numpy():
    return matrix @ matrix


def twice(function):
    function()
    function()


def by_two_threads(function):
    list(pool.map(lambda _: function(), range(2)))


gain = {}
for name, function in {"in Python": in_python, "in NumPy": in_numpy}.items():
    one_after_other = medians({"one": lambda f=function: twice(f)})["one"]
    side_by_side = medians({"two": lambda f=function: by_two_threads(f)})["two"]
    gain[name] = one_after_other / side_by_side
    print(f"work {name}: two threads are {gain[name]:.2f} times as fast as one")

# %%
# The blocks of the convolution do not need each other. Each thread takes every second
# one, and has memory of its own, which stays in the cache of that thread's core if it
# is small enough.


def threaded(x, w):
    bordered, y, _ = buffers
    bordered[1:-1, 1:-1] = x
    U = transformed(w)

    def work(thread):
        for top in range(thread * block, H, 2 * block):
            winograd_block(bordered, U, y, top, workspaces[thread])

    list(pool.map(work, range(2)))
    return y


rungs["two threads"] = lambda: threaded(x_pixels, w)
check(to_image_order(threaded(x_pixels, w)))
report()

# %%
# Why not twice as fast? Between two calls of NumPy a thread holds the lock, and the
# other one waits if it needs it just then. One of the threads copies the map into its
# border while the other has nothing to do. The cores share the memory, and often a
# cache. And the thread that finishes first waits for the other.
#
# Work that passes over memory
# ----------------------------
#
# Batch norm and ReLU compute next to nothing: a multiplication, an addition and a
# comparison for each number. Written as the formula, that is three passes over the map,
# with fresh memory for what lies between them. In pieces that stay in the cache, with
# ``out=``, the map comes from memory once and goes back once. The arithmetic is the
# same.
#
# One more trick: scale and shift have one number for each channel. Repeated for all
# images they are as long as a pixel of the map, :math:`C N` numbers, and NumPy's inner
# loop goes over all of them at once.

scale, shift = generator.standard_normal((2, C, 1), dtype=np.float32)
wide_scale, wide_shift = (
    np.repeat(values, N, axis=1).reshape(-1)
    for values in (scale, shift)  # (C*N)
)
pixels = np.repeat(x_pixels.reshape(H * W, C * N), 4, axis=0)  # of a larger map
result = np.empty_like(pixels)


def three_passes():
    return np.maximum(pixels * wide_scale + wide_shift, 0)


def one_sweep(piece=64):
    for first in range(0, len(pixels), piece):
        out = result[first : first + piece]
        np.multiply(pixels[first : first + piece], wide_scale, out=out)
        out += wide_shift
        np.maximum(out, 0, out=out)
    return result


np.testing.assert_array_equal(one_sweep(), three_passes())
sweeps = medians({"three passes": three_passes, "one sweep": one_sweep})
for name, seconds in sweeps.items():
    print(f"{name}: {1e3 * seconds:.1f} ms for {pixels.nbytes / MIB:.0f} MiB")

# %%
# In the library a block lists its steps, ``chain(x, ..., bn, Plus(shortcut), relu)``,
# and the chain calls ``bn(x, add=shortcut, relu=True)``: all three in one sweep.
#
# The whole ladder
# ----------------
#
# All rungs once more, in turn, and the library's convolution with one thread and with
# two. The library gets its map in the order in which its own layers leave it.

map_in_pixel_order = Tensor(x_pixels.transpose(3, 2, 0, 1))
weight = Tensor(w)


def library(threads):
    set_num_threads(threads)
    with no_grad():
        F.conv2d(map_in_pixel_order, weight, padding=1).numpy()
    set_num_threads(1)


rounds = 5
rungs["library, one thread"] = lambda: library(1)
rungs["library, two threads"] = lambda: library(2)
ladder |= medians(rungs, rounds=rounds)
print("milliseconds, billion operations a second, % of the large product")
for name, seconds in ladder.items():
    speed = 2 * multiplications / seconds
    numbers = f"{1e3 * seconds:9.1f} {speed / 1e9:8.3f} {100 * speed / peak:8.3f}"
    print(f"{numbers}  {name}")

figure, axes = plt.subplots(figsize=(6.4, 4.4))
names = list(ladder)[::-1]
times = [1e3 * ladder[name] for name in names]
colors = ["#D55E00" if name.startswith("library") else "#0072B2" for name in names]
bars = axes.barh(names, times, color=colors)
numbers = [f"{t:,.0f}" if t >= 100 else f"{t:.1f}" for t in times]
axes.bar_label(bars, numbers, padding=3)
axes.set(xscale="log", xlabel="time of the layer (ms)")
axes.set_xlim(min(times) / 3, 15 * max(times))
axes.grid(axis="y", visible=False)
plt.show()

# %%
# The operations are counted from the formula, also where Winograd's trick saves some.
# The large product runs on one thread; two threads may do more.
#
# And a whole network
# -------------------
#
# A training step of ResNet-20: forward, backward, update. Each convolution is computed
# three times, for :math:`y`, :math:`g^x` and :math:`g^W`. On page 5 each was a matrix
# product with the same three sizes, so all take the same number of multiplications.
# Only the first layer's :math:`g^x` is not needed, so the count is a little too high.

images = 64
model = models.create("resnet20", generator=0)
optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
batch = Tensor(generator.standard_normal((images, 3, 32, 32), dtype=np.float32))
labels = generator.integers(0, 10, images)


def training_step(threads):
    set_num_threads(threads)
    loss = F.cross_entropy(model(batch), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


step_seconds = medians({n: lambda n=n: training_step(n) for n in (1, 2)}, rounds=3)
multiply_adds = sum(row.multiply_adds for row in models.summarize(model))
operations_per_image = 3 * 2 * multiply_adds
for threads, seconds in step_seconds.items():
    share = operations_per_image * images / seconds / peak
    print(
        f"{threads} thread(s): {images / seconds:.0f} images a second, "
        f"{100 * share:.0f} % of the large product's speed"
    )
pool.shutdown()

# %%
# The rest of the time goes into batch norm, ReLU and additions, which move numbers and
# hardly compute, into small maps, and into Python between the calls.
#
# Exercises
# ---------
#
# 1. Use :math:`F(2, 3)` in both directions: a tile of 4 x 4 inputs gives 2 x 2 outputs.
#    With matrices, :math:`y = A^T [(G w G^T) \odot (B^T d B)] A`. Write down :math:`A`,
#    :math:`G` and :math:`B`, check one tile, then a whole map against the library. How
#    many multiplications does an output take?
# 2. Write the gradient of the weights in the order :math:`(H, W, C, N)`, without
#    columns, and check it against the library.
# 3. Draw the time of ``one_sweep`` against the size of a piece, from a few hundred
#    numbers to all of them. What makes small pieces slow? What speaks against large
#    ones, and does it show on your machine?
#
# :doc:`The solutions <solutions/13_fast_on_a_cpu_solutions>` are a program, too.
