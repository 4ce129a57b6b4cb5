"""The methods and operators of ndarray that compute. Each calls a function of NumPy."""

import numpy as np

from fake_cupy.apply import Key, apply
from fake_cupy.array import ndarray
from fake_cupy.refusals import check_assignment, check_key, parts
from fake_cupy.signatures import METHODS

SCALARS = (bool, int, float, complex, np.generic)

VIEWS = {"transpose", "swapaxes", "reshape", "ravel", "squeeze", "view", "diagonal"}
IN_PLACE = {"fill", "sort"}

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


def method(name, signature):
    function = getattr(np.ndarray, name)

    def call(self, *arguments, **options):
        signature.bind(self, *arguments, **options)
        out = self if name in IN_PLACE else None
        result = apply(function, (self, *arguments), options, may_share=name in VIEWS, out=out)
        return None if name in IN_PLACE else result

    return call


def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
    if not copy and self.dtype == dtype:
        return self
    return apply(np.ndarray.astype, (self, np.dtype(dtype)), {"order": order})


def unary(function):
    return lambda self: apply(function, (self,))


def binary(function, reflected=False, in_place=False):
    def operator(self, other):
        if getattr(type(other), "__array_ufunc__", self) is None:
            return NotImplemented  # such a class implements the operator itself
        if not isinstance(other, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(other)}")
        pair = (other, self) if reflected else (self, other)
        return apply(function, pair, {"out": self} if in_place else {})

    return operator


def called_by_numpy(self, ufunc, name, *inputs, **options):
    return apply(ufunc, inputs, options) if name == "__call__" else NotImplemented


def getitem(self, key):
    check_key(key)
    key = parts(key)
    if any(isinstance(part, (list, np.ndarray, ndarray)) for part in key):
        return apply(np.ndarray.__getitem__, (self, Key(key)))
    # With an Ellipsis NumPy returns a view without axes in place of a scalar.
    key = key if any(part is Ellipsis for part in key) else (*key, Ellipsis)
    return ndarray._of(self._view[key], self._memory)


def setitem(self, key, value):
    check_assignment(key, value)
    apply(np.ndarray.__setitem__, (self, Key(key), value), out=self)


def elements(self):
    return (self[i] for i in range(len(self)))


for _name, _signature in METHODS.items():
    setattr(ndarray, _name, method(_name, _signature))
for _name, _function in UNARY.items():
    setattr(ndarray, f"__{_name}__", unary(_function))
for _name, _function in COMPARED.items():
    setattr(ndarray, f"__{_name}__", binary(_function))
for _name, _function in BINARY.items():
    setattr(ndarray, f"__{_name}__", binary(_function))
    setattr(ndarray, f"__r{_name}__", binary(_function, reflected=True))
    if _name != "matmul":  # a @= b is a = a @ b
        setattr(ndarray, f"__i{_name}__", binary(_function, in_place=True))
ndarray.astype = astype
ndarray.T = property(lambda self: self.transpose())
ndarray.__array_ufunc__ = called_by_numpy
ndarray.__getitem__, ndarray.__setitem__, ndarray.__iter__ = getitem, setitem, elements
