"""Gradient check: does backward() agree with how the output changes when an input is nudged?

For L = sum(u * f(x)) with a random upstream gradient u, the central difference

    dL/dx_i  ~  (L(x + eps e_i) - L(x - eps e_i)) / (2 eps)

differs from the derivative by O(eps^2), and by about 1e-16 / eps from rounding, so everything is float64. A
check with u = 1 would prove little for batch norm or softmax, whose outputs add up to a constant: dL/dx is
then zero, and a backward that returns zeros would pass.
"""

import numpy as np

from minires.backend import to_device
from minires.engine import Tensor, no_grad
from minires.errors import GradientError, OptionError

ROUNDING = 100 * np.finfo(np.float64).eps  # of L, relative to the sum of |u f(x)|


def gradcheck(func, inputs, *, direction=False, eps=1e-6, tolerance=1e-6, generator=None):
    """Compare the gradients of `func` with central differences; return the largest relative error, a float.

    func: takes the inputs as Tensors and returns a Tensor of any shape. It must give the same result at every
        call.
    inputs: arrays, or float64 Tensors (a net's parameters, say), which are nudged in place and then restored,
        as their `grad` is; one of them or a list. Tensors that require no gradient are constants. Keep the
        others away from kinks and ties (|x| at 0, equal entries under a maximum), which have no gradient.
    direction: False checks every element, for operations; True checks the slope along one random direction
        through all inputs at once, for whole nets, and takes only two more evaluations.
    tolerance: if an error is above it, a GradientError names the input and both values. An error is relative
        to the largest gradient in the same input. Where rounding alone explains all of them (a bias in front
        of a batch norm has no gradient), the error is 0.
    """
    # The seed is not 0: users often draw their inputs with seed 0, and then u would equal x.
    generator = np.random.default_rng(0x6AD) if generator is None else generator
    inputs = [inputs] if isinstance(inputs, (Tensor, np.ndarray)) else inputs
    tensors = [x if isinstance(x, Tensor) else Tensor(np.array(x, np.float64), True) for x in inputs]
    nudged = {i: tensor for i, tensor in enumerate(tensors) if tensor.requires_grad}
    if not nudged or any(t.dtype != np.float64 or t.creator is not None for t in nudged.values()):
        raise OptionError(
            "gradcheck needs an input that requires a gradient; those that do must be float64 and leaves: "
            "convert with .to('float64'), and take .detach() of results"
        )
    if not eps > 0:
        raise OptionError(f"gradcheck: eps must be above 0, not {eps!r}")
    with no_grad():
        y = func(*tensors)
    if not isinstance(y, Tensor):
        raise OptionError(f"gradcheck: func must return one Tensor, not {type(y).__name__}")
    y = y.numpy()
    if not np.isfinite(y).all():
        raise GradientError("gradcheck: func returns numbers that are not finite, and so have no differences")
    u = np.asarray(generator.standard_normal(y.shape))
    rounding = ROUNDING * float(np.abs(u * y).sum()) / eps

    def loss():
        with no_grad():
            return float((func(*tensors).numpy() * u).sum())

    gradients = dict(zip(nudged, gradients_of(func, tensors, nudged.values(), u), strict=True))
    if direction:
        steps = [generator.standard_normal(tensor.shape) for tensor in nudged.values()]
        exact = sum(float((g * step).sum()) for g, step in zip(gradients.values(), steps, strict=True))
        numeric = slope(loss, nudged.values(), steps, eps)
        where = "along a random direction"
        return relative_error(np.array(exact), np.array(numeric), where, tolerance, rounding)
    errors = []
    for i, tensor in nudged.items():
        numeric = np.empty(tensor.shape)
        for index in np.ndindex(tensor.shape):
            step = np.zeros(tensor.shape)
            step[index] = 1
            numeric[index] = slope(loss, [tensor], [step], eps)
        errors.append(relative_error(gradients[i], numeric, f"input {i}", tolerance, rounding))
    return max(errors)


def gradients_of(func, inputs, tensors, u):
    """The gradients of `tensors` that backward() computes, as arrays; their `grad` stays as it was."""
    before = [tensor.grad for tensor in inputs]
    try:
        for tensor in inputs:
            tensor.grad = None
        # A copy: a wrong backward may write into its upstream gradient, and loss() needs u unchanged.
        func(*inputs).backward(to_device(u.copy(), inputs[0].device))
        return [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in tensors]
    finally:
        for tensor, grad in zip(inputs, before, strict=True):
            tensor.grad = grad


def slope(loss, tensors, steps, eps):
    """The central difference of `loss()` when every tensor moves along its step."""
    values = [t.data.copy() for t in tensors]
    sides = []
    try:
        for sign in (1, -1):
            for tensor, value, step in zip(tensors, values, steps, strict=True):
                tensor.overwrite(value + to_device(np.asarray(sign * eps * step), tensor.device))
            sides.append(loss())
    finally:
        for tensor, value in zip(tensors, values, strict=True):
            tensor.overwrite(value)
    return (sides[0] - sides[1]) / (2 * eps)


def relative_error(exact, numeric, where, tolerance, rounding):
    """The largest difference, relative to the largest gradient; GradientError above the tolerance.

    rounding: a difference that rounding alone explains.
    """
    scale = max(np.abs(exact).max(initial=0), np.abs(numeric).max(initial=0))
    if scale <= rounding:
        return 0.0
    difference = np.abs(exact - numeric)
    error = float(difference.max() / scale)
    if not error <= tolerance:
        worst = np.unravel_index(difference.argmax(), exact.shape)
        element = f" at {tuple(map(int, worst))}" if worst else ""
        raise GradientError(
            f"gradcheck, {where}{element}: backward() says {exact[worst]:.10g}, differences say "
            f"{numeric[worst]:.10g} (relative error {error:.1e}, tolerance {tolerance:.0e})"
        )
    return error
