"""ndarray: an array in device memory, with its attributes and its copies from and to the host.

methods.py adds the methods and operators that compute.
"""

import ctypes

import numpy as np

from fake_cupy import memory
from fake_cupy.streams import get_current_stream, issue, refuse_like_cupy


class ndarray:  # noqa: N801, CuPy's name
    """An array in device memory. `_view` is NumPy's view of it; `_memory` keeps the memory in use."""

    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._memory = memory.alloc(size) if memptr is None else memptr
        bytes_ = (ctypes.c_ubyte * size).from_address(self._memory.ptr)
        self._view = np.ndarray(shape, dtype, bytes_, strides=strides, order=order)

    @classmethod
    def _of(cls, view, memory):
        array = object.__new__(cls)
        array._view, array._memory = view, memory
        return array

    # Attributes that the host knows without a copy from the device

    shape = property(lambda self: self._view.shape)
    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    nbytes = property(lambda self: self._view.nbytes)
    itemsize = property(lambda self: self._view.itemsize)
    strides = property(lambda self: self._view.strides)
    flags = property(lambda self: self._view.flags)

    @property
    def data(self):
        pointer = object.__new__(memory.MemoryPointer)
        pointer.mem, pointer.ptr, pointer.owner = self._memory.mem, self._view.ctypes.data, self._memory
        return pointer

    def __len__(self):
        return len(self._view)

    def __deepcopy__(self, memo):
        return self.copy()

    # To the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        refuse_like_cupy("copying an array to the host")
        stream = stream or get_current_stream()
        issue(lambda: None, (self._memory.mem,), stream)
        if blocking:
            stream.synchronize()
        if out is None:
            return self._view.copy(order)
        if (out.shape, out.dtype) != (self.shape, self.dtype):
            raise TypeError(f"{self.dtype} {self.shape} cannot be copied to {out.dtype} {out.shape}")
        out[...] = self._view
        return out

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def tobytes(self, order="C"):
        return self.get().tobytes(order)

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get()[()], spec)

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    # From the host

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("only an array of NumPy can be set")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} cannot be set to {self.dtype}")
        if arr.shape != self.shape:
            raise ValueError(f"{arr.shape} cannot be set to {self.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("an array with gaps, or in another order than C or F, cannot be set")
        refuse_like_cupy("copying an array to the device")
        issue(lambda: np.copyto(self._view, arr), (self._memory.mem,), stream)
