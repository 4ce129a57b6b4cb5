"""Matrix products: on tensor cores (matmul.cu), or by cuBLAS on cards without them."""

from minires.backend.cuda import cublas, kernel_settings
from minires.backend.cuda.gather import BUSY_CARD_BLOCKS
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP
from minires.backend.device import library

FILE = "matmul.cu"
TILE, DEPTH, THREADS = 64, 16, 128  # as in the kernel
SHARED_BYTES = 4 * (TILE * (DEPTH + 4) + DEPTH * (TILE + 8))
MIN_SPLIT_STEPS = 4  # steps of DEPTH along K that a split has at least
ADDING_THREADS = 512  # of a block that adds the sums of the splits, 32 sums side by side


def matmul(a, b):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P).

    cuBLAS multiplies on the rung "explicit", and where a factor does not have exactly two axes.
    y is float32, also for factors in bfloat16.
    """
    a, b = (factor.astype("float32", copy=False) for factor in (a, b))
    if kernel_settings.rung() == "explicit" or not a.ndim == b.ndim == 2:
        return cublas.matmul_on_any_gpu(a, b)
    return _matmul_on_tensor_cores(a, b)


def _matmul_on_tensor_cores(a, b):
    (M, K), P = a.shape, b.shape[1]
    if not M * K * P:
        return library(a).zeros((M, P), "float32")
    blocks = blocks_for(M, TILE), blocks_for(P, TILE), split_count(M, K, P)
    y = library(a).empty((M, P), "float32")
    splits = blocks[2]
    partials = y if splits == 1 else library(a).empty((splits, M, P), "float32")
    strides = (stride // 4 for stride in (*a.strides, *b.strides))
    name = f"matmul_{kernel_settings.product_precision()}"
    launch(FILE, name, blocks, THREADS, a, b, partials, M, K, P, *strides, shared=SHARED_BYTES)
    if splits > 1:
        sums, shared = blocks_for(M * P, WARP), 4 * ADDING_THREADS
        launch(FILE, "add_splits", sums, ADDING_THREADS, partials, y, splits, M * P, shared=shared)
    return y


def split_count(M, K, P):
    """How many blocks share the sum over K: more if y has few tiles. It depends on the shapes alone."""
    steps = blocks_for(K, DEPTH)
    splits = min(BUSY_CARD_BLOCKS // (blocks_for(M, TILE) * blocks_for(P, TILE)), steps // MIN_SPLIT_STEPS)
    return blocks_for(steps, blocks_for(steps, max(1, splits)))  # so that every split has a step
