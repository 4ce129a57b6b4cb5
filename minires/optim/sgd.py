"""Stochastic gradient descent."""

from collections import defaultdict

import numpy as np

from minires.backend import is_floating, kernels, library, same_library, to_device, to_numpy
from minires.engine import Tensor
from minires.errors import CheckpointError, OptionError, ShapeError
from minires.optim.parameter_groups import (
    all_parameters,
    as_groups,
    check_parameters,
    complete_group,
    describe,
)
from minires.options import check_not_negative, refuse_unless_default

# Options of PyTorch's that are not built here, with their defaults.
NOT_BUILT = {"dampening": 0, "maximize": False, "foreach": None, "differentiable": False, "fused": None}


def option_of_all_groups(name):
    """A property of an optimizer: this option of its first group; setting it sets every group's."""

    def get(optimizer):
        return optimizer.param_groups[0][name]

    def set_all(optimizer, value):
        for group in optimizer.param_groups:
            group[name] = value

    return property(get, set_all)


class SGD:
    """Stochastic gradient descent with momentum m, weight decay d and learning rate lr:

        g = dL/dp + d p        v = m v + g        p = p - lr v

    with g + m v in place of v for Nesterov's variant. Weight decay acts on all parameters, batch norm's
    included, as in the ResNet paper. Change `lr` between steps to follow a schedule.

    params: an iterable of leaf tensors, or of (name, tensor), as `model.parameters()` and
        `model.named_parameters()` give them. A parameter without a gradient stays as it is.
        Or a list of groups, {"params": ..., "lr": ...}: dicts with options of their own; an option that a
        group does not give is the constructor's.
    dampening, maximize, foreach, differentiable, fused: PyTorch's, not built here; only their defaults.

    Attributes: `param_groups`, the groups as dicts, of which there is one if `params` has none. A change of
    an option there counts from the next step. `params` and `velocities`, all parameters and the v of each;
    `lr`, the first group's rate, see there for what it means to set it.

    Raises OptionError for an option out of range, and for what is no parameter or is there twice.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        self.defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_options(self.defaults)
        self.param_groups, self.velocity_of = [], {}
        self.workspaces = defaultdict(dict)  # number of a group -> what the kernel keeps for its next call
        for group in as_groups(params):
            self.add_param_group(group)
        if not self.params:
            raise OptionError("SGD: there are no parameters to optimize")

    def add_param_group(self, param_group):
        """Add a group, a dict as in the constructor's list. Raises OptionError as the constructor does."""
        group = complete_group(param_group, self.defaults)
        check_options(group)
        check_parameters([*self.param_groups, group])
        group |= {name: float(group[name]) for name in ("lr", "momentum", "weight_decay")}
        group.setdefault("initial_lr", group["lr"])
        self.param_groups.append(group)
        self.velocity_of |= {p: library(p.data).zeros_like(p.data) for p in group["params"]}

    def __repr__(self):
        shown = ("lr", "momentum", "weight_decay", "nesterov")
        options = [", ".join(f"{name}={group[name]}" for name in shown) for group in self.param_groups]
        if len(options) == 1:
            return f"SGD({options[0]})"
        lines = (
            f"\n  ({i}): parameters={len(group['params'])}, {options[i]}"
            for i, group in enumerate(self.param_groups)
        )
        return f"SGD({''.join(lines)}\n)"

    momentum = option_of_all_groups("momentum")
    weight_decay = option_of_all_groups("weight_decay")
    nesterov = option_of_all_groups("nesterov")

    @property
    def params(self):
        """A list of all parameters, group by group."""
        return all_parameters(self.param_groups)

    @property
    def velocities(self):
        """A list of the velocities of all parameters, in the order of `params`."""
        return [self.velocity_of[p] for p in self.params]

    @property
    def lr(self):
        """The learning rate of the first group, whether that is its own or the constructor's.

        Set it to follow a schedule: the rates of all groups change in proportion. The proportion is that of
        the rates with which the groups were made, `group["initial_lr"]`, and not of those at present: so a
        resumed run gets the same rates. For rates that are independent of each other set `group["lr"]`.
        """
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, rate):
        first = self.param_groups[0]["initial_lr"]
        if not first and any(group["initial_lr"] for group in self.param_groups):
            raise OptionError('SGD: the first group began with lr=0, so set group["lr"] of each group')
        for group in self.param_groups:
            own = group["initial_lr"]
            group["lr"] = rate if own == first else own * (rate / first)

    def step(self, closure=None):
        """Move every parameter once, in place.

        closure: PyTorch's, not built here. Raises OptionError for an option that was set out of range and for
        a gradient of another dtype than its parameter's, ShapeError for one of another shape, DeviceError for
        one on another device. Then no parameter has moved.
        """
        refuse_unless_default("SGD.step", closure=(closure, None))
        self.check_options()
        self._check_gradients()
        for i, group in enumerate(self.param_groups):
            if group["params"]:
                self._update(group, self.workspaces[i])

    def _update(self, group, workspace):
        """Move the parameters of one group that have a gradient."""
        params = group["params"]
        moved = [p for p in params if p.grad is not None]
        for p in moved:  # after model.to("float64") or to("cuda") the velocity follows
            self.velocity_of[p] = to_device(self.velocity_of[p], p.device).astype(p.dtype, copy=False)
        kernels.sgd_update(
            [p.data for p in params],
            [None if p.grad is None else p.grad.data for p in params],
            [self.velocity_of[p] for p in params],
            # Python floats: a scalar of NumPy's would turn float32 parameters' updates into float64
            float(group["lr"]),
            float(group["momentum"]),
            float(group["weight_decay"]),
            group["nesterov"],
            workspace,
        )
        for p in moved:
            p.changed()

    def zero_grad(self, set_to_none=True):
        """Forget all gradients, or with set_to_none=False set them to 0."""
        for p in self.params:
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.overwrite(0)

    def state_dict(self):
        """{"velocity.0": array of NumPy, ...}, one for each parameter in order; on the CPU without a copy.

        With several groups also "group_sizes", how many parameters each has. The options are not part of it.
        """
        velocities = {f"velocity.{i}": to_numpy(v) for i, v in enumerate(self.velocities)}
        several = len(self.param_groups) > 1
        return velocities | ({"group_sizes": np.array(self._group_sizes())} if several else {})

    def load_state_dict(self, state):
        """Take over velocities from `state_dict`.

        Raises CheckpointError if they belong to other parameters or other groups; then nothing is changed.
        """
        arrays = {name: np.asarray(array) for name, array in state.items()}
        sizes = arrays.pop("group_sizes", np.array([len(state)])).tolist()
        velocities = {f"velocity.{i}": v for i, v in enumerate(self.velocities)}
        expected = {name: v.shape for name, v in velocities.items()}
        fits = {name: array.shape for name, array in arrays.items()} == expected
        if not fits or not all(is_floating(array.dtype) for array in arrays.values()):
            raise CheckpointError("the optimizer's state belongs to other parameters")
        if sizes != self._group_sizes():
            raise CheckpointError(
                f"the optimizer's state belongs to other parameters: to groups of {sizes} parameters, "
                f"not {self._group_sizes()}"
            )
        for name, v in velocities.items():
            v[...] = to_device(arrays[name], "cpu" if library(v) is np else "cuda")

    def _group_sizes(self):
        return [len(group["params"]) for group in self.param_groups]

    def check_options(self):
        """OptionError if an option of a group was set out of range."""
        for group in self.param_groups:
            check_options(group)

    def _check_gradients(self):
        """Refuse what a step cannot use, before any parameter has moved."""
        for i, p in enumerate(self.params):
            problem = problem_of(p, self.velocity_of.get(p))
            if problem:
                error, phrase = problem
                raise error(f"SGD: {describe(self.param_groups, i)} {phrase}")


def problem_of(p, velocity):
    """Why a step cannot use a parameter with its gradient: (class of the error, phrase); None if it can."""
    if velocity is None:
        return OptionError, "is new in its group; add it with add_param_group"
    if p.grad is None:
        return None
    if not isinstance(p.grad, Tensor):
        return OptionError, f"has a gradient of type {type(p.grad).__name__}; it must be a Tensor"
    same_library([p.data, p.grad.data], "SGD, a parameter and its gradient")
    if p.grad.shape != p.shape:
        return ShapeError, f"has shape {p.shape}, but its gradient {p.grad.shape}"
    if velocity.shape != p.shape:
        return ShapeError, f"has shape {p.shape}, but had {velocity.shape} when it was given to the optimizer"
    if p.grad.dtype != p.dtype:
        return OptionError, f"has dtype {p.dtype}, but its gradient {p.grad.dtype}; convert the gradient"
    return None


def check_options(options):
    """OptionError if one of a group's options is out of range."""
    rates = ("lr", "momentum", "weight_decay", "initial_lr")
    check_not_negative("SGD", **{name: options[name] for name in rates if name in options})
    if not isinstance(options["nesterov"], bool):
        raise OptionError(f"SGD: nesterov must be true or false, not {options['nesterov']!r}")
    if options["nesterov"] and not options["momentum"]:
        raise OptionError("SGD: nesterov=True needs a momentum above 0")
    refuse_unless_default("SGD", **{name: (options[name], default) for name, default in NOT_BUILT.items()})
