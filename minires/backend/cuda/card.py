"""The GPU in use, and what it can do."""

from dataclasses import dataclass
from functools import cache

from minires.backend.device import load_cupy

TENSOR_CORES = (8, 0)  # the first cards whose tensor cores multiply TF32: Ampere, 2020


@dataclass(frozen=True)
class Card:
    """An NVIDIA GPU: its name, compute capability (major, minor), and memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int

    @property
    def has_tensor_cores(self):
        """Whether they multiply TF32."""
        return self.capability >= TENSOR_CORES


@cache
def card():
    """The Card in use; DeviceError if there is none."""
    cupy = load_cupy()
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    capability = properties["major"], properties["minor"]
    return Card(properties["name"].decode(), capability, properties["totalGlobalMem"])
