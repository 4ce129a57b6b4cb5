"""Helpers for the tests of kernels: maps on the GPU, in float32 or bfloat16, and strategies of Hypothesis."""

import ml_dtypes
import numpy as np
from emulator import SANITIZED
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from minires.backend.cuda import batch_normalization

SEEDS = st.integers(0, 2**32 - 1)
STORAGE = st.sampled_from(["float32", "bfloat16"])
CHANNELS = st.sampled_from([1, 3, 4, 5, 8, 10, 36])
TOLERANCE = {"float32": 1e-5, "bfloat16": 2**-7}  # relative to the largest entry; bfloat16 has 8 bits


def with_examples(examples):
    """Settings of Hypothesis with this number of examples, or a quarter of it under AddressSanitizer.

    Emulated threads are slow, and slower still under AddressSanitizer. All examples of a test share a device.
    """
    examples = -(-examples // 4) if SANITIZED else examples
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def map_shapes(draw, most_images=3, largest=5, axes=(0, 1, 2, 3)):
    """(N, C, ...) with none to three further axes."""
    size = draw(st.lists(st.integers(1, largest), min_size=min(axes), max_size=max(axes)))
    return draw(st.integers(1, most_images)), draw(CHANNELS), *size


def bfloat16(x):
    """float32 numbers, rounded to bfloat16: to the nearest number with 8 bits, a tie to the even one."""
    return np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float32)


def mean_and_var(statistics):
    """The mean and the variance of each channel, (C,) each, out of partial statistics (blocks, 3, C)."""
    weight = statistics[0, 0]
    return batch_normalization(weight, weight, statistics, eps=1.0)[:2]


class Maps:
    """Copies maps to the GPU and back. storage: "float32" or "bfloat16", in which the GPU stores them."""

    def __init__(self, cupy, storage="float32", channels_last=True):
        self.cupy, self.storage, self.channels_last = cupy, storage, channels_last

    def rounded(self, x):
        """x as the GPU stores it, in float32, as input for the reference kernels."""
        return bfloat16(x) if self.storage == "bfloat16" else x

    def to_gpu(self, x):
        """x on the GPU, stored as N, ..., C or, without channels_last, as N, C, ...; None for None."""
        if x is None:
            return None
        x = np.ascontiguousarray(x, np.float32)
        if self.storage == "bfloat16":
            x = x.astype(ml_dtypes.bfloat16)
        if not self.channels_last:
            return self.cupy.asarray(x)
        moved = self.cupy.asarray(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
        return moved.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))

    def to_cpu(self, x):
        return x.get().astype(np.float32)

    def agree(self, on_gpu, expected, tolerance=None):
        """Assert the same shape, and that no difference is above the tolerance times the largest entry."""
        result = self.to_cpu(on_gpu)
        assert result.shape == expected.shape
        tolerance = TOLERANCE[self.storage] if tolerance is None else tolerance
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * (np.abs(expected).max() or 1))
