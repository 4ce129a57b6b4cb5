"""Module, the base of all parts of a network: how it is called, switched, moved, saved and loaded."""

from collections import namedtuple
from contextlib import contextmanager
from reprlib import recursive_repr

import numpy as np

from minires.backend import is_floating, to_numpy
from minires.engine import Tensor
from minires.errors import OptionTypeError
from minires.nn.members import Members
from minires.nn.state import load, match
from minires.options import check_flags, refuse_unless_default

Hook = namedtuple("Hook", ["function", "with_kwargs"])  # one registration: equal ones are different objects


class HookHandle:
    """The handle of a hook, which `register_forward_hook` returns."""

    def __init__(self, module, hook):
        self.module, self.hook = module, hook

    def remove(self):
        """Remove the hook: it is not called any more."""
        self.module._forward_hooks = tuple(h for h in self.module._forward_hooks if h is not self.hook)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Module(Members):
    """A part of a network: set parameters, buffers and modules as attributes, define forward, call it.

    How they are found and named, see Members: by the attributes, in the order in which they were set.
    """

    training = True
    _forward_hooks = ()

    def __call__(self, /, *inputs, **options):
        y = self.forward(*inputs, **options)
        for hook in self._forward_hooks:
            result = hook.function(self, inputs, *([options] if hook.with_kwargs else []), y)
            y = y if result is None else result
        return y

    def forward(self, *inputs):
        raise TypeError(f"{type(self).__name__} must define forward()")

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Call `hook(module, inputs, output)` after every forward, until the returned handle's remove().

        What a hook returns takes the output's place, unless it is None.
        prepend: whether it comes before the hooks that are there already. with_kwargs: whether it is called
        as hook(module, inputs, kwargs, output).
        """
        refuse_unless_default("register_forward_hook", always_call=(always_call, False))
        if not callable(hook):
            raise OptionTypeError(f"register_forward_hook: hook must be a function, not {hook!r}")
        hook = Hook(hook, with_kwargs)
        hooks = self._forward_hooks
        self._forward_hooks = (hook, *hooks) if prepend else (*hooks, hook)
        return HookHandle(self, hook)

    def train(self, mode=True):
        """Switch this module and all below it to training (`mode=True`) or evaluation. Returns itself.

        A module below with a `train` of its own, which may keep it in evaluation, decides for those below it.
        """
        check_flags(mode=mode)
        for _, module in self.walk(enter=switches_plainly):
            if module is self or switches_plainly(module):
                module.training = mode
            else:
                module.train(mode)
        return self

    def eval(self):
        """Switch to evaluation: batch norm uses its running statistics, dropout does nothing."""
        return self.train(False)

    @contextmanager
    def evaluating(self):
        """Evaluation mode inside of `with model.evaluating():`, then every module's own mode again."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield self
        finally:
            for module, mode in modes:
                module.training = mode

    def requires_grad_(self, requires_grad=True):
        """Whether backward() collects gradients in the parameters: False freezes them. Returns itself."""
        check_flags(requires_grad=requires_grad)
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none=True):
        """Forget all gradients, or with set_to_none=False set them to 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.overwrite(0)

    def to(self, *args, device=None, dtype=None, non_blocking=False):
        """Convert parameters and buffers in place; return self.

        args: a dtype ("float32", "float64"), a device ("cpu", "cuda"), both, or a tensor that has them.
        Buffers of whole numbers keep their dtype. Gradients are converted, too.
        """
        refuse_unless_default("to", non_blocking=(non_blocking, False))
        targets = [target for arg in (*args, device, dtype) for target in targets_of(arg)]
        own = [tensor for _, tensor in self.named_tensors()]
        for tensor in own + [tensor.grad for tensor in own if tensor.grad is not None]:
            array = converted(tensor, targets)
            if array is not tensor.data:  # to set the same array would count as a change of its numbers
                tensor.data = array
        return self

    def float(self):
        """Convert floating-point parameters and buffers to float32."""
        return self.to("float32")

    def double(self):
        """Convert floating-point parameters and buffers to float64."""
        return self.to("float64")

    def cpu(self):
        """Move parameters and buffers to the CPU."""
        return self.to("cpu")

    def cuda(self, device=None):
        """Move parameters and buffers to the GPU."""
        refuse_unless_default("cuda", device=(device, None))
        return self.to("cuda")

    def state_dict(self, *, destination=None, prefix="", keep_vars=False):
        """{dotted name: array of NumPy} of all parameters and buffers, on the CPU without a copy.

        A shared tensor is listed once. Raises OptionError if two tensors have the same name.
        """
        refuse_unless_default("state_dict", destination=(destination, None), keep_vars=(keep_vars, False))
        return {prefix + name: to_numpy(tensor.data) for name, tensor in self.named_tensors()}

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy arrays by name into the parameters and buffers, keeping their dtype and device.

        state_dict: {name: array, tensor of minires or PyTorch, list or number}. A tensor that the module
        shares under several names may be listed under all of them. `num_batches_tracked`, a counter that
        PyTorch saves with batch norm, is ignored where the module has no such buffer.
        strict: False ignores missing and unexpected names.
        Returns (missing_keys, unexpected_keys), lists of names. Raises CheckpointError that lists what is
        missing, unexpected, of another shape, or not made of real numbers; then nothing is changed.
        """
        refuse_unless_default("load_state_dict", assign=(assign, False))
        return load(self, state_dict, strict)

    def misfits(self, state):
        """Why a state cannot be loaded: {"missing", "unexpected", "reshaped", "unusable": list of sentences}.

        Each has the tensor's name, in the order of this module or of `state`.
        """
        return match(self, state).misfits()

    def extra_repr(self):
        """The text between the brackets in the printed form of a module without children."""
        return ""

    @recursive_repr()
    def __repr__(self):
        children = self.named_members(Module)
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in children]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def switches_plainly(module):
    """Whether a module has no `train` of its own, in its class or set on the instance."""
    return getattr(module.train, "__func__", None) is Module.train


def targets_of(arg):
    """The dtypes and devices that an argument of `to` names."""
    if arg is None:
        return []
    if isinstance(arg, Tensor):
        return [*targets_of(arg.dtype), arg.device]
    dtype = as_dtype(arg)
    if dtype is not None and not is_floating(dtype):
        raise OptionTypeError(
            f"to: a module's dtype must be float32 or float64, not {dtype}; convert single tensors instead"
        )
    return [arg]


def as_dtype(target):
    """The dtype of NumPy that `target` names; None for a device."""
    try:
        return np.dtype(target)
    except TypeError:
        return None


def converted(tensor, targets):
    """The tensor's array in other dtypes or on other devices, one after the other."""
    tensor = tensor.detach()
    for target in targets:
        if is_floating(tensor.dtype) or as_dtype(target) is None:
            tensor = tensor.to(target)
    return tensor.data


def is_plain(module, module_class):
    """Whether `module` is of this class and no subclass, with the forward of the class and without hooks."""
    return type(module) is module_class and not module._forward_hooks and "forward" not in vars(module)
