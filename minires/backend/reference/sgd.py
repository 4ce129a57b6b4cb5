"""The update of SGD with momentum."""


def sgd_update(parameters, gradients, velocities, rate, momentum, weight_decay, nesterov, workspace=None):
    """Update p and v in place by stochastic gradient descent, formulas in optim/sgd.py; a g may be None.

    workspace: a dict that the optimizer keeps from one call to the next. The GPU's kernel stores there what
        it needs again; this version does not use it.
    """
    for p, g, v in zip(parameters, gradients, velocities, strict=True):
        if g is None:
            continue
        if weight_decay:
            g = g + weight_decay * p
        v *= momentum
        v += g
        p -= rate * (g + momentum * v if nesterov else v)
