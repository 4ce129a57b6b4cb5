"""The loss that training minimizes."""

from minires.nn.functional import cross_entropy

HEAD_WEIGHT = 0.3  # of an auxiliary head's loss: Szegedy et al. 2014, section 5


def classification_loss(outputs, labels):
    """(loss, logits) of a network's outputs in training.

    loss = cross_entropy(logits) + 0.3 * (the sum of the auxiliary heads' cross_entropy)

    outputs: logits (N, classes), or a tuple of logits: the network's own, then those of each auxiliary head,
        as in GoogLeNet. The weight 0.3 is that of GoogLeNet's paper (Szegedy et al. 2014, section 5).
    labels: int64 (N,). Evaluation uses the network's own logits alone.
    """
    logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
    loss = cross_entropy(logits, labels)
    for head in heads:
        loss = loss + HEAD_WEIGHT * cross_entropy(head, labels)
    return loss, logits
