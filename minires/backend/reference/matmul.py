"""The matrix product."""


def matmul(a, b):
    """y = a b: (..., M, K), (..., K, P) -> (..., M, P)."""
    return a @ b
