"""What is documented under a public name is linked from its source by the name that it is defined under.

So each signature gets both as ids: `minires.nn.functional.relu` and `minires.ops.activation.relu`.
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
    """Where relu of minires.nn.functional is defined: minires.ops.activation.relu. None if nothing tells."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not hasattr(found, "__qualname__"):
        return None
    return f"{found.__module__}.{found.__qualname__}"
