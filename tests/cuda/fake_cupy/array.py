"""ndarray, an array in device memory, and apply(), which computes with them what a function of NumPy does."""

import ctypes
import operator

import numpy as np

from fake_cupy import memory
from fake_cupy.streams import get_current_stream, issue, refuse_in_capture

SCALARS = (bool, int, float, complex, np.generic)


class ndarray:  # noqa: N801, CuPy's name
    """An array in device memory: `_view` is NumPy's view of it, `_memory` keeps it from being given away."""

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

    # What the host knows without asking the device

    shape = property(lambda self: self._view.shape)
    dtype = property(lambda self: self._view.dtype)
    ndim = property(lambda self: self._view.ndim)
    size = property(lambda self: self._view.size)
    nbytes = property(lambda self: self._view.nbytes)
    itemsize = property(lambda self: self._view.itemsize)
    strides = property(lambda self: self._view.strides)
    flags = property(lambda self: self._view.flags)
    T = property(lambda self: self.transpose())

    @property
    def data(self):
        pointer = object.__new__(memory.MemoryPointer)
        pointer.mem, pointer.ptr, pointer.owner = self._memory.mem, self._view.ctypes.data, self._memory
        return pointer

    def __len__(self):
        return len(self._view)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # To the host and back

    def get(self, stream=None, order="C", out=None):
        refuse_in_capture("copying an array to the host")
        return self._view.copy(order)

    def set(self, array, stream=None):
        refuse_in_capture("copying an array to the device")
        if not isinstance(array, np.ndarray):
            raise TypeError("only an array of NumPy can be set")
        if (array.shape, array.dtype) != (self.shape, self.dtype):
            raise ValueError(f"{array.dtype} {array.shape} does not fit into {self.dtype} {self.shape}")
        self._view[...] = array

    def item(self):
        return self.get().item()

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return operator.index(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get().item() if self.ndim == 0 else self.get(), spec)

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__":
            return NotImplemented
        return apply(ufunc, inputs, options)

    # Elements

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        for part in key:
            if is_mask(part) or isinstance(part, (list, np.ndarray)):
                refuse_in_capture("a mask, or an index from the host,")
        key = key if any(part is Ellipsis for part in key) else (*key, Ellipsis)  # no scalars: 0-d views
        if any(isinstance(part, (list, np.ndarray, ndarray)) for part in key):
            return apply(np.ndarray.__getitem__, (self, Key(key)))
        return ndarray._of(self._view[key], self._memory)

    def __setitem__(self, key, value):
        if isinstance(value, (list, tuple)):
            raise TypeError(f"Unsupported type {type(value)}")
        if isinstance(value, ndarray):
            for part in key if isinstance(key, tuple) else (key,):
                if is_mask(part):
                    refuse_in_capture("setting the elements under a mask to those of an array")
        apply(np.ndarray.__setitem__, (self, Key(key), value), out=self)

    # Views, and copies where a view cannot be

    def reshape(self, *shape, order="C"):
        return apply(np.ndarray.reshape, (self, *shape), {"order": order}, may_share=True)

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == dtype:
            return self
        return apply(np.ndarray.astype, (self, np.dtype(dtype)), {"order": order}, strict=False)

    def copy(self, order="C"):
        return apply(np.ndarray.copy, (self, order))

    def fill(self, value):
        apply(np.ndarray.fill, (self, value), out=self)

    def dot(self, other):
        return apply(np.dot, (self, other))

    def nonzero(self):
        return apply(np.nonzero, (self,))


def is_mask(index):
    return isinstance(index, ndarray) and index.dtype.kind == "b"


class Key:
    """A key of [...], which may hold what no other argument may: lists and arrays of NumPy."""

    def __init__(self, key):
        self.key = key


BLAS = {np.matmul, np.dot, np.tensordot, np.einsum, np.vdot, np.inner, np.kron}
SYNCHRONIZING = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.bincount}
WITHOUT_ARRAYS = {
    *(np.zeros, np.ones, np.full, np.empty, np.arange, np.linspace, np.eye, np.identity, np.indices),
    *(np.zeros_like, np.ones_like, np.full_like, np.empty_like),
}


def apply(function, arguments, options=None, may_share=False, out=None, strict=True):
    """function(*arguments, **options) of NumPy on arrays of the device.

    may_share: whether the result may be a view of an argument.
    out: the array that `function` writes to by itself.
    strict: refuse float64 that comes from float32.
    """
    options = options or {}
    check(function, arguments)
    inputs = Inputs()
    on_host, options_on_host = inputs.on_host(arguments), inputs.on_host(options)

    def compute():
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            return function(*on_host, **options_on_host)

    out = options.get("out", out)
    if out is not None:
        issue(compute, inputs.blocks())
        return out[0] if isinstance(out, tuple) else out
    # What is only written down is tried on zeros, for the shape and dtype of its result.
    later = get_current_stream().is_capturing()
    result = tried_on_zeros(function, arguments, options) if later and not may_share else compute()
    if strict and "dtype" not in options:
        check_precision(function, inputs.arrays, result)
    if isinstance(result, (tuple, list)):
        parts = (lambda i=i: compute()[i] for i in range(len(result)))
        return type(result)(
            placed(part, again if later else None, inputs, may_share)
            for part, again in zip(result, parts, strict=True)
        )
    return placed(result, compute if later else None, inputs, may_share)


def tried_on_zeros(function, arguments, options):
    zeros = Inputs(lambda array: np.zeros_like(array._view))
    with np.errstate(all="ignore"):
        return function(*zeros.on_host(arguments), **zeros.on_host(options))


def placed(result, compute, inputs, may_share):
    """A result of NumPy in device memory; `compute` instead computes it later, when a graph is launched."""
    if may_share:
        for array in inputs.arrays:
            if result is array._view:
                return array
            if np.may_share_memory(result, array._view):
                return ndarray._of(result, array._memory)
    result = np.asarray(result)
    array = ndarray(result.shape, result.dtype, strides=np.empty_like(result).strides)
    # Only the view: a graph does not keep memory from being given to others.
    view, compute = array._view, compute or (lambda: result)
    issue(lambda: np.copyto(view, compute()), (*inputs.blocks(), array._memory.mem))
    return array


class Inputs:
    """Puts NumPy's views in the place of the device arrays among the arguments, and remembers the arrays."""

    def __init__(self, view_of=operator.attrgetter("_view")):
        self.arrays, self.view_of = [], view_of

    def blocks(self):
        return tuple(array._memory.mem for array in self.arrays)

    def on_host(self, value):
        if isinstance(value, ndarray):
            self.arrays.append(value)
            return self.view_of(value)
        if isinstance(value, Key):
            return self.key_on_host(value.key)
        if isinstance(value, np.ndarray):
            raise TypeError(f"Unsupported type {type(value)}: it lies on the host, not on the device")
        if isinstance(value, dict):
            return {key: self.on_host(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return type(value)(map(self.on_host, value))
        return value

    def key_on_host(self, key):
        if isinstance(key, tuple):
            return tuple(map(self.key_on_host, key))
        return key if isinstance(key, (np.ndarray, list)) else self.on_host(key)


def check(function, arguments):
    """Refuse what CuPy refuses."""
    if function in BLAS:
        refuse_in_capture("calling cuBLAS", error=NotImplementedError)
    if function in SYNCHRONIZING or (function is np.where and len(arguments) == 1):
        refuse_in_capture(f"{function.__name__}, whose result's shape only the device knows,")
    arrays = arguments if isinstance(function, np.ufunc) else arguments[:1]
    for value in () if function in WITHOUT_ARRAYS else arrays:
        if isinstance(value, list) and not any(isinstance(item, ndarray) for item in value):
            raise TypeError(f"Unsupported type {type(value)}")


def check_precision(function, arrays, result):
    """Refuse float64 that float32 turned into: on the way it doubles memory and time."""
    dtypes = {array.dtype.name for array in arrays}
    for part in result if isinstance(result, (tuple, list)) else (result,):
        if getattr(part, "dtype", None) == np.float64 and "float32" in dtypes and "float64" not in dtypes:
            raise AssertionError(
                f"{function.__name__} of float32 became float64; perhaps by a scalar of NumPy"
            )


# Methods that are functions of NumPy's arrays

VIEWS = ("transpose", "swapaxes", "ravel", "squeeze", "view", "diagonal")
COMPUTED = (
    *("sum", "mean", "max", "min", "var", "std", "prod", "argmax", "argmin", "any", "all", "argsort"),
    *("cumsum", "clip", "round", "take", "repeat", "flatten", "conj"),
)
BINARY = {
    **{"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "pow": np.power},
    **{"floordiv": np.floor_divide, "mod": np.remainder, "matmul": np.matmul},
    **{"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor},
    **{"lshift": np.left_shift, "rshift": np.right_shift},
}
COMPARED = {
    **{"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal},
    **{"eq": np.equal, "ne": np.not_equal},
}
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _method(name, may_share):
    function = getattr(np.ndarray, name)
    return lambda self, *arguments, **options: apply(function, (self, *arguments), options, may_share)


def _unary(function):
    return lambda self: apply(function, (self,))


def _binary(function, reflected=False, in_place=False):
    def method(self, other):
        if getattr(type(other), "__array_ufunc__", self) is None:
            return NotImplemented  # it wants to do this itself
        if not isinstance(other, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(other)}")
        pair = (other, self) if reflected else (self, other)
        return apply(function, pair, {"out": self} if in_place else {})

    return method


for _name in VIEWS + COMPUTED:
    setattr(ndarray, _name, _method(_name, _name in VIEWS))
for _name, _function in UNARY.items():
    setattr(ndarray, f"__{_name}__", _unary(_function))
for _name, _function in COMPARED.items():
    setattr(ndarray, f"__{_name}__", _binary(_function))
for _name, _function in BINARY.items():
    setattr(ndarray, f"__{_name}__", _binary(_function))
    setattr(ndarray, f"__r{_name}__", _binary(_function, reflected=True))
    setattr(ndarray, f"__i{_name}__", _binary(_function, in_place=True))
