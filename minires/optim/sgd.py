"""Stochastic gradient descent."""

import numpy as np

from minires.backend import kernels, library, same_library, to_device, to_numpy
from minires.errors import CheckpointError, OptionError


class SGD:
    """Stochastic gradient descent with momentum m, weight decay d and learning rate lr:

        g = dL/dp + d p        v = m v + g        p = p - lr v

    with g + m v in place of v for Nesterov's variant. Weight decay acts on all parameters, batch norm's
    included, as in the ResNet paper. Change `lr` between steps to follow a schedule.

    params: an iterable of Parameters. A parameter without a gradient stays as it is.
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
        self.workspace = {}  # in which the kernel keeps objects for its next call

    def __repr__(self):
        options = ("lr", "momentum", "weight_decay", "nesterov")
        return f"SGD({', '.join(f'{name}={getattr(self, name)}' for name in options)})"

    def step(self):
        """Move every parameter once, in place."""
        for i, p in enumerate(self.params):
            if p.grad is not None:  # after model.to("float64") or to("cuda") the velocity follows
                same_library([p.data, p.grad.data], "SGD, a parameter and its gradient")
                self.velocities[i] = to_device(self.velocities[i], p.device).astype(p.dtype, copy=False)
        kernels.sgd_update(
            [p.data for p in self.params],
            [None if p.grad is None else p.grad.data for p in self.params],
            self.velocities,
            float(self.lr),
            self.momentum,
            self.weight_decay,
            self.nesterov,
            self.workspace,
        )

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.params:
            p.grad = None

    def state_dict(self):
        """{"velocity.0": array of NumPy, ...}, one for each parameter in order; on the CPU without a copy."""
        return {f"velocity.{i}": to_numpy(v) for i, v in enumerate(self.velocities)}

    def load_state_dict(self, state):
        """Take over velocities from `state_dict`; CheckpointError if they belong to other parameters."""
        expected = {f"velocity.{i}": v.shape for i, v in enumerate(self.velocities)}
        if {name: np.shape(v) for name, v in state.items()} != expected:
            raise CheckpointError("the optimizer's state belongs to other parameters")
        for i, v in enumerate(self.velocities):
            v[...] = to_device(np.asarray(state[f"velocity.{i}"]), "cpu" if library(v) is np else "cuda")
