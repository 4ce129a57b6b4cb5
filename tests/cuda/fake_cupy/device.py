"""What a test may change about the device, for its own duration: `cupy.cuda.device.memory = 1 << 20`."""

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
