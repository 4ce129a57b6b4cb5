"""cupy._core: the setting for how precisely cuBLAS multiplies float32."""

from types import SimpleNamespace

COMPUTE_TYPE_DEFAULT, COMPUTE_TYPE_TF32 = 1, 7
_types = {}


def get_compute_type(dtype):
    return _types.get(dtype, COMPUTE_TYPE_DEFAULT)


def set_compute_type(dtype, compute_type):
    _types[dtype] = compute_type


_routines_linalg = SimpleNamespace(
    COMPUTE_TYPE_TF32=COMPUTE_TYPE_TF32,
    get_compute_type=get_compute_type,
    set_compute_type=set_compute_type,
)


def reset():
    _types.clear()
