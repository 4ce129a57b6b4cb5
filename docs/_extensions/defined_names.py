"""The reference documents an object by its public name, but source pages link to where it is defined.

So each signature gets both names as ids: `minires.nn.functional.relu` and `minires.ops.activation.relu`.
"""

import importlib

from sphinx import addnodes


def setup(app):
    app.connect("doctree-read", add_defined_names)
    return {"parallel_read_safe": True}


def add_defined_names(app, doctree):
    for signature in doctree.findall(addnodes.desc_signature):
        defined = defined_name(signature["module"], signature["fullname"])
        if defined and defined not in signature["ids"]:
            signature["ids"].append(defined)


def defined_name(module, name):
    """relu of minires.nn.functional -> minires.ops.activation.relu; None for objects without __qualname__."""
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    if not hasattr(value, "__qualname__"):
        return None
    return f"{value.__module__}.{value.__qualname__}"
