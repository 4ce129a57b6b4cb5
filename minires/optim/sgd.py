"""Stochastic gradient descent."""

import numpy as np

from minires.backend import library, to_device, to_numpy
from minires.errors import CheckpointError, OptionError


class SGD:
    """Stochastic gradient descent with momentum m, weight decay d and learning rate lr:

        g = dL/dp + d p        v = m v + g        p = p - lr v

    with g + m v in place of v for Nesterov's variant. Weight decay acts on all parameters, batch norm's
    included, as in the ResNet paper. Change `lr` between steps to follow a schedule.

    params: an iterable of Parameters. One without a gradient is left alone.
    Raises OptionError for an option out of range.
    """

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
        self.params = list(params)
        if not self.params:
            raise OptionError("SGD: there are no parameters to optimize")
        for name, value in {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise OptionError(f"SGD: {name} must be at least 0, not {value}")
        if nesterov and not momentum:
            raise OptionError("SGD: nesterov=True needs a momentum above 0")
        # Python floats: a scalar of NumPy's would turn float32 parameters' updates into float64
        self.lr, self.momentum, self.weight_decay = float(lr), float(momentum), float(weight_decay)
        self.nesterov = nesterov
        self.velocities = [library(p.data).zeros_like(p.data) for p in self.params]

    def __repr__(self):
        options = ("lr", "momentum", "weight_decay", "nesterov")
        return f"SGD({', '.join(f'{name}={getattr(self, name)}' for name in options)})"

    def step(self):
        """Move every parameter once, in place."""
        lr, momentum = float(self.lr), self.momentum
        for i, parameter in enumerate(self.params):
            if parameter.grad is None:
                continue
            p, g, v = parameter.data, parameter.grad.data, self.velocities[i]
            if v.dtype != p.dtype:  # after model.to("float64"): the velocity follows its parameter
                v = self.velocities[i] = v.astype(p.dtype)
            if self.weight_decay:
                g = g + self.weight_decay * p
            v *= momentum
            v += g
            p -= lr * (g + momentum * v if self.nesterov else v)

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.params:
            p.grad = None

    def state_dict(self):
        """{"velocity.0": array of NumPy, ...}, one for each parameter in order; shared, not copied."""
        return {f"velocity.{i}": to_numpy(v) for i, v in enumerate(self.velocities)}

    def load_state_dict(self, state):
        """Take over velocities from `state_dict`; CheckpointError if they belong to other parameters."""
        wanted = {f"velocity.{i}": v.shape for i, v in enumerate(self.velocities)}
        if {name: np.shape(v) for name, v in state.items()} != wanted:
            raise CheckpointError("the optimizer's state belongs to other parameters than these")
        for i, v in enumerate(self.velocities):
            v[...] = to_device(np.asarray(state[f"velocity.{i}"]), "cpu" if library(v) is np else "cuda")
