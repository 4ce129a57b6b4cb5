"""What the tests of kernels share: maps on the device, in float32 or bfloat16, and what Hypothesis draws."""

import ml_dtypes
import numpy as np
from emulator import SANITIZED
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from minires.backend.cuda import batch_normalization

SEEDS = st.integers(0, 2**32 - 1)
STORAGE = st.sampled_from(["float32", "bfloat16"])
CHANNELS = st.sampled_from([1, 3, 4, 5, 8, 10, 36])
TOLERANCE = {"float32": 1e-5, "bfloat16": 2**-7}  # of the largest entry; bfloat16 has 8 bits


def few(examples):
    """Emulated threads are slow, and slower yet under AddressSanitizer: so many examples, or a quarter.

    They may share the device.
    """
    examples = -(-examples // 4) if SANITIZED else examples
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def map_shapes(draw, most_images=3, largest=5, axes=(0, 1, 2, 3)):
    """(N, C, ...) with none to three further axes."""
    size = draw(st.lists(st.integers(1, largest), min_size=min(axes), max_size=max(axes)))
    return draw(st.integers(1, most_images)), draw(CHANNELS), *size


def bfloat16(x):
    """The numbers that are left of float32 ones: to the nearest of 8 bits, a tie to the even one."""
    return np.asarray(x).astype(ml_dtypes.bfloat16).astype(np.float32)


def mean_and_var(statistics):
    """What the GPU took of each channel while it wrote a map, (C,) each."""
    weight = statistics[0, 0]
    return batch_normalization(weight, weight, statistics, eps=1.0)[:2]


class Maps:
    """Puts maps on the device and takes them back, in one of the two ways in which they are stored."""

    def __init__(self, cupy, storage="float32", channels_last=True):
        self.cupy, self.storage, self.channels_last = cupy, storage, channels_last

    def rounded(self, x):
        """x as it is stored, for the plain kernels to compute with."""
        return bfloat16(x) if self.storage == "bfloat16" else x

    def there(self, x):
        """x on the device, in memory as N, ..., C or as N, C, ..."""
        if x is None:
            return None
        x = np.ascontiguousarray(x, np.float32)
        if self.storage == "bfloat16":
            x = x.astype(ml_dtypes.bfloat16)
        if not self.channels_last:
            return self.cupy.asarray(x)
        moved = self.cupy.asarray(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
        return moved.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))

    def back(self, x):
        return x.get().astype(np.float32)

    def agree(self, on_device, expected, tolerance=None):
        """Same shape, and no entry further apart than the tolerance times the largest entry."""
        ours = self.back(on_device)
        assert ours.shape == expected.shape
        tolerance = TOLERANCE[self.storage] if tolerance is None else tolerance
        np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * (np.abs(expected).max() or 1))
