"""Matrix products, shared by the threads."""

import numpy as np

from minires.backend.cpu.buffers import empty
from minires.backend.cpu.threads import chunk_ranges, parallel_map

SERIAL_BELOW_MULTIPLICATIONS = 1 << 22  # one thread computes so few before a second has started
MOST_TERMS = 1 << 15  # products that are added up in float32, which loses digits of longer sums
TERMS = 1 << 7  # of each part of a longer sum


def matmul(a, b):
    """y = a b; large products are cut along the rows or the columns of y, along the longer of the two."""
    if a.shape[-1] > MOST_TERMS and a.dtype.kind == b.dtype.kind == "f":
        return sum_of_products(a, b)
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype or a.size * b.shape[1] < SERIAL_BELOW_MULTIPLICATIONS:
        return a @ b
    y = empty((len(a), b.shape[1]), a.dtype)

    def multiply_rows(chunk):
        np.matmul(a[slice(*chunk)], b, out=y[slice(*chunk)])

    def multiply_columns(chunk):
        np.matmul(a, b[:, slice(*chunk)], out=y[:, slice(*chunk)])

    work = multiply_rows if len(y) >= y.shape[1] else multiply_columns
    parallel_map(work, chunk_ranges(max(y.shape), max(y.shape), shared=True))
    return y


def sum_of_products(a, b):
    """y = a b with many terms in each sum: cut along the terms, whose partial sums are added in float64."""
    parts = chunk_ranges(a.shape[-1], TERMS)
    products = (matmul(a[..., low:high], b[..., low:high, :]) for low, high in parts)
    return sum(product.astype(np.float64) for product in products).astype(np.result_type(a, b))
