"""The backward pass: from one tensor to every leaf that it was computed from.

The gradient of a node is complete only when every node that uses its output has added its share. So the uses
of each node are counted first; then a node is visited after the last node that uses its output. Both walks
are loops, because a ResNet-1202 is a chain of over 2,400 operations: too deep for recursion. Both visit each
node once and do not follow each path, because every residual block doubles the number of paths. The walk
itself does not need the leaves' gradients, so another thread may compute such a gradient: it is a Future.
"""

from minires.backend import Future, kernels, reference
from minires.errors import GraphError, ShapeError


def backpropagate(root, gradient):
    """Send `gradient`, the upstream gradient of the tensor `root`, down to the leaves' `grad`.

    Gradients of the tensors in between are dropped as soon as they are used, and so are the arrays that each
    operation saved: afterwards the graph is freed.
    """
    if root.creator is None:
        root.accumulate(gradient)
        return
    uses = count_uses(root.creator)
    gradients = {root.creator: gradient}
    ready, leaves = [root.creator], []
    while ready:
        node = ready.pop()
        for tensor, parent, gx in node.input_gradients(gradients.pop(node)):
            if parent is None:
                leaves.append((tensor, gx, node))
                continue
            gx = gradient_for_input(gx, tensor, node)
            # Not +=: one array may be the gradient of several inputs at once.
            gradients[parent] = kernels.add(gradients[parent], gx) if parent in gradients else gx
            uses[parent] -= 1
            if uses[parent] == 0:
                ready.append(parent)
    for tensor, gx, node in leaves:
        tensor.accumulate(gradient_for_input(gx, tensor, node), node.fresh_gradients)


def count_uses(root):
    """{node: how often its output is an input of another node}, for all nodes that `root` depends on."""
    uses = {root: 0}
    stack = [root]
    while stack:
        node = stack.pop()
        if node.inputs is None:
            raise GraphError(
                f"backward(): the graph was freed at {node.name!r} by an earlier backward(); "
                "run the forward pass again, or add the losses and call backward() once"
            )
        for parent in node.parents:
            if parent is None:
                continue
            if parent not in uses:
                stack.append(parent)
            uses[parent] = uses.get(parent, 0) + 1
    return uses


def gradient_for_input(gradient, tensor, node):
    """`gradient` in the shape and dtype of the input `tensor` that it belongs to.

    The adjoint of a broadcast is a sum: where an input was repeated along an axis, the gradients of its
    copies are added.
    """
    gradient = gradient.result() if isinstance(gradient, Future) else gradient
    if gradient.shape != tensor.shape:
        added = gradient.ndim - tensor.ndim
        stretched = (i for i, n in enumerate(tensor.shape, start=added) if n == 1)
        gradient = reference.precise_sum(gradient, (*range(added), *stretched), keepdims=True)[(0,) * added]
        if gradient.shape != tensor.shape:
            raise ShapeError(f"{node.name}: backward returned {gradient.shape} for an input {tensor.shape}")
    return gradient.astype(tensor.dtype, copy=False)
