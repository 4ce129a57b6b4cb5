"""What an optimizer takes as its parameters: tensors, (name, tensor) pairs, or groups with their own options.

All functions raise OptionError for what no optimizer can train.
"""

from minires.backend import is_floating
from minires.engine import Tensor
from minires.errors import OptionError, UnknownNameError


def as_groups(params):
    """A list of dicts: the groups that `params` is, or one group with all that it holds."""
    items = as_list(params)
    return items if items and isinstance(items[0], dict) else [{"params": items}]


def complete_group(given, defaults):
    """The group that a user has given, with all options: a new dict; the lists in it are new, too.

    defaults: the options that it may leave out, {name: value}.
    """
    if not isinstance(given, dict) or "params" not in given:
        raise OptionError(f'SGD: a parameter group is a dict {{"params": [...], ...}}, not {given!r}')
    known = ["params", "param_names", *defaults, "initial_lr"]
    for key in given:
        if key not in known:
            raise UnknownNameError("option of a parameter group", key, known)
    params = given["params"]
    items = [params] if isinstance(params, Tensor) else as_list(params)  # PyTorch takes one tensor here
    tensors, names = split_names(items, given.get("param_names"))
    group = defaults | given | {"params": tensors}
    return group if names is None else group | {"param_names": names}


def as_list(params):
    """The items of an iterable; OptionError for what iterates over something else than parameters."""
    if isinstance(params, Tensor):
        raise OptionError("SGD: params is one tensor; pass a list: [w]")
    if isinstance(params, dict):
        raise OptionError('SGD: params is a dict; pass a list of groups: [{"params": [...]}]')
    if isinstance(params, (set, frozenset)):
        raise OptionError("SGD: params is a set, whose order changes from run to run; pass a list")
    if hasattr(params, "parameters"):
        raise OptionError(
            f"SGD: params is a {type(params).__name__}; pass its parameters, model.parameters()"
        )
    try:
        return list(params)
    except TypeError as error:
        raise OptionError(f"SGD: params must be a list of tensors, not {params!r}") from error


def split_names(items, names=None):
    """(tensors, names): the items, or the halves of the pairs that they are; names is None without names."""
    if any(isinstance(item, tuple) for item in items):
        if not all(isinstance(item, tuple) and len(item) == 2 for item in items):
            raise OptionError("SGD: either all parameters are pairs (name, tensor), or none is")
        names, items = [name for name, _ in items], [tensor for _, tensor in items]
    if names is not None and len(names) != len(items):
        raise OptionError(f"SGD: {len(names)} param_names for {len(items)} parameters")
    return items, names if names is None else list(names)


def check_parameters(groups):
    """OptionError unless all parameters are leaves of floating-point numbers, and each is there once."""
    seen = set()
    for i, value in enumerate(all_parameters(groups)):
        if not isinstance(value, Tensor):
            kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
            raise OptionError(f"SGD: {describe(groups, i)} is no Tensor of minires but has type {kind}")
        if value.creator is not None:
            raise OptionError(
                f"SGD: {describe(groups, i)} is no leaf but a result of {value.creator.name!r}, so that it "
                "gets no gradient; pass the tensor from which it was computed"
            )
        if not is_floating(value.dtype):
            raise OptionError(
                f"SGD: {describe(groups, i)} has dtype {value.dtype}, which has no gradients; leave it out, "
                "or convert it to float32 first"
            )
        if value in seen:  # the same tensor, since a tensor's hash is its identity
            raise OptionError(f"SGD: {describe(groups, i)} is there twice, in one group or in two")
        seen.add(value)


def all_parameters(groups):
    """A list of the parameters of all groups, in order."""
    return [parameter for group in groups for parameter in group["params"]]


def describe(groups, i):
    """What a message calls parameter i: its number over all groups, as in state_dict, and perhaps a name."""
    names = [name for group in groups for name in group.get("param_names", [None] * len(group["params"]))]
    return f"parameter {i}" if names[i] is None else f"parameter {i} ({names[i]!r})"
