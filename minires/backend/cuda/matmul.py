"""Products of matrices on tensor cores. See matmul.cu."""

from minires.backend.cuda import cublas, ladder
from minires.backend.cuda.gather import BLOCKS_WANTED
from minires.backend.cuda.launch import blocks_for, launch
from minires.backend.cuda.maps import WARP
from minires.backend.device import library

FILE = "matmul.cu"
TILE, DEPTH, THREADS = 64, 16, 128
SHARED = 4 * (TILE * (DEPTH + 4) + DEPTH * (TILE + 8))
LEAST_STEPS = 4  # that a split is long
ADDING = 512  # threads that add splits, 32 sums side by side


def matmul(a, b):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P), by cuBLAS where it is not about two matrices.

    y is float32, also where a factor is made of a map in bfloat16.
    """
    a, b = (factor.astype("float32", copy=False) for factor in (a, b))
    if ladder.rung() == "explicit" or not a.ndim == b.ndim == 2:
        return cublas.product(a, b)
    return _on_tensor_cores(a, b)


def _on_tensor_cores(a, b):
    (M, K), P = a.shape, b.shape[1]
    if not M * K * P:
        return library(a).zeros((M, P), "float32")
    blocks = blocks_for(M, TILE), blocks_for(P, TILE), splits_of(M, K, P)
    y = library(a).empty((M, P), "float32")
    splits = blocks[2]
    partials = y if splits == 1 else library(a).empty((splits, M, P), "float32")
    strides = (stride // 4 for stride in (*a.strides, *b.strides))
    name = f"matmul_{ladder.products()}"
    launch(FILE, name, blocks, THREADS, a, b, partials, M, K, P, *strides, shared=SHARED)
    if splits > 1:
        sums = blocks_for(M * P, WARP)
        launch(FILE, "add_splits", sums, ADDING, partials, y, splits, M * P, shared=4 * ADDING)
    return y


def splits_of(M, K, P):
    """How many blocks share the sum over K: more where y has few tiles. It depends on the shapes alone."""
    steps = blocks_for(K, DEPTH)
    splits = min(BLOCKS_WANTED // (blocks_for(M, TILE) * blocks_for(P, TILE)), steps // LEAST_STEPS)
    return blocks_for(steps, blocks_for(steps, max(1, splits)))  # none of them without a step
