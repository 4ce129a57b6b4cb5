"""Members of a module: its parameters, buffers and modules; how they are found, named and kept."""

from types import MappingProxyType

from minires.engine import Tensor
from minires.errors import OptionError, OptionTypeError
from minires.nn.parameter import Buffer, Parameter
from minires.options import refuse_unless_default

BOOKKEEPING = {"_vacant", "_forward_hooks"}  # the attributes of a Module in which no members are searched


class Members:
    """What a Module holds: parameters, buffers, and other modules.

    They are found by walking the attributes, and the lists, tuples and dicts among them, in the order in
    which they were set. So names and order are those of the code: `layer1.0.conv1.weight`.

    An attribute that holds a member takes another one, or None, as in PyTorch. Any other value would drop it
    from the state: a tensor in place of a buffer becomes a Buffer, the rest is refused with a TypeError.
    """

    _vacant = MappingProxyType({})  # {name: kind} of the members that are None, or were

    def __setattr__(self, name, value):
        kind = self._kind(name)
        if kind is not None:
            check_member(self, name, kind, value, TAKES[kind])
            if value is None:
                vars(self)["_vacant"] = {**self._vacant, name: kind}
            elif kind is Buffer and kind_of(value) is None:
                value = Buffer.of(value)
        elif isinstance(vars(self).get(name), (dict, list, tuple)):
            check_items(self, name, vars(self)[name], value)
        super().__setattr__(name, value)

    def __setstate__(self, state):
        """For pickle and copy, which otherwise ask a class's own __getattr__ before there are attributes."""
        vars(self).update(state)

    def __delattr__(self, name):
        super().__delattr__(name)
        if name in self._vacant:
            vars(self)["_vacant"] = {key: kind for key, kind in self._vacant.items() if key != name}

    def _kind(self, name):
        """Parameter, Buffer or Members: what an attribute holds, or held before it was None. Else None."""
        return kind_of(vars(self).get(name)) or self._vacant.get(name)

    def register_parameter(self, name, param):
        """Set the attribute `name` to a Parameter. With None, it will take a Parameter only."""
        self._register(name, Parameter, param, Parameter)

    def register_buffer(self, name, tensor, persistent=True):
        """Set the attribute `name` to a tensor as a Buffer. With None, a tensor set later becomes one."""
        refuse_unless_default("register_buffer", persistent=(persistent, True))
        self._register(name, Buffer, tensor, Tensor)

    def add_module(self, name, module):
        """Set the attribute `name` to a module. With None, it will take a module only."""
        self._register(name, Members, module, Members)

    def _register(self, name, kind, value, classes):
        owner = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            raise OptionError(f"{owner}: a member's name must be a string without dots, not {name!r}")
        if hasattr(self, name) and self._kind(name) is not kind:
            raise OptionError(f"{owner} has another attribute {name!r} already; take another name")
        check_member(self, name, kind, value, classes)
        vars(self)["_vacant"] = {**self._vacant, name: kind}
        setattr(self, name, value)

    def named_members(self, kind):
        """(name, value) of the direct members of type `kind`: attributes, and items of lists and dicts."""
        return [(dotted(keys), value) for keys, value in self._values() if isinstance(value, kind)]

    def named_children(self):
        """(name, module) of the modules directly in this one, each once."""
        children = {}
        for name, module in self.named_members(Members):
            children.setdefault(id(module), (name, module))
        return list(children.values())

    def children(self):
        """The modules directly in this one, each once."""
        return [module for _, module in self.named_children()]

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(dotted name, module) of this module and of all below it, in definition order, each once.

        remove_duplicate: False for a shared module at each of its places.
        """
        refuse_unless_default("named_modules", memo=(memo, None))
        return self._named(Members, prefix, remove_duplicate=remove_duplicate)

    def modules(self, remove_duplicate=True):
        """This module and all below it, in definition order."""
        return [module for _, module in self.walk(remove_duplicate)]

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, Parameter) in definition order; a shared one appears once.

        recurse: False for the parameters of this module alone. remove_duplicate: False for a shared one at
        each of its places.
        Raises OptionError if two different members have one name, since saving would lose one of them.
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        """An iterator over all parameters in definition order."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, Buffer) in definition order, as named_parameters."""
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """An iterator over all buffers in definition order."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def named_tensors(self):
        """(dotted name, tensor) of all parameters and buffers: what belongs to the state, in its order."""
        return self._named((Parameter, Buffer))

    def _named(self, kinds, prefix="", recurse=True, remove_duplicate=True):
        """(dotted name, member) of the members of these kinds. OptionError if any two have one name."""
        names, found = {}, set()
        for path, module in self.walk(remove_duplicate) if recurse else [((), self)]:
            tensors = [(path + keys, t) for keys, t in module._values() if isinstance(t, (Parameter, Buffer))]
            for keys, member in [(path, module), *tensors]:
                if remove_duplicate and id(member) in found:
                    continue
                found.add(id(member))
                name = dotted(((prefix,) if prefix else ()) + keys)
                other_keys, other = names.setdefault(name, (keys, member))
                if other is not member:
                    raise OptionError(
                        f"{type(self).__name__}: the members at {in_brackets(other_keys)} and at "
                        f"{in_brackets(keys)} are both named {name!r}, so that saving would lose one; "
                        "give one of them another key"
                    )
        return [(name, member) for name, (_, member) in names.items() if isinstance(member, kinds)]

    def walk(self, remove_duplicate=True, enter=lambda module: True):
        """(keys, module) of this module and of all below it, depth first, in definition order.

        keys: the attributes, positions and keys that lead to the module. remove_duplicate: a shared module
        comes once, at its first place; otherwise at each place, but never below itself.
        enter: whether to go on below a module.
        """
        visited, stack = set(), [((), self, frozenset())]
        while stack:
            keys, module, above = stack.pop()
            if id(module) in (visited if remove_duplicate else above):
                continue
            visited.add(id(module))
            yield keys, module
            if module is self or enter(module):
                below = [(more, child) for more, child in module._values() if isinstance(child, Members)]
                stack += [(keys + more, child, above | {id(module)}) for more, child in reversed(below)]

    def _values(self):
        """(keys, value) of the attributes, and of the items of lists, tuples and dicts among them."""
        return values_in({name: value for name, value in vars(self).items() if name not in BOOKKEEPING})


# What may take the place of a member, besides None: {its kind: the classes}.
TAKES = {Parameter: (Parameter,), Buffer: (Tensor, Members), Members: (Members, Parameter)}

# {kind: (its name, what is expected, what to do)}
WORDS = {
    Parameter: (
        "parameter",
        "Parameter",
        "write nn.Parameter(value) for a new one, or {name}.overwrite(value) to change its numbers",
    ),
    Buffer: ("buffer", "Tensor", "write nn.Buffer(value)"),
    Members: ("child module", "Module", "take nn.ReLU() instead of F.relu, for example"),
}


def kind_of(value):
    """Parameter, Buffer or Members; None if the value is no member."""
    return next((kind for kind in (Parameter, Buffer, Members) if isinstance(value, kind)), None)


def check_member(owner, name, kind, value, classes):
    """OptionTypeError unless the value is None or of one of these classes."""
    if value is not None and not isinstance(value, classes):
        word, expected, advice = WORDS[kind]
        raise OptionTypeError(
            f"{type(owner).__name__}: cannot assign {type(value).__name__} as {word} {name!r} "
            f"({expected} or None expected); {advice.format(name=name)}"
        )


def check_items(owner, name, before, after):
    """OptionTypeError if a new list or dict has something else where the one before it had a member."""
    items = dict(values_in(after, (name,)))
    for keys, member in values_in(before, (name,)):
        kind, value = kind_of(member), items.get(keys)
        if kind is not None and kind_of(value) is None:
            check_member(owner, dotted(keys), kind, value, kind)


def dotted(keys):
    """The name that keys make: `layer1.0.conv1.weight`."""
    return ".".join(map(str, keys))


def in_brackets(keys):
    """The keys as they are, which shows 0 and "0" apart: `['layer1'][0]['conv1']`."""
    return "".join(f"[{key!r}]" for key in keys)


def items_of(value):
    """(key, item) of a dict, list, tuple or module; nothing for any other value."""
    if isinstance(value, Members):
        return vars(value).items()
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def values_in(value, keys=(), above=frozenset()):
    """(keys, value) of all values in nested dicts, lists and tuples, in order.

    A list or dict that holds itself is not entered again: `above` has the ids of those on the way.
    """
    if not isinstance(value, (dict, list, tuple)):
        yield keys, value
    elif id(value) not in above:
        for key, item in items_of(value):
            yield from values_in(item, (*keys, key), above | {id(value)})


def values_at(value, name):
    """The values that a dotted name leads to, through modules, dicts, lists and tuples.

    There are several only where keys contain dots.
    """
    for key, item in items_of(value):
        if name == str(key):
            yield item
        elif name.startswith(f"{key}."):
            yield from values_at(item, name.removeprefix(f"{key}."))
