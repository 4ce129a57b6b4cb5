"""Gradient check: does backward() agree with how the output changes when an input is nudged?

For L = sum(u * f(x)) with a random upstream gradient u, the central difference

    dL/dx_i  ~  (L(x + eps e_i) - L(x - eps e_i)) / (2 eps)

differs from the derivative by O(eps^2), and by about 1e-16 / eps from rounding, so everything is float64. A
check with u = 1 would prove little for batch norm or softmax, whose outputs add up to a constant: dL/dx is
then zero, and a backward that returns zeros would pass.
"""

import numpy as np

from minires.backend import to_device
from minires.engine.function import no_grad
from minires.engine.tensor import Tensor
from minires.errors import GradientError, OptionError


def gradcheck(f, inputs, *, direction=False, eps=1e-6, tolerance=1e-6, generator=None):
    """Compare the gradients of `f` with central differences; return the largest relative error, a float.

    f: takes the inputs as Tensors and returns a Tensor of any shape. It must give the same result at every
        call.
    inputs: arrays, or float64 Tensors (a net's parameters, say), which are nudged in place and then restored.
        Keep them away from kinks and ties (|x| at 0, equal entries under a maximum), which have no gradient.
    direction: False checks every element, for operations; True checks the slope along one random direction
        through all inputs at once, for whole nets, and takes only two more evaluations.
    tolerance: if an error is above it, a GradientError names the input and both values. An error is relative
        to the largest gradient in the same input.
    """
    # The seed is not 0: users often draw their inputs with seed 0, and then u would equal x.
    generator = np.random.default_rng(0x6AD) if generator is None else generator
    tensors = [x if isinstance(x, Tensor) else Tensor(np.array(x, np.float64), True) for x in inputs]
    if not all(t.dtype == np.float64 for t in tensors):
        raise OptionError("gradcheck needs float64 inputs; convert tensors with .to('float64')")
    with no_grad():
        u = generator.standard_normal(f(*tensors).shape)

    def loss():
        with no_grad():
            return float((f(*tensors).numpy() * u).sum())

    for tensor in tensors:
        tensor.grad = None
    # A copy: a wrong backward may write into its upstream gradient, and loss() needs u unchanged.
    f(*tensors).backward(to_device(u.copy(), tensors[0].device))
    gradients = [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors]
    if direction:
        steps = [generator.standard_normal(t.shape) for t in tensors]
        exact = sum(float((g * step).sum()) for g, step in zip(gradients, steps, strict=True))
        numeric = slope(loss, tensors, steps, eps)
        return relative_error(np.array(exact), np.array(numeric), "along a random direction", tolerance)
    errors = [0.0]
    for i, (tensor, exact) in enumerate(zip(tensors, gradients, strict=True)):
        numeric = np.empty(tensor.shape)
        for index in np.ndindex(tensor.shape):
            step = np.zeros(tensor.shape)
            step[index] = 1
            numeric[index] = slope(loss, [tensor], [step], eps)
        errors.append(relative_error(exact, numeric, f"input {i}", tolerance))
    return max(errors)


def slope(loss, tensors, steps, eps):
    """The central difference of `loss()` when every tensor moves along its step."""
    values = [t.data.copy() for t in tensors]
    sides = []
    for sign in (1, -1):
        for tensor, value, step in zip(tensors, values, steps, strict=True):
            tensor.data[...] = value + to_device(sign * eps * step, tensor.device)
        sides.append(loss())
    for tensor, value in zip(tensors, values, strict=True):
        tensor.data[...] = value
    return (sides[0] - sides[1]) / (2 * eps)


def relative_error(exact, numeric, where, tolerance):
    """The largest difference, relative to the largest gradient; GradientError above the tolerance."""
    scale = max(np.abs(exact).max(), np.abs(numeric).max())
    difference = np.abs(exact - numeric)
    error = float(difference.max() / scale) if scale else 0.0
    if not error <= tolerance:
        worst = np.unravel_index(difference.argmax(), exact.shape)
        raise GradientError(
            f"gradcheck, {where} at {tuple(map(int, worst))}: backward() says {exact[worst]:.10g}, "
            f"differences say {numeric[worst]:.10g} (relative error {error:.1e}, tolerance {tolerance:.0e})"
        )
    return error
