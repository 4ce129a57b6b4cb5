"""Module, the base of all parts of a network: how parameters are found, named, saved and moved."""

from contextlib import contextmanager

import numpy as np

from minires.backend import to_numpy
from minires.engine import Tensor
from minires.errors import CheckpointError


class Parameter(Tensor):
    """A tensor that training changes."""

    def __init__(self, data, requires_grad=True):
        super().__init__(data, requires_grad)


class Buffer(Tensor):
    """A tensor that is part of a module's state but not trained: batch norm's running statistics."""


class HookHandle:
    """The handle of a hook, which `register_forward_hook` returns."""

    def __init__(self, module, hook):
        self.module, self.hook = module, hook

    def remove(self):
        """Remove the hook: it is not called any more."""
        self.module._forward_hooks = tuple(h for h in self.module._forward_hooks if h is not self.hook)


class Module:
    """A part of a network: set parameters, buffers and modules as attributes, define forward, call it.

    They are found by walking the attributes, and the lists, tuples and dicts among them, in the order in
    which they were set. So names and order are those of the code: `layer1.0.conv1.weight`.
    """

    training = True
    _forward_hooks = ()

    def __call__(self, /, *inputs, **options):
        y = self.forward(*inputs, **options)
        for hook in self._forward_hooks:
            hook(self, inputs, y)
        return y

    def forward(self, *inputs):
        raise TypeError(f"{type(self).__name__} must define forward()")

    def register_forward_hook(self, hook):
        """Call `hook(module, inputs, output)` after every forward, until the returned handle's remove()."""
        self._forward_hooks = (*self._forward_hooks, hook)
        return HookHandle(self, hook)

    def named_members(self, kind):
        """(name, value) of the direct members of type `kind`: attributes, and items of lists and dicts."""
        return [(name, value) for name, value in named_values("", vars(self)) if isinstance(value, kind)]

    def named_modules(self, prefix=""):
        """(dotted name, module) of this module and of all below it, in definition order, each once."""
        visited, stack = {}, [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in visited:
                continue
            visited[id(module)] = name, module
            children = module.named_members(Module)
            stack += [(f"{name}.{child}" if name else child, m) for child, m in reversed(children)]
        return list(visited.values())

    def modules(self):
        """This module and all below it, in definition order."""
        return [module for _, module in self.named_modules()]

    def _named_tensors(self, kind):
        tensors = {}
        for path, module in self.named_modules():
            for name, tensor in module.named_members(kind):
                tensors.setdefault(id(tensor), (f"{path}.{name}" if path else name, tensor))
        return list(tensors.values())

    def named_parameters(self):
        """(dotted name, Parameter) in definition order; a shared one appears once."""
        return self._named_tensors(Parameter)

    def parameters(self):
        """An iterator over all parameters in definition order."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self):
        """(dotted name, Buffer) in definition order."""
        return self._named_tensors(Buffer)

    def train(self, mode=True):
        """Switch this module and all below it to training (`mode=True`) or evaluation. Returns itself."""
        for module in self.modules():
            module.training = mode
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

    def zero_grad(self):
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, target):
        """Convert parameters and buffers in place to a dtype ("float64") or device ("cuda"); return self."""
        for _, tensor in self._named_tensors(Parameter) + self._named_tensors(Buffer):
            tensor.data = tensor.detach().to(target).data
            tensor.grad = None
        return self

    def state_dict(self):
        """{dotted name: array of NumPy} of all parameters and buffers, on the CPU without a copy."""
        return {name: to_numpy(tensor.data) for name, tensor in self._named_tensors((Parameter, Buffer))}

    def load_state_dict(self, state):
        """Copy arrays by name into the parameters and buffers, keeping their dtype and device.

        `num_batches_tracked`, a counter that PyTorch saves with batch norm, is ignored. Raises
        CheckpointError that lists what is missing, unexpected or of another shape; then nothing is changed.
        """
        problems = [problem for phrases in self.misfits(state).values() for problem in phrases]
        if problems:
            more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
            raise CheckpointError(
                f"weights do not fit {type(self).__name__}: {'; '.join(problems[:8])}{more}"
            )
        for name, tensor in self._named_tensors((Parameter, Buffer)):
            tensor.data[...] = Tensor(np.asarray(state[name])).to(tensor.device).data

    def misfits(self, state):
        """Why a state cannot be loaded: {"missing": [...], "unexpected": [...], "reshaped": [...]}.

        Each entry is a phrase with the tensor's name, in the order of this module or of `state`.
        """
        tensors = dict(self._named_tensors((Parameter, Buffer)))
        shapes = {name: np.shape(a) for name, a in state.items() if not name.endswith("num_batches_tracked")}
        return {
            "missing": [f"missing {name}" for name in tensors if name not in shapes],
            "unexpected": [f"unexpected {name}" for name in shapes if name not in tensors],
            "reshaped": [
                f"{name} has shape {shapes[name]}, not {tensor.shape}"
                for name, tensor in tensors.items()
                if name in shapes and shapes[name] != tensor.shape
            ],
        }

    def extra_repr(self):
        """The text between the brackets in the printed form of a module without children."""
        return ""

    def __repr__(self):
        children = self.named_members(Module)
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({name}): {module!r}".replace("\n", "\n  ") for name, module in children]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def named_values(prefix, value):
    """(dotted name, value) of all values in nested dicts, lists and tuples, in order."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        yield prefix, value
        return
    for key, item in items:
        yield from named_values(f"{prefix}.{key}" if prefix else str(key), item)


def is_plain(module, module_class):
    """Whether `module` is of this class and no subclass, with the forward of the class and without hooks."""
    return type(module) is module_class and not module._forward_hooks and "forward" not in vars(module)
