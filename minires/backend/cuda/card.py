"""The GPU in use, and what it can do."""

from dataclasses import dataclass
from functools import cache

from minires.backend.device import load_cupy

TF32_COMPUTE_CAPABILITY = (8, 0)  # Ampere (2020), the first cards whose tensor cores multiply TF32


@dataclass(frozen=True)
class Card:
    """An NVIDIA GPU: its name, compute capability (major, minor), and memory in bytes."""

    name: str
    compute_capability: tuple[int, int]
    memory: int

    @property
    def has_tf32_tensor_cores(self):
        """Whether the GPU has tensor cores that multiply TF32."""
        return self.compute_capability >= TF32_COMPUTE_CAPABILITY


@cache
def card():
    """The Card in use. Raises DeviceError if there is none."""
    cupy = load_cupy()
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    compute_capability = properties["major"], properties["minor"]
    return Card(properties["name"].decode(), compute_capability, properties["totalGlobalMem"])
