"""The device's properties. A test may change them for itself, as in `cupy.cuda.device.memory = 1 << 20`."""

from types import SimpleNamespace

device = SimpleNamespace()


def reset():
    device.__dict__.update(
        available=True,
        name="Fake GPU",
        compute_capability="90",
        memory=4 << 30,
    )


reset()
